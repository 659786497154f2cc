import warnings

import keras
import numpy as np
import pytest
from support import array, randomize, relative_error

from keras_stt.layers import STT, PositionEmbedding, STTBlock
from keras_stt.mixers import MIXERS
from keras_stt.models import ImageModel, image_classifier

SMALL = {"grid": (2, 3), "width": 8, "depth": 2, "num_heads": 2}
SHAPE = (8, 12, 3)


def images(batch=2, shape=SHAPE):
    return np.random.default_rng(0).random((batch, *shape)).astype("float32")


@pytest.mark.parametrize("name", MIXERS)
def test_every_mixer(name):
    model = image_classifier(SHAPE, 5, mixer=name, **SMALL)
    assert model.input_shape == (None, *SHAPE)
    assert model.output_shape == (None, 5)
    assert tuple(model(images()).shape) == (2, 5)
    blocks = [layer for layer in model.layers if isinstance(layer, STTBlock)]
    assert len(blocks) == 2
    assert len({id(block.mixer) for block in blocks}) == 2
    expected = type(MIXERS[name].build(8, 2))
    assert all(type(block.mixer) is expected for block in blocks)
    assert blocks[0].input.shape == (None, 2, 3, 8)


def test_mixers_differ_in_the_mixer_alone():
    counts = {}
    for name in MIXERS:
        model = image_classifier(SHAPE, 5, mixer=name, **SMALL)
        mixers = [b.mixer for b in model.layers if isinstance(b, STTBlock)]
        counts[name] = model.count_params() - sum(m.count_params() for m in mixers)
    assert len(set(counts.values())) == 1


def test_parameters():
    model = image_classifier(
        SHAPE, 5, mixer="none", grid=(2, 3), width=8, depth=1, mlp_ratio=2, stem="patch"
    )
    stem = 4 * 4 * 3 * 8 + 8
    position = 2 * 3 * 8
    block = (8 * 8 + 8) + 2 * 16 + (8 * 16 + 16) + (16 * 8 + 8)
    head = 16 + 8 * 5 + 5
    assert model.count_params() == stem + position + block + head


def test_the_convolution_stem():
    model = image_classifier((16, 24, 3), 5, grid=(2, 3), width=8, num_heads=2)
    convolutions = [
        layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)
    ]
    # Cells of 8×8 pixels: three halvings, with as many doublings to the width.
    assert [c.filters for c in convolutions] == [2, 4, 8]
    assert all(c.kernel_size == (3, 3) and c.strides == (2, 2) for c in convolutions)
    assert convolutions[-1].output.shape == (None, 2, 3, 8)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(norms) == 3


def test_a_grid_of_oblong_cells_with_the_patch_stem():
    model = image_classifier((6, 12, 3), 5, **SMALL, stem="patch", mixer="stt-random")
    (patches,) = (x for x in model.layers if isinstance(x, keras.layers.Conv2D))
    assert patches.kernel_size == patches.strides == (3, 4)
    assert tuple(model(images(shape=(6, 12, 3))).shape) == (2, 5)


def test_images_in_0_1_are_stretched_to_minus_1_1():
    model = image_classifier(SHAPE, 5, **SMALL)
    (rescaling,) = (x for x in model.layers if isinstance(x, keras.layers.Rescaling))
    black_and_white = np.stack([np.zeros(SHAPE), np.ones(SHAPE)])
    stretched = array(rescaling(black_and_white))
    np.testing.assert_allclose(stretched[0], -1.0)
    np.testing.assert_allclose(stretched[1], 1.0)


def test_a_mixer_of_the_users_own():
    made = []

    def make():
        made.append(STT(2, synthesizer="factorized_random"))
        return made[-1]

    model = image_classifier(SHAPE, 5, mixer=make, **SMALL, name="mine")
    assert model.name == "mine"
    assert len(made) == 2
    blocks = [layer for layer in model.layers if isinstance(layer, STTBlock)]
    assert [block.mixer for block in blocks] == made


def test_stochastic_depth_rises_linearly():
    arguments = {**SMALL, "depth": 3, "stochastic_depth": 0.2, "dropout": 0.1}
    model = image_classifier(SHAPE, 5, **arguments)
    blocks = [layer for layer in model.layers if isinstance(layer, STTBlock)]
    np.testing.assert_allclose([b.stochastic_depth for b in blocks], [0, 0.1, 0.2])
    assert [b.dropout for b in blocks] == [0.1] * 3
    single = image_classifier(SHAPE, 5, **{**arguments, "depth": 1})
    (block,) = (layer for layer in single.layers if isinstance(layer, STTBlock))
    assert 0 <= block.stochastic_depth <= 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixer": "stt"}, "`mixer` must be one of stt-dense, .*Received: mixer='stt'"),
        ({"mixer": "sst-dense"}, r"'sst-dense' \(did you mean stt-dense\?\)"),
        (
            {"stem": "conv"},
            "'convolution', 'patch', or a Keras model .*Received: stem='conv'",
        ),
        (
            {"grid": (3, 3)},
            r"must be multiples.*images of \(8, 12\) pixels, grid=\(3, 3\)",
        ),
        ({"grid": (16, 24)}, r"multiples of the grid.*pixels, grid=\(16, 24\)"),
        ({"grid": (0, 3)}, r"two positive integers.*Received: grid=\(0, 3\)"),
        ({"grid": (-2, 3)}, r"two positive integers.*Received: grid=\(-2, 3\)"),
        ({"grid": (2, 3, 1)}, r"two positive integers.*Received: grid=\(2, 3, 1\)"),
        ({"grid": (2, 2)}, r"square cells.*stem='patch'. Received: .*\(4, 6\) pixels"),
        ({"grid": (8, 12)}, r"a power of 2.*Received: .*\(1, 1\) pixels"),
        ({"width": 0}, "`width` must be a positive.*Received: width=0"),
        ({"depth": -1}, "`depth` must be a positive.*Received: depth=-1"),
        ({"num_heads": 3, "mixer": "stt-dense"}, "multiple of num_heads=3"),
        ({"grid": (True, 4)}, r"two positive integers.*Received: grid=\(True, 4\)"),
        ({"stochastic_depth": 7}, "`stochastic_depth` must be in .*=7"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        image_classifier(SHAPE, 5, **{**SMALL, **arguments})


@pytest.mark.parametrize("shape", [(None, None, 3), (8, None, 3)])
def test_images_of_unknown_size(shape):
    with pytest.raises(ValueError, match=r"`input_shape`.*Received.*None, 3\)"):
        image_classifier(shape, 5, **SMALL)


@pytest.mark.parametrize("name", ["stt-mixture", "mha", "axial-mha", "depthwise-conv"])
def test_saved_and_loaded(name, tmp_path):
    model = image_classifier(SHAPE, 5, mixer=name, **SMALL, dropout=0.1)
    expected = array(model(images()))
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert relative_error(reloaded(images()), expected) < 1e-6


def test_logits_are_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = image_classifier(SHAPE, 5, **SMALL)
        logits = model(images())
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    blocks = [layer for layer in model.layers if isinstance(layer, STTBlock)]
    assert {b.mixer.compute_dtype for b in blocks} == {"bfloat16"}


def test_a_layer_is_a_template():
    template = STT(2, synthesizer="random", name="mine")
    model = image_classifier(SHAPE, 5, **{**SMALL, "mixer": template, "depth": 2})
    mixers = [model.get_layer(f"block_{i}").mixer for i in range(2)]
    assert not template.built
    assert [m.name for m in mixers] == ["mixer", "mixer"]
    assert mixers[0] is not mixers[1]
    assert {type(m.synthesizer).__name__ for m in mixers} == {"Random"}


@pytest.mark.parametrize("mixer", [3, STT, None, lambda: "stt", "mha "])
def test_mixers_that_are_none(mixer):
    with pytest.raises(ValueError, match=r"`mixer` must be.*Received: "):
        image_classifier(SHAPE, 5, **{**SMALL, "mixer": mixer})


def test_a_function_that_returns_the_same_layer_twice_is_an_error():
    layer = STT(2)
    with pytest.raises(ValueError, match="`mixer`"):
        image_classifier(SHAPE, 5, **{**SMALL, "mixer": lambda: layer, "depth": 2})


@pytest.mark.parametrize("classes", [0, -1, "5"])
def test_a_number_of_classes_that_is_none(classes):
    with pytest.raises(ValueError, match=r"`num_classes`.*Received: num_classes="):
        image_classifier(SHAPE, classes, **SMALL)


@pytest.mark.parametrize("shape", [(8, 12, 3), (2, 8, 12, 1), (1, 2, 8, 12, 3)])
@pytest.mark.parametrize("entry", ["call", "predict"])
def test_images_of_another_form(shape, entry):
    model, pixels = image_classifier(SHAPE, 5, **SMALL), np.zeros(shape, "uint8")
    with pytest.raises(ValueError, match=r"\(B, height, width, 3\).*Received: "):
        model(pixels) if entry == "call" else model.predict(pixels, verbose=0)


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_integers_are_bytes(dtype):
    model = randomize(image_classifier(SHAPE, 5, **SMALL))
    pixels = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(dtype)
    expected = array(model((pixels / 255).astype("float32")))
    np.testing.assert_allclose(array(model(pixels)), expected, rtol=1e-4, atol=1e-4)
    predicted = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(predicted, expected, rtol=1e-4, atol=1e-4)
    nested = keras.Sequential([keras.Input(SHAPE, dtype="int32"), model])
    actual = array(nested(pixels.astype("int32")))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def in_a_sequential(model):
    return keras.Sequential([model, keras.layers.Softmax()])


def in_a_model(model):
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, keras.layers.Softmax()(model(inputs)))


def lengthened(model):
    return keras.Model(model.input, keras.layers.Softmax()(model.output))


@pytest.mark.parametrize("wrap", [in_a_sequential, in_a_model, lengthened])
def test_bytes_that_another_model_made_floats_give_no_number(wrap):
    model = wrap(randomize(image_classifier(SHAPE, 5, **SMALL)))
    pixels = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype("uint8")
    # One of them is dark, and could be an image in [0, 1].
    pixels[1] = 1
    for outputs in (array(model(pixels)), model.predict(pixels, verbose=0)):
        assert np.isnan(outputs[[0, 2]]).all()
        assert np.isfinite(outputs[1]).all()


@pytest.mark.parametrize("async_dispatch", [True, False])
def test_training_on_a_folder_of_images_without_rescaling(tmp_path, async_dispatch):
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(2):
            pixels = np.full(SHAPE, 50 + number, "uint8")
            keras.utils.save_img(tmp_path / name / f"{number}.png", pixels, scale=False)
    data = keras.utils.image_dataset_from_directory(
        tmp_path, image_size=SHAPE[:2], batch_size=2, verbose=False
    )
    model = image_classifier(SHAPE, 2, **SMALL)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    seen = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    callbacks = None if async_dispatch else [seen]
    with pytest.raises(ValueError, match=r"in \[0, 1\].*NaN.*Rescaling"):
        model.fit(data, callbacks=callbacks, shuffle=False, verbose=0)
    rescaled = data.map(lambda images, labels: (images / 255, labels))
    history = model.fit(
        rescaled, epochs=2, callbacks=callbacks, shuffle=False, verbose=0
    )
    assert np.isfinite(history.history["loss"]).all()


def test_a_diverged_model_is_trained_on():
    model = image_classifier(SHAPE, 5, **SMALL)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e30), loss)
    data = np.random.rand(8, *SHAPE).astype("float32"), np.arange(8) % 5
    losses = [
        model.fit(*data, batch_size=2, verbose=0).history["loss"][0] for _ in range(3)
    ]
    assert np.isnan(losses[1:]).all()


def test_a_fixed_batch_and_images_of_one_channel():
    image = keras.Input(batch_shape=(2, 4, 4, 1))
    model = ImageModel(image, keras.layers.Flatten()(image))
    assert model.predict(np.zeros((6, 4, 4, 1)), batch_size=2, verbose=0).shape[0] == 6
    assert model(np.zeros((2, 4, 4), "float32")).shape == (2, 16)


def test_what_is_no_image_may_be_large():
    image, other = keras.Input((4, 4, 3)), keras.Input((2,))
    features = keras.layers.Flatten()(image)
    model = ImageModel([image, other], keras.layers.Concatenate()([features, other]))
    inputs = [np.zeros((3, 4, 4, 3), "float32"), np.full((3, 2), 30.0, "float32")]
    assert model.predict(inputs, verbose=0)[:, -1].max() == 30


def test_training_on_bytes_and_on_floats_is_the_same(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype("uint8")
    floats, labels = (pixels / 255).astype("float32"), np.array([0, 1, 2, 3])
    losses = []
    for x in (pixels, floats):
        keras.utils.set_random_seed(0)
        model = image_classifier(SHAPE, 5, **SMALL)
        model.compile(
            "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        history = model.fit(x, labels, epochs=2, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
        losses[-1].append(model.evaluate(x, labels, verbose=0))
    np.testing.assert_allclose(*losses, rtol=1e-4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(array(again(pixels)), array(model(floats)), atol=1e-4)


def test_the_legacy_format_needs_the_classes(tmp_path):
    """HDF5 files of Keras hold the name of a class without its package."""
    model = randomize(image_classifier(SHAPE, 5, **SMALL))
    model.save(tmp_path / "model.h5")
    classes = (ImageModel, PositionEmbedding, STTBlock)
    names = {each.__name__: each for each in classes}
    again = keras.saving.load_model(tmp_path / "model.h5", custom_objects=names)
    x = np.random.default_rng(0).random((2, *SHAPE)).astype("float32")
    np.testing.assert_allclose(array(again(x)), array(model(x)), atol=1e-6)


def test_a_part_of_a_model_keeps_the_rule():
    model = randomize(image_classifier(SHAPE, 5, **SMALL))
    features = ImageModel(model.input, model.get_layer("norm").output)
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype("uint8")
    expected = array(features((pixels / 255).astype("float32")))
    for output in (features(pixels), features.predict_on_batch(pixels)):
        np.testing.assert_allclose(array(output), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "entry",
    [
        "predict",
        "__call__",
        "fit",
        "evaluate",
        "train_on_batch",
        "test_on_batch",
        "predict_on_batch",
    ],
)
def test_floats_that_are_no_pixels_are_an_error(entry):
    model = image_classifier(SHAPE, 5, **SMALL)
    with pytest.raises(ValueError, match=r"\[0, 1\].*Received: float32.*255"):
        getattr(model, entry)(np.full((2, *SHAPE), 255, "float32"))


@pytest.mark.parametrize(
    "images",
    [np.full((2, *SHAPE), 255, "float32"), np.full((2, *SHAPE), 65535, "uint16")],
)
def test_a_call_by_name_is_checked_too(images):
    model = image_classifier(SHAPE, 5, **SMALL)
    with pytest.raises(ValueError, match=r"0 … 255.*Received: .*values up to"):
        model(inputs=images)


def test_the_dtype_policy_reaches_every_layer():
    model = image_classifier(
        SHAPE, 5, mixer="stt-dense", **SMALL, dtype="mixed_float16"
    )
    block = model.get_layer("block_0")
    for layer in (block, block.mixer, block.mixer.value_dense, model.get_layer("norm")):
        assert layer.compute_dtype == "float16"
    logits = model(np.zeros((1, *SHAPE), "float32"))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"


@pytest.mark.parametrize("stem", ["patch", "convolution"])
def test_keras_global_data_format_changes_nothing(stem):
    arguments = {**SMALL, "stem": stem, "grid": (2, 3)}
    model = randomize(image_classifier(SHAPE, 5, **arguments))
    x = np.random.default_rng(0).random((2, *SHAPE)).astype("float32")
    keras.config.set_image_data_format("channels_first")
    try:
        same = image_classifier(SHAPE, 5, **arguments)
        same.set_weights(model.get_weights())
        output = array(same(x))
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(output, array(model(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "mode", ["int8", pytest.param("int4", marks=pytest.mark.backend_free)]
)
def test_a_quantised_classifier_is_loaded(mode, tmp_path):
    model = randomize(image_classifier(SHAPE, 5, **SMALL), stddev=0.1)
    x = np.random.default_rng(0).random((2, *SHAPE)).astype("float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each layer that is not quantised
        model.quantize(mode)
    expected = array(model(x))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(array(again(x)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [[16, 16, 3], np.array([16, 16, 3])])
def test_shapes_of_any_sequence(shape):
    assert image_classifier(shape, 10, depth=1).input_shape == (None, 16, 16, 3)
