"""The mimetic start of STT: a product of the projections close to -0.4 I."""

import keras
import numpy as np
import pytest
from support import array, normal

from keras_stt.layers import STT

CHANNELS = 32


def kernels(value_dim=None, channels=CHANNELS, **options):
    keras.utils.set_random_seed(3)
    layer = STT(4, value_dim=value_dim, mimetic=True, **options)
    layer.build((None, 3, 5, channels))
    return [array(dense.kernel) for dense in (layer.value_dense, layer.output_dense)]


@pytest.mark.parametrize("value_dim", [8, 12])
def test_the_product_is_a_negative_identity(value_dim):
    """Of as many values as channels, or more; without noise, exactly."""
    value, output = kernels(value_dim, kernel_initializer="zeros")
    np.testing.assert_allclose(value @ output, -0.4 * np.eye(CHANNELS), atol=1e-6)


def test_with_fewer_values_the_product_is_a_projection():
    value, output = kernels(5, kernel_initializer="zeros")
    eigenvalues = np.linalg.eigvalsh(value @ output)
    expected = [-0.4] * 20 + [0.0] * (CHANNELS - 20)
    np.testing.assert_allclose(eigenvalues, expected, atol=1e-6)


def test_the_noise_is_that_of_the_kernel_initializer():
    value, output = kernels(kernel_initializer=keras.initializers.RandomNormal(0, 0.5))
    noise = output / 0.4 + value.T
    assert np.std(noise) == pytest.approx(0.5, rel=0.1)
    assert abs(np.mean(noise)) < 0.05


def test_layers_start_differently_and_a_seed_repeats_them():
    first, again = kernels(), kernels()
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    keras.utils.set_random_seed(3)
    layers = [STT(4, mimetic=True) for _ in range(2)]
    for layer in layers:
        layer.build((None, 3, 5, CHANNELS))
    assert not np.allclose(*(array(layer.value_dense.kernel) for layer in layers))


def test_it_subtracts_the_neighbourhood():
    layer = STT(1, mimetic=True, synthesizer="random", kernel_initializer="zeros")
    inputs = normal(2, 3, 5, 8)
    output, (rows, columns) = layer(inputs, return_attention_scores=True)
    means = np.einsum(
        "bij,bkl,bjlc->bikc", array(rows)[:, 0], array(columns)[:, 0], inputs
    )
    np.testing.assert_allclose(array(output), -0.4 * means, atol=1e-5)


def test_other_numbers_of_features_are_an_error():
    layer = STT(4, mimetic=True, output_shape=16)
    with pytest.raises(ValueError, match=r"`mimetic=True`.*16 features, 32 channels"):
        layer.build((None, 3, 5, CHANNELS))
