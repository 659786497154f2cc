"""Quantised layers and models, saved and loaded: the same outputs."""

import keras
import numpy as np
import pytest
from support import array, normal

from keras_stt.layers import STT, DepthwiseSTT, STTBlock, STTCrossAttention
from keras_stt.mixers import AxialAttention, DynamicMixing, SelfAttention, TokenMLP
from keras_stt.synthesizers import Mixture

IMAGE = (4, 6, 16)
NESTED = Mixture(["random", Mixture(["dense", "dot_product"])])

# Keras warns of each layer without a quantised form, such as a dropout.
pytestmark = pytest.mark.filterwarnings("ignore:Layer .*does not have a `quantize")


def reloaded(model, folder):
    """The model after it was saved, and its counters of names had moved on."""
    model.save(folder / "model.keras")
    for make in (STT, SelfAttention, STTBlock):
        make(num_heads=2) if make is not STTBlock else make(STT(2))
    return keras.saving.load_model(folder / "model.keras")


LAYERS = {
    "stt": lambda: STT(4),
    "nested": lambda: STT(4, synthesizer=NESTED),
    "block": lambda: STTBlock(STT(4)),
    "block_mha": lambda: STTBlock(SelfAttention(4)),
    "axial": lambda: AxialAttention(4),
    "mlp": lambda: TokenMLP(),
    "dynamixer": lambda: DynamicMixing(4),
    "depthwise": lambda: DepthwiseSTT(amplitude="synthesized", gate="silu"),
}
#: Their kind is there without them: once is enough.
ONCE = ("axial", "dynamixer", "mlp", "stt")


# Every layer in one mode, and one with all kinds of sublayers in every mode.
@pytest.mark.parametrize(
    ("make", "mode"),
    [
        *(
            pytest.param(
                LAYERS[name],
                "int8",
                id=name,
                marks=pytest.mark.backend_free if name in ONCE else (),
            )
            for name in LAYERS
        ),
        pytest.param(
            LAYERS["nested"], "int4", id="nested-int4", marks=pytest.mark.backend_free
        ),
        pytest.param(LAYERS["block_mha"], "int4", id="block_mha-int4"),
        pytest.param(LAYERS["block"], "float8", id="block-float8"),
    ],
)
def test_layers(make, mode, tmp_path):
    inputs = keras.Input(IMAGE)
    model, x = keras.Model(inputs, make()(inputs)), normal(2, *IMAGE)
    plain = array(model(x))
    model.quantize(mode)
    expected = array(model(x))
    assert np.abs(expected - plain).max() > 0
    again = reloaded(model, tmp_path)
    np.testing.assert_allclose(array(again(x)), expected, rtol=1e-5, atol=1e-5)
    # What was loaded can be saved.
    twice = reloaded(again, tmp_path)
    np.testing.assert_allclose(array(twice(x)), expected, rtol=1e-5, atol=1e-5)
    assert [w.dtype for w in twice.weights] == [w.dtype for w in model.weights]


def test_a_decoder(tmp_path):
    text, grid = keras.Input((5, 16)), keras.Input((3, 4, 8))
    block = STTBlock(STT(4), cross_attention=STTCrossAttention(4))
    model = keras.Model([text, grid], block(text, grid))
    x = [normal(2, 5, 16), normal(2, 3, 4, 8)]
    model.quantize("int8")
    expected = array(model(x))
    again = reloaded(model, tmp_path)
    np.testing.assert_allclose(array(again(x)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", [None, "int8"])
def test_low_rank_adaptation(mode, tmp_path):
    inputs = keras.Input(IMAGE)
    layer = STT(4)
    model, x = keras.Model(inputs, layer(inputs)), normal(2, *IMAGE)
    if mode:
        model.quantize(mode)
    layer.value_dense.enable_lora(2)
    for variable in layer.value_dense.trainable_variables:
        variable.assign(0.1 * normal(*variable.shape))
    expected = array(model(x))
    again = reloaded(model, tmp_path)
    # Keras merges the adaptation into the kernel, and rounds the sum to int8 again.
    tolerance = 0.02 if mode else 1e-4
    np.testing.assert_allclose(array(again(x)), expected, atol=tolerance)


def test_quantizers_that_a_file_cannot_hold_are_an_error(tmp_path):
    # Loaded with the default quantizers, it would compute other numbers.
    inputs = keras.Input(IMAGE)
    model = keras.Model(inputs, STT(4)(inputs))
    config = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
    model.quantize(config=config)
    assert np.isfinite(array(model(normal(2, *IMAGE)))).all()
    with pytest.raises(ValueError, match="activation_quantizer"):
        model.save(tmp_path / "model.keras")


@pytest.mark.backend_free
@pytest.mark.parametrize("block_size", [-1, 4])
def test_blocks_of_int4(block_size, tmp_path):
    inputs = keras.Input(IMAGE)
    model, x = keras.Model(inputs, STT(4)(inputs)), normal(2, *IMAGE)
    model.quantize(
        config=keras.quantizers.Int4QuantizationConfig(block_size=block_size)
    )
    expected = array(model(x))
    again = reloaded(model, tmp_path)
    np.testing.assert_allclose(array(again(x)), expected, rtol=1e-5, atol=1e-5)
