"""Models with STT layers saved, and loaded again: here and on the other backends."""

import keras
import numpy as np
import pytest
from cases import SYNTHESIZERS
from support import normal, other_backends, relative_error, run_python

from keras_stt.layers import (
    STT,
    CrossAttention,
    DepthwiseSTT,
    PositionEmbedding,
    STTBlock,
    STTCrossAttention,
)
from keras_stt.mixers import AxialAttention, SelfAttention

IMAGE = (2, 3, 5, 8)


def everything():
    """A model with every layer and every synthesizer, and random weights.

    Small all the same: on JAX and TensorFlow, compiling it takes seconds.
    """
    image = keras.Input(IMAGE[1:], name="image")
    mask = keras.Input(IMAGE[1:-1], dtype="bool", name="mask")
    x = PositionEmbedding()(image)
    x = STTBlock(AxialAttention(2, key_dim=3), epsilon=1e-3)(x)
    x = STT(4, attention_axes=-2, use_bias=False, output_shape=(2, 4))(x)
    x = keras.layers.Reshape(IMAGE[1:])(x)
    # The mixtures hold the other synthesizers.
    for name in ("dense_tanh", "mixture_random", "mixture_nested"):
        synthesizer = SYNTHESIZERS[name].make()
        stt = STT(4, synthesizer=synthesizer, dropout=0.1, seed=1, name=name)
        x = keras.layers.Add()([x, stt(x, mask=mask)])
    x = STTBlock(dropout=0.1, stochastic_depth=0.1)(x, mask=mask)
    x = STTBlock(SelfAttention(2), mlp_ratio=0.5, activation="relu")(x, mask=mask)
    # A row reads the whole, in both ways.
    text = x[:, 0]
    for cross_attention in (CrossAttention(2), STTCrossAttention(2)):
        block = STTBlock(STT(2), cross_attention=cross_attention)
        text = block(text, x, use_causal_mask=True)
    x = keras.layers.Add()([x, keras.layers.Reshape((1, *text.shape[1:]))(text)])
    model = keras.Model([image, mask], x)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables + model.non_trainable_variables:
        if "seed_generator" not in variable.path:
            variable.assign(rng.normal(0.0, 0.3, size=variable.shape))
    return model


def image_and_mask():
    x = normal(*IMAGE)
    return [x, x[..., 0] > -0.5]


def test_saved_and_loaded(tmp_path):
    model, inputs = everything(), image_and_mask()
    expected = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert relative_error(reloaded.predict(inputs, verbose=0), expected) < 1e-6
    assert reloaded.to_json() == model.to_json()


def test_weights_saved_and_loaded(tmp_path):
    model, inputs = everything(), image_and_mask()
    expected = model.predict(inputs, verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    for variable in model.variables:
        variable.assign(np.zeros(variable.shape))
    assert relative_error(model.predict(inputs, verbose=0), expected) > 0.1
    model.load_weights(tmp_path / "model.weights.h5")
    assert relative_error(model.predict(inputs, verbose=0), expected) < 1e-6


LOAD = """
import contextlib, sys
with contextlib.suppress(ImportError):
    import torch  # before TensorFlow
import keras, numpy as np
import keras_stt
folder = sys.argv[1]
inputs = [np.load(f"{folder}/{name}.npy") for name in ("image", "mask")]
model = keras.models.load_model(f"{folder}/model.keras")
np.save(f"{folder}/loaded.npy", model.predict(inputs, verbose=0))
quantized = keras.models.load_model(f"{folder}/int8.keras")
np.save(f"{folder}/int8.npy", quantized.predict(inputs[0], verbose=0))
fresh = keras.models.model_from_json(model.to_json())
fresh.load_weights(f"{folder}/model.weights.h5")
for here, there in zip(fresh.get_weights(), model.get_weights(), strict=True):
    np.testing.assert_array_equal(here, there)
"""


@pytest.mark.filterwarnings("ignore:Layer .*does not have a `quantize:UserWarning")
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_saved_here_and_loaded_on_another_backend(backend, tmp_path):
    # Seconds: another interpreter imports another backend.
    if backend not in other_backends():
        pytest.skip(f"{backend} is not installed, or running")
    model, inputs = everything(), image_and_mask()
    expected = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    for name, value in zip(("image", "mask"), inputs, strict=True):
        np.save(tmp_path / f"{name}.npy", value)
    small = keras.Sequential(
        [keras.Input(inputs[0].shape[1:]), STTBlock(STT(4)), STTBlock(DepthwiseSTT())]
    )
    small.quantize("int8")
    small.save(tmp_path / "int8.keras")
    run_python(LOAD, tmp_path, backend=backend)
    assert relative_error(np.load(tmp_path / "loaded.npy"), expected) < 1e-5
    # Backends may round a half differently, to the next of 127 steps.
    quantized = small.predict(inputs[0], verbose=0)
    assert relative_error(np.load(tmp_path / "int8.npy"), quantized) < 0.01
