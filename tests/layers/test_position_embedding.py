import math

import keras
import numpy as np
import pytest
from support import array, built, normal

from keras_stt.layers import PositionEmbedding
from keras_stt.layers.position_embedding import sinusoids


@pytest.mark.parametrize("shape", [(2, 5, 8), (2, 3, 5, 8), (2, 3, 5, 4, 8)])
def test_every_position_has_a_vector_of_its_own(shape):
    layer, x = built(PositionEmbedding(), shape), normal(*shape)
    assert layer.embedding.shape == shape[1:]
    np.testing.assert_array_equal(array(layer(x)), x + array(layer.embedding.value))


@pytest.mark.parametrize("shape", [(5, 8), (3, 5, 8), (3, 5, 7), (2, 3, 4, 13)])
def test_starts_as_sinusoids(shape):
    layer = PositionEmbedding()
    layer.build((2, *shape))
    *sizes, channels = shape
    modes = len(sizes)
    expected = np.zeros(shape)
    for mode, size in enumerate(sizes):
        own = range(mode, channels, modes)
        pairs = math.ceil(len(own) / 2)
        for number, channel in enumerate(own):
            share = number // 2 / (pairs - 1) if pairs > 1 else 0
            turns = 1 / (4 * size**share)
            for position in np.ndindex(*sizes):
                angle = 2 * math.pi * position[mode] * turns
                value = math.sin(angle) if number % 2 == 0 else math.cos(angle)
                expected[(*position, channel)] = value / math.sqrt(2)
    np.testing.assert_allclose(array(layer.embedding.value), expected, atol=1e-6)


def test_sinusoids_by_hand():
    """Four positions, one mode: wavelengths 4 and 16."""
    half = math.sqrt(0.5)  # also the amplitude of all
    expected = [
        [0, 1, 0, 1],
        [1, 0, math.sin(math.pi / 8), math.cos(math.pi / 8)],
        [0, -1, half, half],
        [-1, 0, math.sin(3 * math.pi / 8), math.cos(3 * math.pi / 8)],
    ]
    found = sinusoids((4, 4))
    np.testing.assert_allclose(found, half * np.array(expected), atol=1e-12)


def test_sinusoids_tell_positions_apart_and_near_from_far():
    vectors = sinusoids((6, 9, 64)).reshape(-1, 64)
    products = vectors @ vectors.T
    assert (products.argmax(1) == range(len(vectors))).all()
    near, far = products[0, 1], products[0, -1]
    assert near > 2 * abs(far)


def test_another_initializer():
    layer = PositionEmbedding(initializer=keras.initializers.RandomNormal(stddev=0.02))
    layer.build((None, 20, 20, 8))
    assert abs(array(layer.embedding.value).std() / 0.02 - 1) < 0.1


@pytest.mark.parametrize("shape", [(2, None, 8), (2, 3, 5, None)])
def test_unknown_sizes_are_an_error(shape):
    with pytest.raises(ValueError, match=r"known.*Received: "):
        PositionEmbedding().build(shape)
