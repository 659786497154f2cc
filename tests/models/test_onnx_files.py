"""ONNX files of whole models compute what the models do."""

import keras
import numpy as np
import pytest
from onnx_files import MARKS, exported
from support import array, normal, randomize

from keras_stt.layers import STT, DepthwiseSTT, STTBlock
from keras_stt.models import ImageCaptioner, image_classifier
from keras_stt.models.image_encoder import mixer_factory
from keras_stt.synthesizers import Dense

pytestmark = MARKS
SMALL = {"grid": (4, 6), "width": 8, "num_heads": 2}


def images(batch):
    return np.random.default_rng(batch).random((batch, 8, 12, 3), dtype="float32")


def tokens(batch):
    return np.random.default_rng(batch).integers(1, 9, (batch, 6)).astype("int32")


def captioner(cross_attention):
    words = ["red", "green", "blue", "circle", "and"]
    return ImageCaptioner(
        (8, 12, 3),
        words,
        max_length=5,
        cross_attention=cross_attention,
        encoder_depth=1,
        decoder_depth=1,
        **SMALL,
    )


def block(mixer):
    inputs = keras.Input((4, 6, 8))
    return keras.Model(inputs, STTBlock(mixer_factory(mixer, 8, 2)())(inputs))


#: Models of the default mixer, and blocks of those with a norm or GELU of their own.
MODELS = {
    "classifier": (lambda: image_classifier((8, 12, 3), 5, depth=1, **SMALL), images),
    "captioner": (
        lambda: captioner("mha"),
        lambda batch: {"image": images(batch), "tokens": tokens(batch)},
    ),
    "captioner-stt": (
        lambda: captioner("stt"),
        lambda batch: {"image": images(batch), "tokens": tokens(batch)},
    ),
    "decoder": (
        lambda: captioner("mha").text_decoder,
        lambda batch: [normal(batch, 4, 6, 8), tokens(batch)],
    ),
    "depthwise": (
        lambda: block(DepthwiseSTT(amplitude="synthesized", gate="gelu")),
        lambda batch: normal(batch, 4, 6, 8),
    ),
    "gelu": (
        lambda: block(STT(2, synthesizer=Dense(6, activation="gelu"))),
        lambda batch: normal(batch, 4, 6, 8),
    ),
    "mlp-mixer": (lambda: block("mlp-mixer"), lambda batch: normal(batch, 4, 6, 8)),
    "gmlp": (lambda: block("gmlp"), lambda batch: normal(batch, 4, 6, 8)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_file_takes_any_batch(name, tmp_path):
    make, data = MODELS[name]
    model = randomize(make(), stddev=0.3)
    model(data(2))
    run = exported(model, tmp_path)
    for batch in (1, 2, 5):
        x = data(batch)
        np.testing.assert_allclose(run(x), array(model(x)), atol=1e-4)


# PyTorch has another exporter for these.
@pytest.mark.parametrize("name", ["classifier", "captioner"])
def test_a_file_of_fixed_sizes(name, tmp_path):
    make, data = MODELS[name]
    model, x = randomize(make(), stddev=0.3), data(2)
    model(x)
    if isinstance(x, dict):
        signature = {
            key: keras.KerasTensor(value.shape, value.dtype, name=key)
            for key, value in x.items()
        }
    else:
        signature = keras.KerasTensor(x.shape, x.dtype, name="image")
    run = exported(model, tmp_path, [signature])
    np.testing.assert_allclose(run(x), array(model(x)), atol=1e-4)
