"""Channels first: the same numbers, transposed."""

import keras
import numpy as np
import pytest
from support import array, normal, randomize

from keras_stt.layers import (
    STT,
    CrossAttention,
    PositionEmbedding,
    STTCrossAttention,
)
from keras_stt.mixers import AxialAttention, GridAttention, SelfAttention

FORMATS = ("last", "first")
TEXT, IMAGE, VIDEO = (2, 5, 8), (2, 3, 5, 8), (2, 3, 5, 4, 8)


def first(tensor):
    return np.moveaxis(tensor, -1, 1)


def pair(make, shape):
    """The same layer for channels last and first, with the same weights."""
    last = make(data_format="channels_last")
    last.build(shape)
    other = make(data_format="channels_first")
    other.build((shape[0], shape[-1], *shape[1:-1]))
    other.set_weights(randomize(last).get_weights())
    return last, other


@pytest.mark.parametrize("synthesizer", ["dense", "random"])
@pytest.mark.parametrize("shape", [TEXT, IMAGE, VIDEO], ids=["text", "image", "video"])
def test_stt(shape, synthesizer):
    last, other = pair(lambda **a: STT(4, synthesizer=synthesizer, **a), shape)
    x, mask = normal(*shape), np.random.default_rng(0).random(shape[:-1]) < 0.7
    np.testing.assert_allclose(array(other(first(x))), first(array(last(x))), atol=1e-5)
    output, scores = other(first(x), mask=mask, return_attention_scores=True)
    expected, wanted = last(x, mask=mask, return_attention_scores=True)
    np.testing.assert_allclose(array(output), first(array(expected)), atol=1e-5)
    for score, same in zip(scores, wanted, strict=True):
        np.testing.assert_allclose(array(score), array(same), atol=1e-6)
    np.testing.assert_array_equal(array(output._keras_mask), mask)
    assert tuple(other.compute_output_shape((2, 8, *shape[1:-1]))) == output.shape


def test_axes_are_those_of_the_input():
    arguments = {"synthesizer": "random", "output_shape": (6, 7)}
    last, other = STT(4, **arguments, attention_axes=2), None
    last.build(IMAGE)
    for axes in (3, -1):
        other = STT(4, **arguments, attention_axes=axes, data_format="channels_first")
        other.build((2, 8, 3, 5))
        other.set_weights(randomize(last).get_weights())
        x = normal(*IMAGE)
        expected = array(last(x, use_causal_mask=True))  # (2, 3, 5, 6, 7)
        output = other(first(x), use_causal_mask=True)
        expected = expected.transpose(0, 3, 4, 1, 2)
        np.testing.assert_allclose(array(output), expected, atol=1e-5)
        assert other.compute_output_shape((2, 8, 3, 5)) == expected.shape
        assert other.multiply_adds((2, 8, 3, 5)) == last.multiply_adds(IMAGE)
    with pytest.raises(ValueError, match="axis 3"):
        other(normal(2, 8, 3, 6))


@pytest.mark.parametrize("attention", [SelfAttention, AxialAttention, GridAttention])
def test_attention(attention):
    last, other = pair(lambda **a: attention(4, **a), IMAGE)
    x = normal(*IMAGE)
    np.testing.assert_allclose(array(other(first(x))), first(array(last(x))), atol=1e-5)
    assert other.multiply_adds((2, 8, 3, 5)) == last.multiply_adds(IMAGE)


def test_position_embedding():
    last, other = (PositionEmbedding(data_format=f"channels_{e}") for e in FORMATS)
    x = normal(*IMAGE)
    np.testing.assert_allclose(array(other(first(x))), first(array(last(x))), atol=1e-6)


@pytest.mark.parametrize("attention", [CrossAttention, STTCrossAttention])
def test_the_grid_of_a_cross_attention(attention):
    x, context = normal(2, 4, 8), normal(*IMAGE, seed=1)
    last, other = (attention(2, data_format=f"channels_{e}") for e in FORMATS)
    last.build(x.shape, IMAGE)
    other.build(x.shape, first(context).shape)
    other.set_weights(randomize(last).get_weights())
    actual = array(other(x, first(context)))
    np.testing.assert_allclose(actual, array(last(x, context)), atol=1e-5)


def test_keras_global_setting_changes_nothing():
    layer, x = randomize(STT(4)), normal(*IMAGE)
    layer.build(IMAGE)
    expected = array(layer(x))
    keras.config.set_image_data_format("channels_first")
    try:
        same = STT(4)
        same.build(IMAGE)
        same.set_weights(layer.get_weights())
        np.testing.assert_array_equal(array(same(x)), expected)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("synthesizer", ["dense", "random", "dot_product"])
@pytest.mark.parametrize("masked", [False, True])
def test_an_empty_batch(synthesizer, masked):
    layer = STT(4, synthesizer=synthesizer)
    layer.build((None, *IMAGE[1:]))
    mask = np.zeros((0, 3, 5), bool) if masked else None
    output, (rows, columns) = layer(
        np.zeros((0, *IMAGE[1:]), "float32"), mask=mask, return_attention_scores=True
    )
    shapes = [tuple(tensor.shape) for tensor in (output, rows, columns)]
    assert shapes == [(0, 3, 5, 8), (0, 4, 3, 3), (0, 4, 5, 5)]
