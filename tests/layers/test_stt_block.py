import keras
import numpy as np
import oracle
import pytest
from support import (
    array,
    built,
    gradients,
    normal,
    randomize,
    relative_error,
    weights_of,
)

from keras_stt.layers import STT, CrossAttention, STTBlock, STTCrossAttention
from keras_stt.mixers import AxialAttention, Pooling, SelfAttention

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


@pytest.mark.parametrize(
    ("mixer", "layer_scale"), [*((name, None) for name in MIXERS), ("stt", 1e-4)]
)
def test_the_formula_with_any_mixer(mixer, layer_scale):
    block = STTBlock(
        MIXERS[mixer](), mlp_ratio=1.5, epsilon=1e-2, layer_scale=layer_scale
    )
    built(block, IMAGE)
    w, x = weights_of(block), normal(*IMAGE).astype("float64")

    def norm(x, name):
        return layer_norm(x, w[f"{name}/gamma"], w[f"{name}/beta"], 1e-2)

    normed = norm(x, "mixer_norm").astype("float32")
    hidden = x + w.get("mixer_scale", 1) * array(block.mixer(normed)).astype("float64")
    mlp = oracle.gelu(norm(hidden, "mlp_norm") @ w["expand/kernel"] + w["expand/bias"])
    assert mlp.shape[-1] == 12
    mlp = mlp @ w["project/kernel"] + w["project/bias"]
    expected = hidden + w.get("mlp_scale", 1) * mlp
    assert relative_error(block(x.astype("float32")), expected) < 1e-5
    assert ("mlp_scale" in w) == (layer_scale is not None)


def test_layer_scale_starts_where_it_is_told_and_keeps_what_was_learned(tmp_path):
    block = STTBlock(STT(2), layer_scale=0.25, cross_attention=CrossAttention(2))
    text, image = normal(2, 3, 8), normal(*IMAGE, seed=1)
    block(text, image)
    assert [*block.scales] == ["mixer", "mlp", "cross"]
    for scale in block.scales.values():
        np.testing.assert_array_equal(array(scale), np.full(8, 0.25))
    expected = array(block(text, image))
    block.scales["cross"].assign(np.zeros(8))
    assert relative_error(block(text, image), expected) > 1e-3
    inputs = [keras.Input(IMAGE[1:]), keras.Input((3, 8))]
    model = keras.Model(inputs, block(inputs[1], inputs[0]))
    model.save(tmp_path / "block.keras")
    loaded = keras.saving.load_model(tmp_path / "block.keras")
    assert relative_error(loaded([image, text]), array(model([image, text]))) < 1e-5


@pytest.mark.parametrize("layer_scale", [-1, "a", True, float("nan")])
def test_a_layer_scale_that_is_none(layer_scale):
    with pytest.raises(ValueError, match=r"`layer_scale`.*Received: "):
        STTBlock(layer_scale=layer_scale)


def test_stt_is_the_default():
    block = built(STTBlock(dtype="mixed_bfloat16"), IMAGE)
    assert isinstance(block.mixer, STT)
    assert block.mixer.num_heads == 4
    assert block.mixer.dtype_policy.name == "mixed_bfloat16"
    assert block.expand.units == 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixer": "stt"}, "`mixer`.*Received: mixer='stt'"),
        ({"mlp_ratio": 0}, "`mlp_ratio`.*Received: mlp_ratio=0"),
        ({"mlp_ratio": -1.5}, "`mlp_ratio`.*Received: mlp_ratio=-1.5"),
        ({"stochastic_depth": 1.0}, "`stochastic_depth`.*Received: .*1.0"),
        ({"stochastic_depth": -0.1}, "`stochastic_depth`.*Received: .*-0.1"),
        ({"dropout": 2}, "`dropout`.*Received: dropout=2"),
        ({"epsilon": 0}, "`epsilon`.*Received: epsilon=0"),
        ({"activation": "gelo"}, "`activation`.*Received: activation='gelo'"),
        ({"seed": "a"}, "`seed`.*Received: seed='a'"),
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
    with pytest.raises(ValueError, match=r"`mixer`.*SelfAttention.*Received: mixer="):
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
    block = built(STTBlock(STT(2, synthesizer="random", causal_axes=2)), IMAGE)
    x = normal(*IMAGE)
    expected = array(block(x, use_causal_mask=True))
    x[:, :, 3:] += 1.0
    actual = array(block(x, use_causal_mask=True))
    assert relative_error(actual[:, :, :3], expected[:, :, :3]) < 1e-6


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_scores_of_the_mixer(data_format):
    mixer = STT(2)
    block = STTBlock(mixer, data_format=data_format)
    shape = (2, 8, 3, 5) if data_format == "channels_first" else (2, 3, 5, 8)
    inputs = normal(*shape)
    output, scores = block(inputs, return_attention_scores=True)
    np.testing.assert_array_equal(array(output), array(block(inputs)))
    normed = block.mixer_norm(block.channels_last(inputs))
    _, expected = mixer(normed, return_attention_scores=True)
    for found, wanted in zip(scores, expected, strict=True):
        np.testing.assert_array_equal(array(found), array(wanted))
    symbolic = block(keras.Input(shape[1:]), return_attention_scores=True)
    assert symbolic[0].shape == (None, *shape[1:])
    assert [s.shape for s in symbolic[1]] == [(None, 2, 3, 3), (None, 2, 5, 5)]


def test_scores_of_a_mixer_without_scores_are_an_error():
    with pytest.raises(ValueError, match="`return_attention_scores` needs a mixer"):
        STTBlock(keras.layers.Dense(8))(normal(2, 3, 8), return_attention_scores=True)


@pytest.mark.parametrize(
    ("mixer", "options", "message"),
    [
        (keras.layers.Dense(8), {"use_causal_mask": True}, "`use_causal_mask` needs"),
        (STT(2), {"use_causal_mask": True}, "`use_causal_mask` is not possible"),
        (STT(2), {"context": normal(2, 4, 8)}, "`context` must be given with a cross"),
        (Pooling(), {"mask": np.ones((2, 3, 5), bool)}, "`mask` needs"),
    ],
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_options_that_do_not_fit_are_errors_at_once(mixer, options, message, symbolic):
    block = STTBlock(keras.saving.serialize_keras_object(mixer))
    inputs = keras.Input(IMAGE[1:]) if symbolic else normal(*IMAGE)
    with pytest.raises(ValueError, match=message):
        block(inputs, **options)


def test_booleans_of_numpy():
    block = STTBlock(keras.layers.Dense(8))
    inputs = normal(*IMAGE)
    found = block(inputs, use_causal_mask=np.False_, return_attention_scores=np.False_)
    np.testing.assert_array_equal(array(found), array(block(inputs)))


def test_a_block_that_could_not_be_made_owns_no_mixer():
    mixer = STT(2)
    with pytest.raises(ValueError, match="mlp_ratio") as failed:
        STTBlock(mixer, mlp_ratio=-1)
    assert STTBlock(mixer).mixer is mixer
    assert failed  # What a traceback keeps alive.


def test_a_mask_for_a_mixer_that_takes_none_is_an_error():
    block = built(STTBlock(keras.layers.DepthwiseConv2D(3, padding="same")), IMAGE)
    message = "`{}` needs a mixer.*Received: {} for DepthwiseConv2D"
    with pytest.raises(ValueError, match=message.format("mask", "mask")):
        block(normal(*IMAGE), mask=np.ones(IMAGE[:-1], bool))
    name = "use_causal_mask"
    with pytest.raises(ValueError, match=message.format(name, name)):
        block(normal(*IMAGE), use_causal_mask=True)


def test_a_mask_for_a_mixer_that_mixes_nothing_changes_nothing():
    block, x = built(STTBlock(keras.layers.Dense(8)), IMAGE), normal(*IMAGE)
    mask = normal(*IMAGE[:-1]) > 0
    expected, actual = array(block(x)), array(block(x, mask=mask))
    np.testing.assert_array_equal(actual[mask], expected[mask])


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


@pytest.mark.parametrize("name", ["mixer", "cross_attention"])
def test_a_layer_that_another_block_has_is_an_error(name):
    mixer = STT(2)
    block = STTBlock(**{name: mixer})
    with pytest.raises(ValueError, match=f"`{name}`.*no other block.*Received: {name}"):
        STTBlock(**{name: mixer})
    # A copy is no problem, nor a layer whose block is gone.
    STTBlock(**{name: STT.from_config(mixer.get_config())})
    assert getattr(block, name) is mixer


def test_the_policy_of_the_block_reaches_a_mixer_that_has_none():
    block = built(STTBlock(STT(2), dtype="mixed_bfloat16"), IMAGE)
    assert block.mixer.dtype_policy.name == "mixed_bfloat16"
    assert block.mixer.value_dense.compute_dtype == "bfloat16"
    # One that has its own keeps it, also in a copy of the block.
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    block = STTBlock(STT(2, dtype=policy), dtype="mixed_bfloat16")
    assert block.mixer.dtype_policy == policy
    block = STTBlock(STT(2))
    block.dtype_policy = "mixed_bfloat16"
    again = STTBlock.from_config(block.get_config())
    assert again.mixer.dtype_policy.name == "float32"


def test_a_mixer_with_channels_first_is_an_error():
    with pytest.raises(ValueError, match=r"`mixer`.*channels_first"):
        STTBlock(STT(2, data_format="channels_first"))


def test_channels_first():
    last, first = STTBlock(STT(2)), STTBlock(STT(2), data_format="channels_first")
    last.build(IMAGE)
    first.build((2, 8, 3, 5))
    first.set_weights(randomize(last).get_weights())
    x = normal(*IMAGE)
    expected = np.moveaxis(array(last(x)), -1, 1)
    np.testing.assert_allclose(array(first(np.moveaxis(x, -1, 1))), expected, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"dropout": 0.5, "stochastic_depth": 0.5}])
def test_layers_that_do_nothing_are_not_there(options):
    block = built(STTBlock(STT(2), **options), IMAGE)
    assert len(block.regularizers) == len(options)


def test_rematerialisation():
    block = built(STTBlock(STT(2, name="mixer")), IMAGE)
    with keras.RematScope(mode="full"):
        remat = STTBlock(STT(2, name="mixer"))
        remat.build(IMAGE)
    remat.set_weights(block.get_weights())
    x = normal(*IMAGE)
    np.testing.assert_allclose(array(remat(x)), array(block(x)), atol=1e-6)
    (dx, found), (dy, expected) = gradients(remat, x), gradients(block, x)
    np.testing.assert_allclose(dx, dy, atol=1e-4)
    for name, gradient in expected.items():
        scale = max(1.0, np.abs(gradient).max())
        assert np.abs(found[name] - gradient).max() < 1e-4 * scale, name


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow",
    reason="Keras's rematerialisation takes no keyword arguments in a graph there",
)
def test_a_remat_block_trains():
    # Training passes `training`, and on JAX it traces the step. Seconds: it compiles.
    with keras.RematScope(mode="full"):
        model = keras.Sequential([keras.Input(IMAGE[1:]), STTBlock(STT(2))])
    model.compile("sgd", "mse")
    history = model.fit(normal(*IMAGE), normal(*IMAGE, seed=1), verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("cross", [CrossAttention, STTCrossAttention])
def test_implicit_masks_of_text_and_context(cross):
    block = STTBlock(STT(2), cross_attention=cross(2))
    block.build((2, 5, 8), (2, 4, 6))
    randomize(block)
    tokens, words = np.array([[3, 1, 0, 2, 0], [1] * 5]), np.array([[1, 2, 0, 0]] * 2)
    text = keras.layers.Embedding(6, 8, mask_zero=True)(tokens)
    context = keras.layers.Embedding(6, 6, mask_zero=True)(words)
    expected = block(
        array(text), array(context), mask=tokens != 0, context_mask=words != 0
    )
    np.testing.assert_allclose(
        array(block(text, context)), array(expected), atol=1e-5, rtol=1e-5
    )
    assert relative_error(block(array(text), array(context)), array(expected)) > 1e-3
