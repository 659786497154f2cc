"""What stands at a masked position changes nothing: not even a NaN, in no gradient."""

import keras
import numpy as np
import pytest
from cases import SYNTHESIZERS
from support import array, built, gradients, normal, randomize

from keras_stt.layers import (
    STT,
    CrossAttention,
    DepthwiseSTT,
    STTBlock,
    STTCrossAttention,
)
from keras_stt.mixers import GridAttention, SelfAttention

TEXT, IMAGE = (2, 5, 8), (2, 3, 5, 8)


def with_and_without_nan(shape, seed=0):
    """An input with zeros at its masked positions, with NaN there, and the mask."""
    mask = np.random.default_rng(0).random(shape[:-1]) < 0.6
    zeros = np.where(mask[..., None], normal(*shape, seed=seed), 0).astype("float32")
    return zeros, np.where(mask[..., None], zeros, np.float32("nan")), mask


def check(layer, shape):
    zeros, nans, mask = with_and_without_nan(shape)
    expected, clean = array(layer(zeros, mask=mask)), gradients(layer, zeros, mask=mask)
    np.testing.assert_array_equal(array(layer(nans, mask=mask)), expected)
    dx, variables = gradients(layer, nans, mask=mask)
    np.testing.assert_array_equal(dx, np.where(mask[..., None], clean[0], 0))
    assert variables.keys() == clean[1].keys()
    for name, gradient in variables.items():
        np.testing.assert_allclose(gradient, clean[1][name], atol=1e-5, err_msg=name)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("shape", [TEXT, IMAGE], ids=["text", "image"])
@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_stt(name, shape):
    check(built(STT(4, synthesizer=SYNTHESIZERS[name].make()), shape), shape)


@pytest.mark.parametrize("shape", [TEXT, IMAGE], ids=["text", "image"])
@pytest.mark.parametrize("amplitude", ["learned", "synthesized"])
def test_depthwise_stt(amplitude, shape):
    check(built(DepthwiseSTT(amplitude=amplitude), shape), shape)


def test_grid_attention():
    check(built(GridAttention(4), IMAGE), IMAGE)


@pytest.mark.parametrize(
    "mixer", [STT(4), DepthwiseSTT(), SelfAttention(4), keras.layers.Dense(8)]
)
def test_block(mixer):
    check(built(STTBlock(mixer), IMAGE), IMAGE)


@pytest.mark.parametrize("shape", [TEXT, IMAGE], ids=["text", "image"])
def test_self_attention(shape):
    check(built(SelfAttention(4), shape), shape)


class Reading(keras.layers.Layer):
    """A cross-attention as a layer of its context alone."""

    def __init__(self, reader):
        super().__init__()
        self.reader = reader
        self.supports_masking = True

    def build(self, input_shape):
        self.reader.build((2, 4, 8), input_shape)

    def call(self, inputs, mask=None):
        return self.reader(normal(2, 4, 8), inputs, context_mask=mask)


@pytest.mark.parametrize("reader", [CrossAttention(2), STTCrossAttention(2)])
def test_cross_attention(reader):
    layer = Reading(reader)
    layer.build(IMAGE)
    check(randomize(layer), IMAGE)


class Asking(keras.layers.Layer):
    """A text with a mask that reads a context."""

    def __init__(self, reader):
        super().__init__()
        self.reader = reader
        self.supports_masking = True

    def build(self, shape):
        self.reader.build(shape, IMAGE)

    def call(self, inputs, mask=None):
        return self.reader(inputs, normal(*IMAGE), inputs_mask=mask)


@pytest.mark.parametrize("reader", [CrossAttention(2), STTCrossAttention(2)])
def test_the_text_of_a_cross_attention(reader):
    layer = Asking(reader)
    layer.build((2, 4, 8))
    check(randomize(layer), (2, 4, 8))


@pytest.mark.parametrize("gap", [20, 45, 60, 80])
def test_valid_positions_of_little_weight(gap):
    # Along each axis nearly all weight is at place 0, but (0, 0) is masked: the weights
    # of what is left, (0, 1) and (1, 0), are e^-gap.
    reader = STTCrossAttention(1, hidden_dim=2)
    reader.build((1, 1, 4), (1, 3, 3, 4))
    randomize(reader)
    for dense in reader.logits_denses:
        dense.kernel.assign(np.zeros(dense.kernel.shape))
        dense.bias.assign(np.array([0, -gap, -gap]))
    mask = np.zeros((1, 3, 3), bool)
    mask[0, 0, 1] = mask[0, 1, 0] = True
    layer = Fixed(reader, normal(1, 1, 4), mask)
    context = normal(1, 3, 3, 4)
    value = context[0] @ array(reader.value_dense.kernel) + array(
        reader.value_dense.bias
    )
    read = (value[0, 1] + value[1, 0]) / 2 @ array(reader.output_dense.kernel)
    expected = read + array(reader.output_dense.bias)
    np.testing.assert_allclose(array(layer(context))[0, 0], expected, rtol=1e-4)
    dx, variables = gradients(layer, context)
    # A softmax of two equal logits, (0 of rows + 1 of columns) and the other way round.
    slope = ((value[0, 1] - value[1, 0]) / 4) @ array(reader.output_dense.kernel)
    rows, columns = (
        next(g for name, g in variables.items() if name.endswith(f"{each}/bias"))
        for each in ("logits_1", "logits_2")
    )
    expected = slope.sum() * np.array([1, -1, 0])
    np.testing.assert_allclose(rows, expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(columns, -expected, rtol=1e-3, atol=1e-6)
    assert np.isfinite(dx).all()


class Fixed(keras.layers.Layer):
    """A cross-attention as a layer of its context alone, with a fixed mask."""

    def __init__(self, reader, text, mask):
        super().__init__()
        self.reader, self.text, self.mask = reader, text, mask
        self.built = True

    def call(self, inputs):
        return self.reader(self.text, inputs, context_mask=self.mask)
