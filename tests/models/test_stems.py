"""A model of the user's as stem, such as a pretrained backbone."""

import keras
import numpy as np
import pytest
from support import array, randomize

from keras_stt.inspection import attention_maps
from keras_stt.layers import STT, STTBlock
from keras_stt.models import ImageCaptioner, ImageModel, image_classifier
from keras_stt.surgery import resize_model

SHAPE = (64, 64, 3)
SMALL = {"width": 8, "depth": 1, "num_heads": 2, "mixer": "stt-depthwise"}
IMAGES = np.random.default_rng(0).random((2, *SHAPE)).astype("float32")
TEXTS = ["a cat", "two dogs"]


def backbone(shape=SHAPE, frozen=True):
    """A network of `keras.applications` without its head, behind its preprocessing."""
    network = keras.applications.MobileNetV2(
        input_shape=shape, include_top=False, weights=None, alpha=0.35
    )
    layers = [keras.Input(shape), keras.layers.Rescaling(2, offset=-1), network]
    model = keras.Sequential(layers, name="backbone")
    model.trainable = not frozen
    return model


def captioner(stem):
    return ImageCaptioner(
        SHAPE,
        ["a", "cat", "dogs", "two"],
        max_length=3,
        encoder_mixer="stt-depthwise",
        encoder_depth=1,
        decoder_depth=1,
        width=8,
        num_heads=2,
        stem=stem,
    )


def caption_inputs(model, images=IMAGES):
    return {"image": images, "tokens": model.tokenize(TEXTS)[:, :-1]}


def test_the_features_of_the_stem_are_those_of_the_backbone():
    stem = backbone()
    model = image_classifier(SHAPE, 5, stem=stem, **SMALL)
    projected = keras.Model(model.input, model.get_layer("encoder_project").output)
    kernel, bias = map(array, model.get_layer("encoder_project").weights)
    network = stem.layers[-1]
    expected = array(network(IMAGES * 2 - 1)) @ kernel + bias
    assert expected.shape == (2, 2, 2, 8)
    np.testing.assert_allclose(array(projected(IMAGES)), expected, atol=1e-5)


@pytest.mark.parametrize("frozen", [True, False])
def test_training_leaves_a_frozen_backbone_alone(frozen):
    stem = backbone(frozen=frozen)
    before = [array(weight) for weight in stem.weights]
    model = image_classifier(SHAPE, 5, stem=stem, **SMALL)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(IMAGES, np.array([0, 1]), verbose=0)
    same = [
        np.array_equal(array(weight), old)
        for weight, old in zip(stem.weights, before, strict=True)
    ]
    assert all(same) if frozen else not any(same)


def test_a_captioner_with_a_backbone_saves_and_loads(tmp_path):
    model = randomize(captioner(backbone()))
    expected = array(model(caption_inputs(model)))
    model.save(tmp_path / "captioner.keras")
    again = keras.saving.load_model(tmp_path / "captioner.keras")
    np.testing.assert_allclose(array(again(caption_inputs(model))), expected, atol=1e-5)
    assert len(again.trainable_variables) == len(model.trainable_variables)
    assert again.generate(IMAGES) == model.generate(IMAGES)
    paths = [variable.path for variable in again.variables]
    assert len(set(paths)) == len(paths)


def test_the_grid_of_the_attention_maps_is_that_of_the_feature_map():
    model = captioner(backbone())
    encoder, decoder, cross = attention_maps(model, caption_inputs(model))
    assert encoder.grid == cross.grid == (2, 2)
    assert decoder.grid == (4,)


def with_attention():
    """A stem whose attention makes its sublayers late, all frozen."""
    x = image = keras.Input(SHAPE)
    x = keras.layers.Conv2D(8, 16, strides=16, name="patches")(x)
    x = keras.layers.MultiHeadAttention(2, 4, attention_axes=(1, 2), name="mha")(x, x)
    x = STTBlock(STT(2, synthesizer="random"), name="block_0")(x)
    model = keras.Model(image, x, name="network")
    model.trainable = False
    return model


@pytest.mark.parametrize("build", ["classifier", "captioner"])
def test_what_is_frozen_stays_so(build, tmp_path):
    """Also below layers that make others only when they are built."""
    stem = with_attention()
    model = (
        image_classifier(SHAPE, 5, stem=stem, **SMALL)
        if build == "classifier"
        else captioner(stem)
    )
    count = len(model.trainable_variables)
    assert not any(variable.trainable for variable in stem.variables)
    model.save(tmp_path / "model.keras")
    copies = {
        "loaded": keras.saving.load_model(tmp_path / "model.keras"),
        "resized": resize_model(model, (96, 128, 3)),
    }
    if build == "captioner":
        # Keras clones a functional model layer by layer, and forgets it.
        copies["cloned"] = keras.models.clone_model(model)
    assert {
        n: len(copy.trainable_variables) for n, copy in copies.items()
    } == dict.fromkeys(copies, count)
    x = IMAGES if build == "classifier" else caption_inputs(model)
    np.testing.assert_allclose(
        array(copies["loaded"](x)), array(model(x)), rtol=1e-5, atol=1e-5
    )


def test_a_frozen_block_stays_so_when_it_is_loaded(tmp_path):
    block = STTBlock(STT(2), name="block")
    model = keras.Sequential([keras.Input((4, 4, 8)), block])
    block.trainable = False
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert model.trainable_variables == again.trainable_variables == []
    assert not any(variable.trainable for variable in again.variables)


def test_a_part_of_an_own_classifier_as_stem():
    first = image_classifier(SHAPE, 5, **{**SMALL, "mixer": "stt-random"})
    part = ImageModel(first.input, first.get_layer("norm").output, name="first")
    for model in (image_classifier(SHAPE, 3, stem=part, **SMALL), captioner(part)):
        paths = [variable.path for variable in model.variables]
        assert len(set(paths)) == len(paths)
    assert image_classifier(SHAPE, 3, stem=part, **SMALL).get_layer("first") is part


def own_loss(targets, outputs):
    return keras.ops.mean(outputs, axis=(1, 2, 3))


@pytest.mark.parametrize("build", ["classifier", "captioner"])
def test_how_the_backbone_was_compiled_does_not_matter(build, tmp_path):
    stem = backbone()
    stem.compile("sgd", own_loss)
    model = (
        image_classifier(SHAPE, 5, stem=stem, **SMALL)
        if build == "classifier"
        else captioner(stem)
    )
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").built
    assert resize_model(model, (96, 96, 3)).built
    assert keras.models.clone_model(model).built
    assert stem.compiled


@pytest.mark.filterwarnings("ignore:Layer .*does not have a `quantize")
@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_quantised_captioner_with_a_backbone(mode, tmp_path):
    model = captioner(backbone())
    model.quantize(mode)
    model.save(tmp_path / "captioner.keras")
    again = keras.saving.load_model(tmp_path / "captioner.keras")
    x = caption_inputs(model)
    np.testing.assert_allclose(array(again(x)), array(model(x)), atol=1e-5)


def test_low_rank_adaptation_above_a_frozen_backbone():
    model = captioner(backbone())
    model.image_encoder.get_layer("encoder_project").enable_lora(2)
    names = [v.path for v in model.trainable_variables if "encoder_project" in v.path]
    assert [name.rpartition("/")[2] for name in names] == [
        "bias",
        "lora_kernel_a",
        "lora_kernel_b",
    ]


def test_half_precision_above_a_backbone():
    model = image_classifier(SHAPE, 5, stem=backbone(), dtype="mixed_float16", **SMALL)
    assert model.get_layer("encoder_project").compute_dtype == "float16"
    assert np.isfinite(array(model(IMAGES))).all()


def test_two_models_share_one_backbone():
    stem = backbone()
    first, second = (image_classifier(SHAPE, 5, stem=stem, **SMALL) for _ in range(2))
    first.get_layer("backbone").layers[-1].get_layer("Conv1").kernel.assign(
        np.ones((3, 3, 3, 16), "float32")
    )
    assert np.all(array(second.get_layer("backbone").weights[0]) == 1)


def test_a_backbone_for_images_of_any_size_needs_images_of_a_known_one():
    stem = backbone((None, None, 3))
    model = image_classifier((96, 64, 3), 5, stem=stem, **SMALL)
    assert model.get_layer("encoder_project").output.shape == (None, 3, 2, 8)


@pytest.mark.parametrize("build", ["classifier", "captioner"])
def test_resized_for_larger_images(build):
    stem = backbone()
    model = (
        image_classifier(SHAPE, 5, stem=stem, **SMALL)
        if build == "classifier"
        else captioner(stem)
    )
    larger = resize_model(model, (96, 128, 3))
    images = np.random.default_rng(1).random((2, 96, 128, 3)).astype("float32")
    if build == "captioner":
        assert larger.image_encoder.output_shape == (None, 3, 4, 8)
        assert np.isfinite(array(larger(caption_inputs(larger, images)))).all()
    else:
        assert larger.get_layer("encoder_project").output.shape == (None, 3, 4, 8)
        assert np.isfinite(array(larger(images))).all()
    assert len(larger.trainable_variables) == len(model.trainable_variables)
    again = resize_model(larger, SHAPE)
    for weight, same in zip(model.weights, again.weights, strict=True):
        if "position" not in weight.path:
            np.testing.assert_array_equal(array(same), array(weight))


def test_stems_that_do_not_fit():
    expected = r"`stem` must be 'convolution', 'patch', or a Keras model.*stem='magic'"
    with pytest.raises(ValueError, match=expected):
        image_classifier(SHAPE, 5, stem="magic", **SMALL)
    with pytest.raises(ValueError, match=r"`stem` must take images of shape \(64, 64"):
        image_classifier(SHAPE, 5, stem=backbone((32, 32, 3)), **SMALL)
    flat = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten()])
    with pytest.raises(ValueError, match=r"`stem` must make a feature map .B, rows"):
        image_classifier(SHAPE, 5, stem=flat, **SMALL)
    with pytest.raises(
        ValueError, match=r"more than one position.*\(None, 1, 1, 1280\)"
    ):
        image_classifier((32, 32, 3), 5, stem=backbone((32, 32, 3)), **SMALL)
    pixels = keras.Input(SHAPE, dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 255)(pixels)
    bytes_only = keras.Model(pixels, keras.layers.Conv2D(4, 8, strides=8)(scaled))
    with pytest.raises(ValueError, match=r"`stem` must take float images.*uint8"):
        image_classifier(SHAPE, 5, stem=bytes_only, **SMALL)

    class TwoArguments(keras.Model):
        def call(self, x, y):
            return x

    with pytest.raises(ValueError, match=r"`stem` must take images.*missing a requ"):
        image_classifier(SHAPE, 5, stem=TwoArguments(), **SMALL)
    with pytest.raises(ValueError, match=r"`grid` must .*\(2, 2\).*grid=\(8, 8\)"):
        image_classifier(SHAPE, 5, stem=backbone(), grid=(8, 8), **SMALL)
