"""Masks from layer to layer: implicit, explicit, with sizes of 1, in a graph."""

import keras
import numpy as np
import pytest
from support import array, built, normal, relative_error

from keras_stt.layers import STT, STTBlock
from keras_stt.mixers import SelfAttention

IMAGE = (2, 3, 5, 8)


def padded(widths=(5, 3)):
    """Images whose columns from some width on are zeros, and which columns are not."""
    x = normal(*IMAGE)
    mask = np.arange(5) < np.array(widths)[:, None, None]  # (2, 1, 5)
    x *= mask[..., None]
    return x, mask


def test_an_implicit_mask_of_images():
    x, mask = padded()
    layer = built(STT(4), IMAGE)
    output = layer(keras.layers.Masking()(x))
    full = np.broadcast_to(mask, IMAGE[:-1])
    np.testing.assert_array_equal(array(output), array(layer(x, mask=full)))
    np.testing.assert_array_equal(array(output._keras_mask), full)
    assert relative_error(layer(x), array(output)) > 1e-3


@pytest.mark.parametrize("dtype", ["bool", "int32"])
@pytest.mark.parametrize("layer", [STT(4), STTBlock(STT(2))], ids=["STT", "STTBlock"])
def test_an_explicit_mask_is_handed_on_whole(layer, dtype):
    x, mask = padded()
    full = np.broadcast_to(mask, IMAGE[:-1])
    if not layer.built:
        built(layer, IMAGE)
    output = layer(x, mask=mask.astype(dtype))
    handed_on = output._keras_mask
    assert keras.backend.standardize_dtype(handed_on.dtype) == "bool"
    np.testing.assert_array_equal(array(handed_on), full)
    # Layers that take no sizes of 1 can work with it.
    attention = built(STTBlock(SelfAttention(2)), IMAGE)
    expected = array(attention(array(output), mask=full))
    np.testing.assert_array_equal(array(attention(output)), expected)


def test_a_mask_beside_the_scores():
    x, mask = padded()
    output, scores = STT(4)(x, mask=mask, return_attention_scores=True)
    assert tuple(output._keras_mask.shape) == IMAGE[:-1]
    assert all(getattr(score, "_keras_mask", None) is None for score in scores)


def test_masks_in_a_graph_of_unknown_batch():
    """Sizes of 1, and a chain of layers that hand the mask on."""
    x, mask = padded()
    layers = [built(STT(4), IMAGE), built(STTBlock(SelfAttention(2)), IMAGE)]
    inputs = keras.Input(IMAGE[1:])
    given = keras.Input((1, 5), dtype="bool")
    model = keras.Model([inputs, given], layers[1](layers[0](inputs, mask=given)))
    expected = layers[1](layers[0](x, mask=mask))
    actual = model.predict([x, mask], verbose=0)
    assert relative_error(actual, array(expected)) < 1e-5


def test_self_attention_takes_sizes_of_1_and_refuses_others():
    x, mask = padded()
    layer = built(SelfAttention(2), IMAGE)
    full = np.broadcast_to(mask, IMAGE[:-1])
    np.testing.assert_array_equal(
        array(layer(x, mask=mask)), array(layer(x, mask=full))
    )
    with pytest.raises(ValueError, match=r"Received: mask.shape=\(2, 5, 3\)"):
        layer(x, mask=full.swapaxes(1, 2))


def test_a_mask_of_another_shape_is_an_error_in_a_graph_too():
    inputs, mask = keras.Input((3, 5, 8)), keras.Input((5, 3), dtype="bool")
    with pytest.raises(ValueError, match=r"Received: mask.shape=\(None, 5, 3\)"):
        STT(2)(inputs, mask=mask)
