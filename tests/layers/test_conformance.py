"""Keras's own conformance suite on the public layers, and two mixers.

It builds, calls, serialises, trains and changes the precision of a layer; training
compiles it, which takes seconds on JAX and TensorFlow.
"""

import keras
import pytest
from cases import SYNTHESIZERS
from keras.src import testing
from support import BACKENDS

from keras_stt import synthesizers
from keras_stt.layers import (
    STT,
    CrossAttention,
    DepthwiseSTT,
    PositionEmbedding,
    STTBlock,
    STTCrossAttention,
)
from keras_stt.mixers import AxialAttention, SelfAttention

IMAGE, VIDEO = (2, 3, 5, 8), (2, 3, 5, 4, 8)
serialize = keras.saving.serialize_keras_object

# The suite trains from a generator and leaves `shuffle` at its default.
pytestmark = pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")


@pytest.fixture(scope="module")
def suite():
    case = testing.TestCase()
    assert keras.backend.backend() in BACKENDS
    return case


@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_stt_with_every_synthesizer(suite, name):
    suite.run_layer_test(
        STT,
        {"num_heads": 4, "synthesizer": SYNTHESIZERS[name].make()},
        input_shape=IMAGE,
        expected_output_shape=IMAGE,
        expected_num_seed_generators=0,
        expected_num_losses=0,
        supports_masking=True,
        # Once is enough for what does not depend on the synthesizer.
        run_training_check=name in ("dense", "mixture_nested"),
    )


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [({}, 7), ({"amplitude": "synthesized", "gate": "silu", "use_bias": False}, 9)],
)
def test_depthwise_stt(suite, arguments, variables):
    suite.run_layer_test(
        DepthwiseSTT,
        arguments,
        input_shape=IMAGE,
        expected_output_shape=IMAGE,
        expected_num_trainable_weights=variables,
        expected_num_seed_generators=0,
        expected_num_losses=0,
        supports_masking=True,
    )


@pytest.mark.parametrize(
    ("shape", "output_shape", "arguments"),
    [
        ((2, 5, 8), (2, 5, 8), {}),
        (
            (2, 3, 5, 4, 8),
            (2, 3, 5, 4, 7),
            {"attention_axes": (1, -2), "output_shape": 7},
        ),
        (IMAGE, (*IMAGE[:-1], 3, 2), {"output_shape": (3, 2), "value_dim": 5}),
    ],
)
def test_stt_with_arguments(suite, shape, output_shape, arguments):
    suite.run_layer_test(
        STT,
        {
            "num_heads": 2,
            "synthesizer": "random",
            "dropout": 0.1,
            "seed": 1,
            "kernel_regularizer": "l2",
            "bias_regularizer": "l2",
            "activity_regularizer": "l2",
            "kernel_constraint": "non_neg",
            "bias_constraint": "non_neg",
            **arguments,
        },
        input_shape=shape,
        expected_output_shape=output_shape,
        expected_num_trainable_weights=4
        + len(arguments.get("attention_axes", shape[2:])),
        expected_num_seed_generators=1,
        expected_num_losses=6,
        supports_masking=True,
        run_training_check=len(shape) == 5,
    )


def test_stt_with_scores(suite):
    suite.run_layer_test(
        STT,
        {"num_heads": 4},
        input_shape=IMAGE,
        call_kwargs={"return_attention_scores": True},
        expected_output_shape=(IMAGE, ((2, 4, 3, 3), (2, 4, 5, 5))),
        run_training_check=False,
        run_mixed_precision_check=False,
    )


@pytest.mark.parametrize(
    ("mixer", "arguments"),
    [
        (None, {}),
        (
            lambda: SelfAttention(2),
            {"dropout": 0.1, "stochastic_depth": 0.2, "seed": 1},
        ),
        (lambda: keras.layers.DepthwiseConv2D(3, padding="same"), {"mlp_ratio": 0.5}),
    ],
)
def test_stt_block(suite, mixer, arguments):
    suite.run_layer_test(
        STTBlock,
        # As a config: the suite makes several blocks, of which each has its own.
        {"mixer": mixer and serialize(mixer()), **arguments},
        input_shape=IMAGE,
        expected_output_shape=IMAGE,
        expected_num_seed_generators=2 if "dropout" in arguments else 0,
        supports_masking=True,
        run_training_check=mixer is None,
        # A mixer that is given keeps its own precision.
        run_mixed_precision_check=mixer is None,
    )


@pytest.mark.parametrize(
    ("layer", "arguments", "weights", "masking"),
    [
        (SelfAttention, {"num_heads": 2}, 8, True),
        (AxialAttention, {"num_heads": 2, "key_dim": 3}, 16, False),
        (PositionEmbedding, {}, 1, True),
    ],
)
def test_the_other_layers(suite, layer, arguments, weights, masking):
    suite.run_layer_test(
        layer,
        arguments,
        input_shape=IMAGE,
        expected_output_shape=IMAGE,
        expected_num_trainable_weights=weights,
        expected_num_non_trainable_weights=0,
        expected_num_losses=0,
        supports_masking=masking,
    )


@pytest.mark.parametrize(
    ("layer", "arguments", "weights"),
    [
        (CrossAttention, {"num_heads": 2, "dropout": 0.1, "seed": 1}, 8),
        (STTCrossAttention, {"num_heads": 2, "hidden_dim": 5}, 10),
        (
            STTBlock,
            {
                "cross_attention": serialize(STTCrossAttention(2)),
                "mixer": serialize(STT(2)),
            },
            # The mixer's 8, and 10 of the cross-attention; 3 norms and the MLP.
            8 + 10 + 3 * 2 + 4,
        ),
    ],
)
def test_layers_with_a_context(suite, layer, arguments, weights):
    suite.run_layer_test(
        layer,
        arguments,
        input_shape={"inputs_shape": (2, 4, 8), "context_shape": (2, 3, 5, 6)},
        expected_output_shape=(2, 4, 8),
        expected_num_trainable_weights=weights,
        expected_num_losses=0,
        supports_masking=True,
        run_training_check=False,
        # A mixer that is given keeps its own precision.
        run_mixed_precision_check=layer is not STTBlock,
    )


@pytest.mark.parametrize(
    ("synthesizer", "arguments", "weights"),
    [
        (synthesizers.Dense, {"hidden_dim": 6, "activation": "tanh"}, 4),
        (synthesizers.Random, {"initializer": "zeros"}, 1),
        (synthesizers.FactorizedDense, {"factors": (5, 1)}, 4),
        (synthesizers.FactorizedRandom, {"rank": 3}, 2),
        (synthesizers.DotProduct, {"key_dim": 3}, 3),
        (synthesizers.Mixture, {"synthesizers": ["random", "dot_product"]}, 5),
    ],
)
def test_every_synthesizer_as_a_layer(suite, synthesizer, arguments, weights):
    # A batch of one: logits that do not depend on the input come once for a batch.
    suite.run_layer_test(
        synthesizer,
        {"num_heads": 2, "axis": 2, **arguments},
        input_shape=(1, 3, 5, 8),
        expected_output_shape=(1, 2, 5, 5),
        expected_num_trainable_weights=weights,
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=0,
        expected_num_losses=0,
        supports_masking=True,
        run_training_check=synthesizer is synthesizers.Mixture,
    )
