"""What stands at a masked position changes nothing: not even a NaN, in no gradient."""

import keras
import numpy as np
import pytest
from cases import SYNTHESIZERS
from support import array, built, gradients, normal, randomize

from keras_stt.layers import STT, CrossAttention, STTBlock, STTCrossAttention
from keras_stt.mixers import SelfAttention

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


@pytest.mark.parametrize("mixer", [STT(4), SelfAttention(4), keras.layers.Dense(8)])
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
