"""ONNX files with open sizes, run at sizes that differ from those of the trace.

Keras traces every open size as 1: a layer that decides anything by a size of 1 writes a
file that is wrong at all others.
"""

import keras
import numpy as np
import pytest
from onnx_files import MARKS, exported
from support import array, normal, randomize

from keras_stt.layers import STT, DepthwiseSTT, STTBlock
from keras_stt.mixers import AxialAttention, SelfAttention

pytestmark = [
    *MARKS,
    pytest.mark.skipif(
        keras.backend.backend() != "torch", reason="other backends need fixed sizes"
    ),
]


def model_and_file(inputs, outputs, folder):
    """A model and its ONNX file as a function."""
    model = randomize(keras.Model(inputs, outputs))
    model([np.ones([size or 2 for size in i.shape], i.dtype) for i in model.inputs])
    return model, exported(model, folder)


@pytest.mark.parametrize(
    ("layer", "shape", "sizes"),
    [
        (STT(4, synthesizer="dot_product"), (None, 8), [(2, 5), (3, 7), (1, 1)]),
        (STT(4, synthesizer="dot_product"), (None, None, 8), [(2, 5, 3), (3, 1, 7)]),
        (STT(4), (3, 5, 8), [(1, 3, 5), (2, 3, 5)]),
        (STT(4, synthesizer="random"), (3, 5, 8), [(1, 3, 5), (2, 3, 5)]),
        (STT(4, synthesizer="factorized_dense"), (3, 6, 8), [(2, 3, 6)]),
        (AxialAttention(4), (3, 5, 8), [(1, 3, 5), (2, 3, 5)]),
        (SelfAttention(4), (None, None, 8), [(1, 3, 5), (2, 4, 5)]),
        (STTBlock(), (3, 5, 8), [(1, 3, 5), (2, 3, 5)]),
        (DepthwiseSTT(), (None, None, 8), [(2, 5, 3), (3, 1, 7)]),
        (
            STTBlock(DepthwiseSTT(amplitude="synthesized")),
            (None, None, 8),
            [(2, 5, 3), (3, 1, 7)],
        ),
        (
            STTBlock(STT(4, synthesizer="dot_product")),
            (None, None, 8),
            [(2, 5, 3), (3, 1, 7)],
        ),
    ],
)
def test_layers(layer, shape, sizes, tmp_path):
    inputs = keras.Input(shape)
    model, run = model_and_file(inputs, layer(inputs), tmp_path)
    for size in sizes:
        x = normal(*size, 8)
        np.testing.assert_allclose(run(x), array(model(x)), atol=1e-4)


def test_a_mask(tmp_path):
    inputs = keras.Input((None, None, 8))
    mask = keras.Input((None, None), dtype="bool")
    layer = STT(4, synthesizer="dot_product")
    model, run = model_and_file([inputs, mask], layer(inputs, mask=mask), tmp_path)
    for size in [(2, 5, 3), (3, 1, 7)]:
        x, valid = normal(*size, 8), normal(*size, seed=1) > 0
        np.testing.assert_allclose(run([x, valid]), array(model([x, valid])), atol=1e-4)
