"""A layer in a trained CNN: where it stands, and what stays as it was."""

import keras
import numpy as np
import pytest
from support import array, randomize

from keras_stt.layers import STT, DepthwiseSTT, STTBlock
from keras_stt.surgery import insert_layer

NAMES = ["stage_1", "stage_2"]


def cnn():
    image = keras.Input((8, 8, 3))
    hidden = image
    for name in NAMES:
        hidden = keras.layers.Conv2D(6, 3, padding="same", name=name)(hidden)
        hidden = keras.layers.BatchNormalization(name=f"{name}_norm")(hidden)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    model = keras.Model(image, keras.layers.Dense(4, name="logits")(hidden))
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            randomize(layer)
    model.compile("sgd", "mse")
    return model


def block(**options):
    return STTBlock(STT(2, synthesizer="random"), mlp_ratio=1, name="stt", **options)


IMAGES = np.random.default_rng(0).random((2, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize("after", ["stage_1", NAMES])
def test_a_block_of_scale_0_changes_nothing(after):
    model = cnn()
    inserted = insert_layer(model, block(layer_scale=0.0), after)
    assert not inserted.compiled
    np.testing.assert_allclose(array(inserted(IMAGES)), array(model(IMAGES)), rtol=1e-6)
    names = [layer.name for layer in inserted.layers]
    for name in [after] if isinstance(after, str) else after:
        assert names.index(f"{name}_stt") == names.index(name) + 1
    assert len(names) == len(model.layers) + (1 if after == "stage_1" else 2)


def test_what_follows_gets_the_new_layers_output():
    model = cnn()
    inserted = insert_layer(model, block(), "stage_1")
    new = inserted.get_layer("stage_1_stt")
    before = keras.Model(model.input, model.get_layer("stage_1").output)
    hidden = new(before(IMAGES))
    for layer in model.layers[model.layers.index(model.get_layer("stage_1")) + 1 :]:
        hidden = layer(hidden)
    np.testing.assert_allclose(array(inserted(IMAGES)), array(hidden), rtol=1e-5)


def test_the_model_stays_as_it_is_and_the_copy_trains():
    model = cnn()
    before = model.predict(IMAGES, verbose=0)
    inserted = insert_layer(model, block(layer_scale=1e-4), NAMES)
    inserted.compile("sgd", "mse")
    frozen = array(inserted.get_layer("stage_2_stt").scales["mixer"])
    inserted.fit(IMAGES, np.ones((2, 4)), verbose=0)
    assert np.abs(
        array(inserted.get_layer("stage_2_stt").scales["mixer"]) - frozen
    ).max()
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), before, rtol=1e-5)


@pytest.mark.backend_free
def test_a_network_of_keras_applications(tmp_path):
    backbone = keras.applications.MobileNetV2((32, 32, 3), weights=None, classes=5)
    new = STTBlock(DepthwiseSTT(), layer_scale=0.0, name="stt")
    inserted = insert_layer(backbone, new, ["block_2_add", "block_4_add"])
    images = np.random.rand(1, 32, 32, 3).astype("float32")
    np.testing.assert_allclose(array(inserted(images)), array(backbone(images)), 1e-5)
    inserted.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(array(loaded(images)), array(inserted(images)), 1e-5)


def test_a_frozen_network_gets_a_layer_that_can_be_trained():
    model = cnn()
    model.trainable = False
    inserted = insert_layer(model, block(), "stage_1")
    new = inserted.get_layer("stage_1_stt")
    assert len(new.trainable_variables) > 10
    assert len(inserted.trainable_variables) == len(new.trainable_variables)


def test_in_and_after_a_model_in_the_model():
    inner, image = cnn(), keras.Input((8, 8, 3))
    features = keras.Model(inner.input, inner.get_layer("stage_2").output, name="inner")
    outer = keras.Model(image, keras.layers.Dense(2)(features(image)))
    inserted = insert_layer(outer, block(layer_scale=0.0), ["inner", "stage_1"])
    assert inserted.layers[2].name == "inner_stt"
    assert inserted.get_layer("inner").get_layer("stage_1_stt").built
    expected = array(outer(IMAGES))
    np.testing.assert_allclose(array(inserted(IMAGES)), expected, rtol=1e-5, atol=1e-6)


def test_a_layer_that_is_called_twice_and_a_second_insertion():
    image = keras.Input((8, 8, 3))
    shared = keras.layers.Conv2D(3, 1, name="shared")
    model = keras.Model(image, shared(shared(image)))
    block = STTBlock(DepthwiseSTT(), name="stt")
    once = insert_layer(model, block, "shared")
    assert [layer.name for layer in once.layers].count("shared_stt") == 1
    twice = insert_layer(once, block, "shared")
    assert {"shared_stt", "shared_stt_1"} < {layer.name for layer in twice.layers}


@pytest.mark.parametrize(
    ("model", "layer", "after", "message"),
    [
        (cnn, block(), "stage_3", "'stage_3', which occurs 0 times"),
        (cnn, block(), ["stage_1", "nowhere"], "'nowhere', which occurs 0"),
        (cnn, block(), [], r"`after` must .*Received: after=\[\]"),
        (cnn, block(), 5, "`after` must .*Received: after=5"),
        (cnn, "stt", "stage_1", "`layer` must be a Keras layer.*'stt'"),
        (cnn, keras.layers.Dense(5), "stage_1", "`layer` must keep the shape"),
        (lambda: keras.Sequential([keras.layers.Dense(2)]), block(), "a", "Sequential"),
        (lambda: keras.layers.Dense(2), block(), "a", "`model` must be a functional"),
    ],
)
def test_errors(model, layer, after, message):
    with pytest.raises(ValueError, match=message):
        insert_layer(model(), layer, after)


def test_a_name_that_is_there_twice_is_an_error():
    inner, image = cnn(), keras.Input((8, 8, 3))
    hidden = keras.layers.Conv2D(3, 1, name="stage_1")(image)
    model = keras.Model(image, inner(hidden))
    with pytest.raises(ValueError, match="'stage_1', which occurs 2 times"):
        insert_layer(model, block(), "stage_1")
