"""Maps against derivatives of the layers, hand-made weights and loops."""

import keras
import numpy as np
import pytest
from support import array, built, normal, relative_error

from keras_stt.inspection import AttentionMaps, attention_maps
from keras_stt.layers import STT
from keras_stt.mixers import AxialAttention, GridAttention, SelfAttention
from keras_stt.models import ImageCaptioner, image_classifier

IMAGE = (2, 3, 5, 8)


def shares(*shape):
    """Random weights whose last axis sums to 1."""
    weights = np.exp(normal(*shape).astype("float64"))
    return weights / weights.sum(-1, keepdims=True)


@pytest.mark.parametrize("axes", [None, 1, (2,), (-3, -2)])
def test_stt_is_the_derivative_of_the_output(axes):
    # Random weights and identities as projections: the output is linear in the input.
    layer = STT(1, synthesizer="random", attention_axes=axes, use_bias=False)
    built(layer, IMAGE)
    for projection in (layer.value_dense, layer.output_dense):
        projection.kernel.assign(keras.ops.eye(8))
    (maps,) = attention_maps(layer, normal(*IMAGE))
    position = (2, 1)
    derivative = np.zeros((3, 5))
    for source in np.ndindex(3, 5):
        x = np.zeros((1, 3, 5, 8), "float32")
        x[(0, *source)] = 1
        derivative[source] = array(layer(x))[(0, *position)][0]
    heat = maps.heat_map(position)
    assert heat.shape == (2, 1, 3, 5)
    np.testing.assert_allclose(heat[0, 0], derivative, atol=1e-6)
    np.testing.assert_allclose(heat[1, 0], derivative, atol=1e-6)


def test_text_and_video():
    (maps,) = attention_maps(built(STT(2), (2, 6, 8)), normal(2, 6, 8))
    np.testing.assert_array_equal(maps.heat_map(4), maps.scores[0][:, :, 4])
    np.testing.assert_array_equal(maps.heat_map((4,)), maps.heat_map(4))
    shape = (2, 3, 5, 4, 8)
    (maps,) = attention_maps(built(STT(2), shape), normal(*shape))
    one, two, three = (s[:, :, i] for s, i in zip(maps.scores, (2, 0, 3), strict=True))
    expected = np.einsum("bhi,bhj,bhk->bhijk", one, two, three)
    np.testing.assert_allclose(maps.heat_map((2, 0, 3)), expected, rtol=1e-5)


def test_axial_goes_by_the_fibres_on_the_way():
    columns, rows = shares(2, 4, 5, 3, 3), shares(2, 4, 3, 5, 5)
    heat = AttentionMaps("axial", (3, 5), (columns, rows), (0, 1)).heat_map((1, 2))
    for b, h, i, j in np.ndindex(2, 4, 3, 5):
        # From (i, j) along its column to row 1, and along row 1 to column 2.
        expected = columns[b, h, j, 1, i] * rows[b, h, 1, 2, j]
        assert heat[b, h, i, j] == pytest.approx(expected)


def test_a_position_of_a_text_reads_a_grid():
    whole = AttentionMaps("mha", (3, 5), shares(2, 4, 6, 15).reshape(2, 4, 6, 3, 5))
    np.testing.assert_array_equal(whole.heat_map(2), whole.scores[:, :, 2])
    modes = AttentionMaps("stt", (3, 5), (shares(2, 4, 6, 3), shares(2, 4, 6, 5)))
    expected = np.einsum("bhi,bhj->bhij", *(score[:, :, 2] for score in modes.scores))
    np.testing.assert_allclose(modes.heat_map(2), expected)


@pytest.mark.parametrize("mixer", ["stt-dense", "stt-mixture-dot", "mha", "axial-mha"])
def test_classifier(mixer):
    model = image_classifier((8, 12, 3), 5, mixer, grid=(4, 6), width=8, depth=2)
    images = np.random.default_rng(0).random((2, 8, 12, 3)).astype("float32")
    before = array(model(images))
    maps = attention_maps(model, images)
    assert [each.name for each in maps] == ["block_0/mixer", "block_1/mixer"]
    # What the layer itself returns for what it gets in the model.
    block = model.get_layer("block_1")
    inner = keras.Model(model.input, block.input)
    _, scores = block.mixer(
        block.mixer_norm(inner(images)), return_attention_scores=True
    )
    for ours, theirs in zip(
        keras.tree.flatten(maps[1].scores), keras.tree.flatten(scores), strict=True
    ):
        np.testing.assert_allclose(ours, array(theirs), atol=1e-6)
    for each in maps:
        heat = each.heat_map((3, 1))
        assert heat.shape == (2, 4, 4, 6)
        assert (heat >= 0).all()
        np.testing.assert_allclose(heat.sum((2, 3)), 1, rtol=1e-5)
        assert np.abs(heat - each.heat_map((0, 1))).max() > 1e-4
    # The model is as it was.
    np.testing.assert_array_equal(array(model(images)), before)
    assert "call" not in vars(block.mixer)


@pytest.mark.parametrize("cross", ["mha", "stt"])
@pytest.mark.parametrize("decoder", ["mha", "stt-dense"])
def test_captioner(decoder, cross):
    model = ImageCaptioner(
        (8, 12, 3),
        ["red", "green"],
        max_length=4,
        decoder_mixer=decoder,
        cross_attention=cross,
        grid=(4, 6),
        width=8,
        encoder_depth=1,
        decoder_depth=1,
        num_heads=2,
    )
    images = np.random.default_rng(0).random((3, 8, 12, 3)).astype("float32")
    tokens = np.array([[2, 4, 5, 4, 3]] * 3, "int32")
    image, text, cross_map = attention_maps(model, {"image": images, "tokens": tokens})
    assert image.name == "image_encoder/block_0/mixer"
    assert text.name == "text_decoder/decoder_block_0/mixer"
    assert cross_map.name == "text_decoder/decoder_block_0/cross_attention"
    assert image.heat_map((0, 5)).shape == (3, 2, 4, 6)
    # Causal, as it is used.
    np.testing.assert_allclose(text.heat_map(2)[:, :, 3:], 0, atol=1e-7)
    np.testing.assert_allclose(text.heat_map(2)[:, :, :3].sum(-1), 1, rtol=1e-5)
    assert cross_map.heat_map(4).shape == (3, 2, 4, 6)
    np.testing.assert_allclose(cross_map.heat_map(4).sum((2, 3)), 1, rtol=1e-5)


def test_keras_attention_in_a_model_of_ones_own():
    inputs = keras.Input((7, 8))
    attention = keras.layers.MultiHeadAttention(2, 4, name="mine")
    model = keras.Model(inputs, attention(inputs, inputs))
    x = normal(2, 7, 8)
    (maps,) = attention_maps(model, x)
    _, expected = attention(x, x, return_attention_scores=True)
    assert (maps.name, maps.grid) == ("mine", (7,))
    np.testing.assert_allclose(maps.heat_map(3), array(expected)[:, :, 3], rtol=1e-5)


class Wrapped(keras.layers.Layer):
    """A layer of a user, with attention in a list."""

    def __init__(self):
        super().__init__(name="wrapped")
        self.parts = [STT(2, name="first"), keras.layers.Dense(8), SelfAttention(2)]

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


def test_layers_inside_layers():
    maps = attention_maps(Wrapped(), normal(*IMAGE))
    assert maps[0].name == "first"
    assert [each.grid for each in maps] == [(3, 5), (3, 5)]


class Both(keras.Model):
    """A layer on two ways, which is asked for its scores as well."""

    def __init__(self):
        super().__init__()
        self.first = SelfAttention(2, name="shared")
        self.again = [self.first]

    def call(self, x):
        output, scores = self.first(x, return_attention_scores=True)
        return output + keras.ops.sum(scores)


def test_layers_on_two_ways_and_scores_that_the_model_wants():
    model, x = Both(), normal(*IMAGE)
    expected = array(model(x))
    (maps,) = attention_maps(model, x)
    assert maps.heat_map((2, 4)).shape == (2, 2, 3, 5)
    np.testing.assert_array_equal(array(model(x)), expected)


def test_keras_attention_over_a_grid():
    inputs = keras.Input(IMAGE[1:])
    layer = keras.layers.MultiHeadAttention(2, 4, attention_axes=(1, 2), name="mine")
    model = keras.Model(inputs, layer(inputs, inputs))
    x = normal(*IMAGE)
    (maps,) = attention_maps(model, x)
    _, expected = layer(x, x, return_attention_scores=True)
    assert maps.grid == maps.query_grid == (3, 5)
    heat = maps.heat_map((2, 4))
    np.testing.assert_allclose(heat, array(expected)[:, :, 2, 4], rtol=1e-5)
    (maps,) = attention_maps(GridAttention(2), x)
    assert maps.heat_map((2, 4)).shape == (2, 2, 3, 5)


def test_layers_that_are_not_known_are_left_out_and_named():
    # Of one, the axes before the heads; of the other, no heads.
    inputs = keras.Input(IMAGE[1:])
    rows = keras.layers.MultiHeadAttention(2, 4, attention_axes=(2,), name="rows")
    x = STT(2, name="known")(rows(inputs, inputs))
    x = keras.layers.Reshape((15, 8))(x)
    x = keras.layers.Attention(name="other")([x, x])
    with pytest.warns(UserWarning, match=r"other \(Attention\), rows \(MultiHead"):
        (maps,) = attention_maps(keras.Model(inputs, x), normal(*IMAGE))
    assert maps.name == "known"


class Peer(keras.layers.Layer):
    """A layer of somebody's own that returns scores of a form of its own."""

    call_options = ("return_attention_scores",)

    def call(self, inputs, return_attention_scores=False):
        return (inputs, (inputs, inputs)) if return_attention_scores else inputs


def test_scores_of_a_form_that_is_not_known():
    inputs = keras.Input(IMAGE[1:])
    model = keras.Model(inputs, STT(2, name="known")(Peer(name="peer")(inputs)))
    with pytest.warns(UserWarning, match=r"peer \(Peer\)"):
        (maps,) = attention_maps(model, normal(*IMAGE))
    assert maps.name == "known"


def test_a_model_without_attention_is_an_error():
    model = image_classifier((8, 12, 3), 5, "none", grid=(4, 6), width=8, depth=1)
    with pytest.raises(
        ValueError, match=r"`model` must have an attention layer.*Received"
    ):
        attention_maps(model, np.zeros((1, 8, 12, 3), "float32"))


def test_positions_of_numpy():
    (maps,) = attention_maps(built(STT(2), IMAGE), normal(*IMAGE))
    expected = maps.heat_map((2, 4))
    for position in (np.array([2, 4]), (np.int64(2), 4), [2, 4]):
        np.testing.assert_array_equal(maps.heat_map(position), expected)


@pytest.mark.parametrize(
    "position", [3, (3, 0), (0, 5), (-1, 0), (0, 0, 0), (1.0, 0.0), np.int64(3)]
)
def test_positions_that_are_not_there(position):
    (maps,) = attention_maps(built(STT(2), IMAGE), normal(*IMAGE))
    with pytest.raises(ValueError, match=r"index of a grid \(3, 5\). Received: pos"):
        maps.heat_map(position)


def test_symbolic_and_eager_scores_agree_in_shape():
    for layer in (SelfAttention(4), AxialAttention(4)):
        x = normal(*IMAGE)
        output, scores = layer(x, return_attention_scores=True)
        assert relative_error(output, array(layer(x))) < 1e-5
        symbolic = layer(keras.Input(batch_shape=IMAGE), return_attention_scores=True)
        for ours, theirs in zip(
            keras.tree.flatten(symbolic),
            keras.tree.flatten((output, scores)),
            strict=True,
        ):
            assert tuple(ours.shape) == tuple(theirs.shape)
