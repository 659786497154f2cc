"""Masks of what a cross-attention reads: explicit, implicit, and with NaN beneath."""

import keras
import numpy as np
import pytest
from support import array, normal, randomize, relative_error, weights_of

from keras_stt.layers import CrossAttention, STTCrossAttention

TEXT, IMAGE, HEADS = (2, 4, 8), (2, 3, 5, 6), 2
LAYERS = [CrossAttention, STTCrossAttention]


def reader(layer, grid=IMAGE, **arguments):
    layer = layer(HEADS, **arguments)
    layer.build(TEXT, grid)
    return randomize(layer)


def random_mask(shape=IMAGE):
    return np.random.default_rng(2).random(shape[:-1]) < 0.6


def test_masked_positions_are_as_if_they_were_not_there():
    layer, x, context = reader(CrossAttention), normal(*TEXT), normal(*IMAGE, seed=1)
    mask = random_mask()
    output = array(layer(x, context, context_mask=mask))
    for b in range(2):
        left = context[b][mask[b]][None]  # a sequence of the valid positions
        expected = array(layer(x[b : b + 1], left))
        assert relative_error(output[b : b + 1], expected) < 1e-5


def test_synthesised_weights_are_renormalised_over_the_valid_positions():
    layer, x = reader(STTCrossAttention, value_dim=3), normal(*TEXT)
    context, mask = normal(*IMAGE, seed=1), random_mask()
    _, (rows, columns) = layer(x, context, return_attention_scores=True)
    shares = np.einsum("bhti,bhtj->bhtij", *map(array, (rows, columns)))
    shares = shares.astype("float64") * mask[:, None, None]
    shares /= shares.sum(axis=(-2, -1), keepdims=True)
    w = weights_of(layer)
    value = context @ w["value/kernel"] + w["value/bias"]
    value = value.reshape(*value.shape[:-1], HEADS, 3)
    read = np.einsum("bhtij,bijhd->bthd", shares, value).reshape(2, 4, -1)
    expected = read @ w["attention_output/kernel"] + w["attention_output/bias"]
    assert relative_error(layer(x, context, context_mask=mask), expected) < 1e-5


@pytest.mark.parametrize("layer", LAYERS)
def test_the_implicit_mask_of_the_context(layer):
    tokens = np.array([[3, 1, 0, 2, 0], [4, 0, 0, 0, 0]])
    embedding = randomize(keras.layers.Embedding(6, 6, mask_zero=True))
    context = embedding(tokens)
    layer, x = reader(layer, (2, 5, 6)), normal(*TEXT)
    expected = array(layer(x, array(context), context_mask=tokens != 0))
    assert relative_error(layer(x, array(context)), expected) > 1e-3
    np.testing.assert_allclose(array(layer(x, context)), expected, atol=1e-6)
    # An explicit one replaces it.
    explicit = np.array([[True] * 5, [True, True, False, False, True]])
    expected = array(layer(x, array(context), context_mask=explicit))
    actual = array(layer(x, context, context_mask=explicit))
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_the_implicit_mask_as_multi_head_attention_has_it():
    embedding = keras.layers.Embedding(6, 6, mask_zero=True)
    context = embedding(np.array([[3, 1, 0, 2, 0], [4, 0, 0, 0, 0]]))
    layer, x = reader(CrossAttention, (2, 5, 6)), normal(*TEXT)
    keras_layer = keras.layers.MultiHeadAttention(HEADS, 4)
    keras_layer.build(TEXT, (2, 5, 6))
    keras_layer.set_weights(layer.get_weights())
    np.testing.assert_allclose(
        array(layer(x, context)), array(keras_layer(x, context)), atol=1e-5
    )


@pytest.mark.parametrize("layer", LAYERS)
def test_the_implicit_mask_of_a_grid(layer):
    x, context, mask = normal(*TEXT), normal(*IMAGE, seed=1), random_mask()
    # Masking takes positions that are 0 throughout for masked.
    masked = keras.layers.Masking()(np.where(mask[..., None], context, 0.0))
    layer = reader(layer)
    expected = array(layer(x, context, context_mask=mask))
    np.testing.assert_allclose(array(layer(x, masked)), expected, atol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_mask_of_the_text_is_handed_on(layer):
    tokens = np.array([[3, 1, 0, 0], [4, 2, 1, 0]])
    text = keras.layers.Embedding(6, 8, mask_zero=True)(tokens)
    output = reader(layer)(text, normal(*IMAGE))
    np.testing.assert_array_equal(array(output._keras_mask), tokens != 0)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_mask_in_a_graph(layer):
    x, context, mask = normal(*TEXT), normal(*IMAGE, seed=1), random_mask()
    layer = reader(layer)
    inputs = [
        keras.Input(TEXT[1:]),
        keras.Input(IMAGE[1:]),
        keras.Input(IMAGE[1:-1], dtype="bool"),
    ]
    model = keras.Model(inputs, layer(*inputs[:2], context_mask=inputs[2]))
    expected = array(layer(x, context, context_mask=mask))
    actual = model.predict([x, context, mask], verbose=0)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_mask_of_another_shape_is_an_error(layer):
    with pytest.raises(ValueError, match=r"`context_mask`.*Received: context_mask"):
        reader(layer)(
            normal(*TEXT), normal(*IMAGE), context_mask=np.ones((2, 5, 3), bool)
        )


@pytest.mark.parametrize("shape", [(2, 8), (2, 4, 0), (2, 4, 3, 8)])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_text_of_another_form_is_an_error(layer, shape):
    with pytest.raises(ValueError, match=r"`inputs`.*Received: inputs\.shape="):
        layer(HEADS)(np.zeros(shape, "float32"), normal(*IMAGE))
