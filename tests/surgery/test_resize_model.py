"""A model made for another input size: what is interpolated, copied and refused."""

import keras
import numpy as np
import pytest
from support import array, normal, randomize

from keras_stt.layers import STT, DepthwiseSTT, PositionEmbedding, STTCrossAttention
from keras_stt.mixers import MIXERS
from keras_stt.models import ImageCaptioner, image_classifier
from keras_stt.surgery import SizeError, resize_model
from keras_stt.synthesizers import Mixture

#: Where a cubic of four points sees no border, after 6 positions became 12.
INSIDE = slice(3, -3)
TIED = ["stt-factorized-dense", "mlp-mixer", "gmlp", "linformer", "dynamixer"]
OURS = ["stt-dense", "stt-random", "stt-depthwise-synthesized", "mha"]
FREE = [name for name in MIXERS if name not in TIED]


def classifier(side, mixer, **options):
    model = image_classifier(
        (side, side, 3), 4, mixer=mixer, grid=(side // 4,) * 2, width=8, depth=1,
        stem="patch", **options,
    )  # fmt: skip
    return randomize(model, stddev=0.2)


def one_layer(layer, *shape):
    return keras.Sequential([keras.Input(shape), layer])


def coordinates():
    """Where the 12 new positions lie among the 6 old ones."""
    return (np.arange(12) + 0.5) / 2 - 0.5


def quadratic(queries, keys):
    """Logits that a cubic interpolates exactly."""
    i, j = queries[:, None], keys[None, :]
    return 0.3 * i - 0.2 * (i - j) ** 2 + 0.1 * j


def logits_of(layer, axis_shape, index=0):
    return array(layer.synthesizers[index](np.zeros((1, *axis_shape, 8), "float32")))


@pytest.mark.parametrize(
    "mixer",
    [
        pytest.param(name, marks=() if name in OURS else pytest.mark.backend_free)
        for name in FREE
    ],
)
def test_every_mixer(mixer):
    model = classifier(16, mixer)
    images = np.random.rand(2, 16, 16, 3).astype("float32")
    same = resize_model(model, (16, 16, 3))
    np.testing.assert_allclose(array(same(images)), array(model(images)), rtol=1e-5)
    larger = resize_model(model, (24, 32, 3))
    assert np.isfinite(array(larger(np.zeros((2, 24, 32, 3), "float32")))).all()


def test_both_sizes_work_side_by_side():
    # On JAX, a prediction frees the arrays of the weights that it was given.
    model = classifier(16, "stt-dense")
    before = [array(weight) for weight in model.weights]
    larger = resize_model(model, (24, 32, 3))
    for each, *sides in ((larger, 24, 32), (model, 16, 16), (larger, 24, 32)):
        logits = each.predict(np.zeros((2, *sides, 3), "float32"), verbose=0)
        assert np.isfinite(logits).all()
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(array(weight), value)


def test_what_is_not_tied_is_copied_and_the_embedding_is_interpolated():
    model = classifier(32, "stt-depthwise")
    embedding = next(w for w in model.weights if "position_embedding" in w.path)
    embedding.assign(np.tile(np.arange(8.0)[:, None, None], (1, 8, 8)))
    larger = resize_model(model, (48, 48, 3))
    for source, target in zip(model.weights, larger.weights, strict=True):
        if source is not embedding:
            np.testing.assert_array_equal(array(source), array(target))
            continue
        rows = (np.arange(12) + 0.5) * 8 / 12 - 0.5
        expected = np.tile(rows[INSIDE, None, None], (1, 12, 8))
        np.testing.assert_allclose(array(target)[INSIDE], expected, atol=1e-5)


def test_random_logits():
    layer = STT(2, synthesizer="random")
    model = one_layer(layer, 6, 8)
    old, new = np.arange(6.0), coordinates()
    layer.synthesizers[0].logits.assign(np.stack([quadratic(old, old)] * 2))
    resized = resize_model(model, (12, 8)).layers[0]
    expected = quadratic(new[INSIDE], new[INSIDE])
    for head in logits_of(resized, (12,))[0]:
        np.testing.assert_allclose(head[INSIDE, INSIDE], expected, atol=1e-4)


def test_factorized_random_logits():
    layer = STT(1, synthesizer="factorized_random")
    model = one_layer(layer, 6, 8)
    old, new = np.arange(6.0), coordinates()
    synthesizer = layer.synthesizers[0]

    def factors(i, j):
        """`quadratic` as a product of rank 3."""
        rows = np.stack([0.3 * i - 0.2 * i**2, 0.4 * i, np.ones(i.size)], -1)
        columns = np.stack([np.ones(j.size), j, 0.1 * j - 0.2 * j**2], -1)
        return [np.pad(each, [(0, 0), (0, 5)])[None] for each in (rows, columns)]

    synthesizer.rows.assign(factors(old, old)[0])
    synthesizer.columns.assign(factors(old, old)[1])
    resized = resize_model(model, (12, 8)).layers[0]
    found = logits_of(resized, (12,))[0, 0, INSIDE, INSIDE]
    np.testing.assert_allclose(found, quadratic(new, new)[INSIDE, INSIDE], atol=1e-4)


@pytest.mark.parametrize("synthesizer", ["dense", Mixture(["dense", "dense"])])
def test_dense_logits(synthesizer):
    # The same at every row: what the hidden features hold times a quadratic of j.
    layer = STT(2, synthesizer=synthesizer, attention_axes=1)
    model = one_layer(layer, 6, 5, 8)
    old, new = np.arange(6.0), coordinates()
    made = layer.synthesizers[0]
    for each in getattr(made, "components", [made]):
        each.hidden_dense.kernel.assign(np.zeros((8, 32)))
        each.hidden_dense.bias.assign(np.full(32, 0.5))
        kernel = np.stack([quadratic(np.arange(32.0), old)] * 2, axis=1)
        each.logits_dense.kernel.assign(kernel.reshape(32, 12))
        each.logits_dense.bias.assign(np.tile(old**2, 2))
    resized = resize_model(model, (12, 5, 8)).layers[0]
    kernel = quadratic(np.arange(32.0), new)
    expected = (0.5 * kernel.sum(0) + new**2)[INSIDE]
    for head in logits_of(resized, (12, 5))[0]:
        for row in head[:, INSIDE]:
            np.testing.assert_allclose(row, expected, rtol=1e-4)


def test_a_gaussian_keeps_its_width_in_positions():
    layer = DepthwiseSTT()
    model = one_layer(layer, 16, 16, 4)
    larger = resize_model(model, (24, 24, 4))
    images = normal(1, 24, 24, 4)
    small = array(model(images[:, 4:20, 4:20]))[:, 6:-6, 6:-6]
    large = array(larger(images))[:, 10:-10, 10:-10]
    local = np.tile([True, True, True, False], 2).reshape(4, 2).all(-1)
    np.testing.assert_allclose(small[..., local], large[..., local], atol=1e-4)


def test_one_mode_of_several_and_the_channels_first():
    layer = STT(2, synthesizer="random", attention_axes=3, data_format="channels_first")
    model = one_layer(layer, 8, 5, 6)
    old, new = np.arange(6.0), coordinates()
    layer.synthesizers[0].logits.assign(np.stack([quadratic(old, old)] * 2))
    larger = resize_model(model, (8, 7, 12))
    found = array(larger.layers[0].synthesizers[0].logits)[0, INSIDE, INSIDE]
    np.testing.assert_allclose(found, quadratic(new, new)[INSIDE, INSIDE], atol=1e-4)
    assert larger(np.zeros((1, 8, 7, 12))).shape == (1, 8, 7, 12)


def captioner(cross_attention="mha"):
    return ImageCaptioner(
        (16, 16, 3), ["a", "b"], 4, grid=(4, 4), width=8, num_heads=2,
        encoder_depth=1, decoder_depth=1, cross_attention=cross_attention,
    )  # fmt: skip


@pytest.mark.parametrize("cross_attention", ["mha", "stt"])
def test_a_captioner(cross_attention):
    model = captioner(cross_attention)
    larger = resize_model(model, (24, 16, 3))
    assert larger.get_config()["grid"] == (6, 4)
    assert len(larger.generate(np.random.rand(2, 24, 16, 3))) == 2
    if cross_attention == "stt":
        source, target = (
            next(w for w in m.weights if w.path.endswith("logits_1/bias"))
            for m in (model, larger)
        )
        assert (source.shape, target.shape) == ((8,), (12,))
    same = resize_model(model, (16, 16, 3))
    inputs = {
        "image": np.random.rand(2, 16, 16, 3).astype("float32"),
        "tokens": np.array([[2, 4, 5, 3, 0]] * 2, "int32"),
    }
    np.testing.assert_allclose(array(same(inputs)), array(model(inputs)), rtol=1e-5)


def test_models_in_models():
    backbone = classifier(16, "stt-random")
    outer = keras.Sequential(
        [keras.Input((16, 16, 3)), backbone, keras.layers.Dense(3)]
    )
    image = keras.Input((16, 16, 3), name="photo")
    model = keras.Model({"photo": image}, outer(inputs=image))
    larger = resize_model(model, (24, 24, 3))
    inner = larger.layers[1].layers[0]
    assert type(inner) is type(backbone)
    assert larger({"photo": np.zeros((2, 24, 24, 3))}).shape == (2, 3)
    images = np.random.rand(2, 16, 16, 3).astype("float32")
    same = resize_model(model, (16, 16, 3))
    np.testing.assert_allclose(
        array(same({"photo": images})), array(model({"photo": images})), rtol=1e-5
    )


def test_a_model_that_is_called_twice_stays_one():
    shared = classifier(16, "stt-random", name="shared")
    image = keras.Input((16, 16, 3))
    flipped = keras.layers.RandomFlip("horizontal", seed=0)(image)
    model = keras.Model(image, shared(image) + shared(flipped))
    larger = resize_model(model, (24, 24, 3))
    assert [layer.name for layer in larger.layers].count("shared") == 1
    assert len(larger.weights) == len(model.weights)
    assert larger(np.zeros((1, 24, 24, 3))).shape == (1, 4)


def test_a_model_of_two_inputs_in_the_model():
    pair = [keras.Input((4, 8)), keras.Input((4, 8))]
    inner = keras.Model(pair, STT(2, synthesizer="random")(pair[0] + pair[1]))
    text = keras.Input((4, 8))
    attention = keras.layers.MultiHeadAttention(2, 4)
    hidden = attention(query=text, value=text)
    model = keras.Model(text, inner([hidden, text]))
    larger = resize_model(model, (7, 8))
    assert larger(np.zeros((2, 7, 8))).shape == (2, 7, 8)


@pytest.mark.parametrize("part", ["model", "block_0", "mixer", "expand"])
def test_what_is_frozen_stays_frozen(part):
    model = classifier(16, "stt-dense")
    block = model.get_layer("block_0")
    parts = {"model": model, "block_0": block, "mixer": block.mixer}
    parts.get(part, block.expand).trainable = False
    larger = resize_model(model, (24, 24, 3))
    assert [v.path for v in larger.trainable_variables] == [
        v.path for v in model.trainable_variables
    ]
    assert len(larger.trainable_variables) < len(larger.variables) - 1
    if part == "model":
        assert not larger.trainable_variables
        assert not larger.trainable


def test_losses_that_keras_cannot_serialise_do_no_harm():
    model = classifier(16, "stt-dense")
    model.compile("sgd", lambda y, p: keras.ops.mean(p))
    larger = resize_model(model, (24, 24, 3))
    assert not larger.compiled
    model.fit(np.zeros((2, 16, 16, 3)), np.zeros((2, 4)), verbose=0)


def test_a_resized_model_trains_and_loads(tmp_path):
    larger = resize_model(classifier(16, "stt-dense"), (24, 24, 3))
    larger.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = np.random.rand(4, 24, 24, 3).astype("float32")
    embedding = larger.get_layer("position").embedding
    before = array(embedding)
    larger.fit(images, np.array([0, 1, 2, 3]), epochs=1, verbose=0)
    assert np.abs(array(embedding) - before).max() > 0
    larger.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(array(loaded(images)), array(larger(images)), rtol=1e-5)


@pytest.mark.parametrize("mixer", TIED)
def test_weights_that_cannot_be_interpolated(mixer):
    with pytest.raises(SizeError, match=r"block_0/mixer/.*Received: image"):
        resize_model(classifier(16, mixer, name="image"), (24, 24, 3))


def two_inputs():
    first, second = keras.Input((4,)), keras.Input((4,))
    return keras.Model([first, second], first + second)


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    "make",
    [
        two_inputs,
        Subclassed,
        lambda: keras.Sequential([keras.layers.Dense(2)]),
        lambda: keras.layers.Dense(2),
        lambda: None,
    ],
)
def test_models_that_cannot_be_rebuilt(make):
    with pytest.raises(ValueError, match=r"`model` must .*Received: "):
        resize_model(make(), (8,))


@pytest.mark.parametrize(
    "shape", [48, (48, 48), (48, 48, 3, 3), (0, 48, 3), (2.5, 48, 3)]
)
@pytest.mark.parametrize("kind", ["classifier", "captioner"])
def test_shapes_that_are_none(kind, shape):
    model = classifier(16, "mha") if kind == "classifier" else captioner()
    with pytest.raises(
        ValueError, match=r"`input_shape` must be a tuple of 3.*Received: "
    ):
        resize_model(model, shape)


def test_a_captioner_wants_whole_cells():
    with pytest.raises(ValueError, match=r"`input_shape`.*4×4 pixels.*\(25, 16, 3\)"):
        resize_model(captioner(), (25, 16, 3))


def test_a_fixed_batch_size_stays():
    model = keras.Sequential([keras.Input(batch_shape=(2, 6, 8)), STT(2)])
    assert resize_model(model, (12, 8)).input_shape == (2, 12, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("quantize", "quantised afterwards.*logits/kernel"),
        ("lora", "enable LoRA, after"),
    ],
)
def test_models_with_other_weights_than_they_are_made_with(change, message):
    layer = STT(2)
    model = one_layer(layer, 4, 4, 8)
    if change == "lora":
        layer.value_dense.enable_lora(2)
    else:
        layer.synthesizers[0].logits_dense.quantize("int8")
    with pytest.raises(ValueError, match=message):
        resize_model(model, (6, 6, 8))


@pytest.mark.parametrize(
    ("layer", "built_for", "called_with"),
    [
        (STT(2), (None, 4, 6, 8), (1, 4, 5, 8)),
        (STT(2, data_format="channels_first"), (None, 8, 4, 6), (1, 8, 4, 5)),
        (PositionEmbedding(), (None, 4, 6, 8), (1, 5, 6, 8)),
    ],
)
def test_a_layer_says_how_to_resize(layer, built_for, called_with):
    layer.build(built_for)
    with pytest.raises(ValueError, match=r"surgery\.resize_model.*Received: inputs"):
        layer(np.zeros(called_with))


def test_a_model_says_how_to_resize():
    with pytest.raises(ValueError, match=r"surgery\.resize_model.*Received: x\.shape"):
        classifier(16, "mha").predict(np.zeros((1, 24, 24, 3)))


@pytest.mark.parametrize("make", [np.zeros, keras.KerasTensor])
def test_a_cross_attention_says_how_to_resize(make):
    layer = STTCrossAttention(2)
    layer(np.zeros((1, 3, 8)), np.zeros((1, 4, 6, 8)))
    with pytest.raises(ValueError, match=r"surgery\.resize_model.*Received: context"):
        layer(make((1, 3, 8)), make((1, 4, 5, 8)))


def test_a_shape_of_numpy():
    shape = np.array([24, 16, 3])
    assert resize_model(classifier(16, "none"), shape).input_shape == (None, 24, 16, 3)


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.filterwarnings("ignore:Layer .*does not have a `quantize")
def test_a_quantised_model(mode):
    model = classifier(16, "stt-dense")
    model.quantize(mode)
    with pytest.raises(ValueError, match="resized first, and quantised afterwards"):
        resize_model(model, (24, 24, 3))
