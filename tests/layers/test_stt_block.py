import keras
import numpy as np
import oracle
import pytest
from support import array, built, normal, relative_error, weights_of

from keras_stt.layers import STT, STTBlock
from keras_stt.mixers import AxialAttention, SelfAttention

IMAGE = (2, 3, 5, 8)


def layer_norm(x, gamma, beta, epsilon):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


MIXERS = {
    "stt": lambda: STT(2, synthesizer="random"),
    "self-attention": lambda: SelfAttention(2),
    "axial-attention": lambda: AxialAttention(2),
    "depthwise-conv": lambda: keras.layers.DepthwiseConv2D(3, padding="same"),
    "dense": lambda: keras.layers.Dense(8),
    "sequential": lambda: keras.Sequential([STT(2), keras.layers.Dense(8)]),
}


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_formula_with_any_mixer(mixer):
    block = STTBlock(MIXERS[mixer](), mlp_ratio=1.5, epsilon=1e-2)
    built(block, IMAGE)
    w, x = weights_of(block), normal(*IMAGE).astype("float64")

    def norm(x, name):
        return layer_norm(x, w[f"{name}/gamma"], w[f"{name}/beta"], 1e-2)

    normed = norm(x, "mixer_norm").astype("float32")
    hidden = x + array(block.mixer(normed)).astype("float64")
    mlp = oracle.gelu(norm(hidden, "mlp_norm") @ w["expand/kernel"] + w["expand/bias"])
    assert mlp.shape[-1] == 12
    expected = hidden + mlp @ w["project/kernel"] + w["project/bias"]
    assert relative_error(block(x.astype("float32")), expected) < 1e-5


def test_stt_is_the_default():
    block = built(STTBlock(dtype="mixed_bfloat16"), IMAGE)
    assert isinstance(block.mixer, STT)
    assert block.mixer.num_heads == 4
    assert block.mixer.dtype_policy.name == "mixed_bfloat16"
    assert block.expand.units == 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixer": "stt"}, "must be a Keras layer or `None`. Received: mixer='stt'"),
        ({"mlp_ratio": 0}, "`mlp_ratio` must be positive. Received: mlp_ratio=0"),
        ({"mlp_ratio": -1.5}, r"positive. Received: mlp_ratio=-1.5"),
        ({"stochastic_depth": 1.0}, r"in \[0, 1\). Received: stochastic_depth=1.0"),
        ({"stochastic_depth": -0.1}, "Received: stochastic_depth=-0.1"),
        ({"dropout": 2}, "between 0 and 1. Received: rate=2"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        STTBlock(**arguments).build(IMAGE)


@pytest.mark.parametrize(
    "mixer",
    [
        lambda: keras.layers.Dense(7),
        lambda: keras.layers.DepthwiseConv2D(3),
        lambda: STT(2, output_shape=(2, 4)),
    ],
)
def test_a_mixer_that_changes_the_shape_is_an_error(mixer):
    message = r"must keep the shape of its input. Received: a mixer from \(2, 3, 5, 8\)"
    with pytest.raises(ValueError, match=message):
        STTBlock(mixer()).build(IMAGE)


def test_a_mixer_of_two_tensors_is_an_error():
    message = "(?s)called with one tensor.*SelfAttention.*needs value"
    with pytest.raises(ValueError, match=message):
        STTBlock(keras.layers.MultiHeadAttention(2, 4))


def test_masks_reach_the_mixer():
    block, x = built(STTBlock(STT(2)), IMAGE), normal(*IMAGE)
    mask = normal(*IMAGE[:-1]) > 0
    changed = np.where(mask[..., None], x, 3.0).astype("float32")
    expected, actual = (array(block(v, mask=mask)) for v in (x, changed))
    assert relative_error(actual[mask], expected[mask]) < 1e-6
    assert relative_error(array(block(x)), expected) > 1e-3


def test_an_implicit_mask_reaches_the_mixer_and_is_handed_on():
    tokens = np.array([[3, 1, 0, 2, 0], [0, 0, 4, 0, 0]])
    embedding = built(keras.layers.Embedding(6, 8, mask_zero=True), (2, 5))
    block = built(STTBlock(STT(2)), (2, 5, 8))
    embedded = embedding(tokens)
    output = block(embedded)
    expected = array(block(array(embedded), mask=tokens != 0))
    np.testing.assert_array_equal(array(output), expected)
    np.testing.assert_array_equal(array(output._keras_mask), tokens != 0)


def test_causal_masks_reach_the_mixer():
    block, x = built(STTBlock(STT(2)), (2, 5, 8)), normal(2, 5, 8)
    expected = array(block(x, use_causal_mask=True))
    x[:, 3:] += 1.0
    actual = array(block(x, use_causal_mask=True))
    assert relative_error(actual[:, :3], expected[:, :3]) < 1e-6
    block = built(STTBlock(STT(2, synthesizer="random")), IMAGE)
    x = normal(*IMAGE)
    expected = array(block(x, use_causal_mask=2))
    x[:, :, 3:] += 1.0
    actual = array(block(x, use_causal_mask=2))
    assert relative_error(actual[:, :, :3], expected[:, :, :3]) < 1e-6


def test_a_mask_for_a_mixer_that_takes_none_is_an_error():
    block = built(STTBlock(keras.layers.DepthwiseConv2D(3, padding="same")), IMAGE)
    message = "must take the call argument `{}`.*Received: {} for DepthwiseConv2D"
    with pytest.raises(ValueError, match=message.format("mask", "mask")):
        block(normal(*IMAGE), mask=np.ones(IMAGE[:-1], bool))
    name = "use_causal_mask"
    with pytest.raises(ValueError, match=message.format(name, name)):
        block(normal(*IMAGE), use_causal_mask=True)


def test_a_mask_for_a_mixer_that_mixes_nothing_changes_nothing():
    block, x = built(STTBlock(keras.layers.Dense(8)), IMAGE), normal(*IMAGE)
    mask = normal(*IMAGE[:-1]) > 0
    np.testing.assert_array_equal(array(block(x, mask=mask)), array(block(x)))


def constant_block(batch, **arguments):
    """A block whose mixer gives 1 everywhere and whose MLP adds nothing; an input."""
    mixer = keras.layers.Dense(8, kernel_initializer="zeros", bias_initializer="ones")
    block = STTBlock(mixer, **arguments)
    block.build((batch, 3, 5, 8))
    block.project.kernel.assign(keras.ops.zeros((32, 8)))
    return block, normal(batch, 3, 5, 8)


def added(block, x, training=True):
    return array(block(x, training=training)) - x


def test_stochastic_depth_drops_whole_examples_in_training_only():
    block, x = constant_block(64, stochastic_depth=0.25, seed=1)
    np.testing.assert_allclose(added(block, x, training=False), 1.0, rtol=1e-5)
    np.testing.assert_allclose(array(block(x)) - x, 1.0, rtol=1e-5)
    per_example = added(block, x).reshape(64, -1)
    dropped = np.abs(per_example[:, 0]) < 0.5
    assert 4 < dropped.sum() < 32
    # Each example as a whole; what is kept is scaled so that the mean stays.
    np.testing.assert_allclose(per_example[dropped], 0.0, atol=1e-5)
    np.testing.assert_allclose(per_example[~dropped], 4 / 3, rtol=1e-5)


def test_stochastic_depth_drops_mixer_and_mlp_independently():
    block, x = constant_block(64, stochastic_depth=0.5, seed=1)
    block.project.bias.assign(keras.ops.full((8,), 10.0))
    branches = np.round(added(block, x)[:, 0, 0, 0]).astype(int)
    assert set(branches) == {0, 2, 20, 22}


def test_dropout_drops_single_numbers_in_training_only():
    block, x = constant_block(2, dropout=0.5, seed=1)
    np.testing.assert_allclose(added(block, x, training=False), 1.0, rtol=1e-5)
    assert set(np.round(added(block, x)[0].ravel(), 3)) == {0.0, 2.0}
    # Behind the MLP as well.
    block.project.bias.assign(keras.ops.full((8,), 10.0))
    assert set(np.round(added(block, x).ravel(), 3)) == {0.0, 2.0, 20.0, 22.0}


def test_the_same_seed_gives_the_same_draws():
    draws = []
    for seed in (1, 1, 2):
        arguments = {"dropout": 0.2, "stochastic_depth": 0.4, "seed": seed}
        draws.append(added(*constant_block(16, **arguments)))
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 0.1


def test_a_reloaded_block_has_an_equal_mixer():
    block = STTBlock(STT(2, synthesizer="random", name="mine"), dropout=0.1, seed=3)
    copy = STTBlock.from_config(block.get_config())
    assert copy.get_config() == block.get_config()
    assert copy.mixer is not block.mixer
    assert copy.mixer.name == "mine"
