"""The norm and the GELU for ONNX files, beside Keras's."""

import keras
import numpy as np
import pytest
from support import array, built, gradients, normal

from keras_stt.layers import STTBlock
from keras_stt.portable import LayerNormalization, portable_activation

on_torch = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="other backends have Keras's own norm"
)
X = 3 * normal(2, 3, 5, 8) + 1


@on_torch
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"epsilon": 1e-6},
        {"axis": 3},
        {"axis": [2, 3]},
        {"center": False, "scale": False},
        {"dtype": "mixed_float16"},
        {"dtype": "mixed_bfloat16"},
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_norm_is_that_of_keras(options, dtype):
    own = built(LayerNormalization(**options), X.shape)
    keras_norm = built(keras.layers.LayerNormalization(**options), X.shape)
    actual, expected = own(X.astype(dtype)), keras_norm(X.astype(dtype))
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(array(actual), array(expected), rtol=1e-6, atol=1e-6)


@on_torch
def test_the_gradients_of_the_norm_are_those_of_keras():
    own = built(LayerNormalization(), X.shape)
    keras_norm = built(keras.layers.LayerNormalization(), X.shape)
    share = normal(*X.shape, seed=1)
    dx, dw = gradients(own, X, share)
    expected_dx, expected_dw = gradients(keras_norm, X, share)
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-6, atol=1e-6)
    assert dw.keys() == expected_dw.keys()
    for name, values in dw.items():
        np.testing.assert_allclose(values, expected_dw[name], rtol=1e-6, atol=1e-5)


def test_the_norm_has_the_weights_and_config_of_keras():
    own = built(LayerNormalization(name="norm"), X.shape)
    keras_norm = built(keras.layers.LayerNormalization(name="norm"), X.shape)
    assert [v.path for v in own.weights] == [v.path for v in keras_norm.weights]
    assert own.get_config() == keras_norm.get_config()
    assert own.supports_masking


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends have Keras's own"
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_gelu_is_that_of_keras(dtype):
    x = keras.ops.cast(np.linspace(-12, 12, 999), dtype)
    actual = portable_activation("gelu")(x)
    expected = keras.activations.gelu(x)
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(array(actual), array(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", keras.activations.tanh, None])
def test_other_activations_are_left_alone(activation):
    expected = keras.activations.get(activation)
    assert portable_activation(activation) is expected


def test_a_block_keeps_the_name_of_its_activation():
    block = built(STTBlock(), (None, 3, 5, 8))
    assert block.activation is keras.activations.gelu
    assert block.get_config()["activation"] == "gelu"
    config = keras.saving.serialize_keras_object(block.expand)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.activation is block.expand.activation


def test_a_model_saved_with_the_norm_of_keras_loads(tmp_path):
    def model(norm):
        inputs = keras.Input((3, 5, 8))
        return built(keras.Model(inputs, norm(name="norm")(inputs)), (None, 3, 5, 8))

    before, now = model(keras.layers.LayerNormalization), model(LayerNormalization)
    before.save(tmp_path / "model.keras")
    before.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    now.load_weights(tmp_path / "model.weights.h5")
    for each in (loaded, now):
        np.testing.assert_allclose(array(each(X)), array(before(X)), atol=1e-6)
    now.save(tmp_path / "now.keras")
    loaded = keras.saving.load_model(tmp_path / "now.keras")
    assert type(loaded.get_layer("norm")) is LayerNormalization
