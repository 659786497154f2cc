"""Layers that were adapted to data compute the same in a changed model."""

import keras
import numpy as np
import pytest
from support import array

from keras_stt.layers import DepthwiseSTT, STTBlock
from keras_stt.surgery import insert_layer, replace_attention, resize_model

IMAGES = 100 + 30 * np.random.default_rng(0).normal(size=(4, 8, 8, 3))


@pytest.fixture
def model():
    """An adapted normalisation, a convolution, attention on a grid, and logits."""
    normalization = keras.layers.Normalization(name="normalization")
    normalization.adapt(IMAGES)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 4, strides=4, name="patches")(normalization(image))
    attention = keras.layers.MultiHeadAttention(2, 2, attention_axes=(1, 2))
    x = keras.layers.GlobalAveragePooling2D()(x + attention(x, x))
    return keras.Model(image, keras.layers.Dense(3)(x))


def resized(model):
    return resize_model(model, (8, 8, 3))


def with_a_layer_that_adds_nothing(model):
    block = STTBlock(DepthwiseSTT(), layer_scale=0.0)
    return insert_layer(model, block, "patches")


@pytest.mark.parametrize("change", [resized, with_a_layer_that_adds_nothing])
def test_the_outputs_stay(model, change):
    expected = array(model(IMAGES))
    np.testing.assert_allclose(array(change(model)(IMAGES)), expected, rtol=1e-4)


def test_what_comes_before_replaced_attention(model):
    def patches(model):
        return keras.Model(model.input, model.get_layer("patches").output)

    replaced = replace_attention(model)
    expected = array(patches(model)(IMAGES))
    np.testing.assert_allclose(array(patches(replaced)(IMAGES)), expected, rtol=1e-4)
