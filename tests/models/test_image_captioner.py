"""The captioner: what it may see, and what it writes."""

import functools
import inspect
import warnings

import keras
import numpy as np
import pytest
from captioners import (
    FIRST,
    LENGTH,
    START,
    TEXTS,
    WORDS,
    best_text,
    captioner,
    images,
    tokens_of,
)
from support import array, normal

from keras_stt.layers import STT
from keras_stt.models import ImageCaptioner

DECODERS = [
    "stt-dense",
    "stt-random",
    "stt-factorized-dense",
    "stt-factorized-random",
    "stt-mixture",
    "stt-mixture-dot",
    "mha",
]


@functools.cache
def speaking(decoder="stt-dense", cross="mha"):
    """A captioner that has begun to learn four texts, of all lengths."""
    keras.utils.set_random_seed(0)
    model = captioner(decoder, cross, dropout=0.0)
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
        jit_compile=keras.backend.backend() == "jax",
    )
    tokens = tokens_of(TEXTS)
    data = {"image": images(), "tokens": tokens[:, :-1]}
    model.losses_seen = model.fit(
        data, tokens[:, 1:], epochs=100, batch_size=4, verbose=0
    ).history["loss"]
    return model


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_later_token_changes_no_earlier_output(decoder):
    model = captioner(decoder, decoder_depth=2)
    tokens = np.array([[START, 4, 5, 6, 7, 8]], "int32")
    before = array(model({"image": images(1), "tokens": tokens}))
    for position in range(1, LENGTH + 1):
        changed = tokens.copy()
        changed[0, position] = 1
        after = array(model({"image": images(1), "tokens": changed}))
        np.testing.assert_allclose(
            after[:, :position], before[:, :position], rtol=1e-5, atol=1e-6
        )
        assert abs(after[:, position:] - before[:, position:]).max() > 1e-3


def test_the_config_is_the_constructors_arguments():
    model = captioner(stem="patch", dropout=0.3)
    config = model.get_config()
    parameters = set(inspect.signature(ImageCaptioner.__init__).parameters)
    assert set(config) == parameters - {"self", "kwargs"} | {"name", "dtype"}
    again = ImageCaptioner.from_config(config)
    assert again.get_config() == config
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]


@pytest.mark.parametrize(("encoder", "cross"), [("stt-dense", "stt"), ("mha", "mha")])
def test_the_image_decides(encoder, cross):
    model = captioner("stt-random", cross, encoder)
    tokens = np.array([[START, 4, 5, 6, 7, 8]] * 2, "int32")
    logits = array(model({"image": images(2), "tokens": tokens}))
    assert logits.shape == (2, LENGTH + 1, FIRST + len(WORDS))
    assert abs(logits[0] - logits[1]).max() > 1e-3


@pytest.mark.parametrize(("decoder", "cross"), [("stt-dense", "stt"), ("mha", "mha")])
def test_learns_what_to_write(decoder, cross):
    model = speaking(decoder, cross)
    assert model.losses_seen[-1] < model.losses_seen[0] / 10
    assert model.generate(images()) == TEXTS


@pytest.mark.parametrize(("decoder", "cross"), [("stt-dense", "stt"), ("mha", "mha")])
def test_greedy_search(decoder, cross):
    """On images that were not learned, too."""
    model = speaking(decoder, cross)
    texts = model.generate(images(6))
    assert texts == [best_text(model, image, 1) for image in images(6)]
    assert len(set(texts)) >= 4


def test_batches_give_what_single_images_give():
    model = speaking()
    together = model.generate(images(5), batch_size=2)
    assert together == [model.generate(image[None])[0] for image in images(5)]
    assert model.generate(images(0)) == []


@pytest.mark.parametrize("cross", ["mha", "stt"])
def test_mixed_precision(cross):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = captioner(cross=cross)
    finally:
        keras.config.set_dtype_policy("float32")
    inputs = {"image": images(2), "tokens": tokens_of(TEXTS[:2])[:, :-1]}
    logits = model(inputs)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    exact = ImageCaptioner.from_config(model.get_config())
    exact.set_weights(model.get_weights())
    np.testing.assert_allclose(array(logits), array(exact(inputs)), rtol=0.1, atol=0.3)
    assert len(model.generate(images(2), beam_size=2)) == 2


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX has no float64 unless told so"
)
def test_generates_in_float64():
    keras.config.set_floatx("float64")
    try:
        model = captioner(dtype="float64")
        texts = model.generate(images(), beam_size=2)
    finally:
        keras.config.set_floatx("float32")
    assert model.dtype == "float64"
    single = captioner()
    single.set_weights([array(weight) for weight in model.weights])
    assert texts == single.generate(images(), beam_size=2)


def test_max_length_cuts():
    model = speaking()
    short = model.generate(images(), max_length=2)
    assert short == [" ".join(text.split()[:2]) for text in TEXTS]


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_integers_are_images_too(dtype):
    model = speaking()
    pixels = (images() * 255).round().astype(dtype)
    floats = (pixels / 255).astype("float32")
    assert model.generate(pixels) == model.generate(floats) == TEXTS
    tokens = tokens_of(TEXTS)[:, :-1]
    one, other = ({"image": image, "tokens": tokens} for image in (pixels, floats))
    expected = array(model(other))
    np.testing.assert_allclose(array(model(one)), expected, rtol=1e-4, atol=1e-4)
    predicted = model.predict(one, verbose=0)
    np.testing.assert_allclose(predicted, expected, rtol=1e-4, atol=1e-4)


def test_trained_on_bytes():
    # As `speaking`, and it says the same of floats. Seconds: it trains.
    model = captioner(width=16)
    tokens, pixels = tokens_of(TEXTS), (images() * 255).round().astype("uint8")
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
    )
    data = {"image": pixels, "tokens": tokens[:, :-1]}
    model.fit(data, tokens[:, 1:], epochs=100, batch_size=4, verbose=0)
    assert model.generate(pixels) == model.generate(pixels / 255.0) == TEXTS


@pytest.mark.parametrize(
    "entry", ["generate", "predict", "fit", "evaluate", "call", "train_on_batch"]
)
def test_floats_that_are_no_pixels_are_an_error(entry):
    model, wrong = captioner(), images() * 255
    model.compile("sgd", "mse")
    tokens = tokens_of(TEXTS)
    data = {"image": wrong, "tokens": tokens[:, :-1]}
    calls = {
        "generate": lambda: model.generate(wrong),
        "predict": lambda: model.predict(data, verbose=0),
        "fit": lambda: model.fit(data, tokens[:, 1:], verbose=0),
        "evaluate": lambda: model.evaluate(data, tokens[:, 1:], verbose=0),
        "call": lambda: model(data),
        "train_on_batch": lambda: model.train_on_batch(data, tokens[:, 1:]),
    }
    with pytest.raises(ValueError, match=r"image.*\[0, 1\].*Received: float32"):
        calls[entry]()


@pytest.mark.parametrize("inputs", [(1, 2), images(), {"images": 1, "tokens": 2}])
def test_inputs_in_another_form(inputs):
    with pytest.raises(ValueError, match=r'`x` must be a dict \{"image".*Received: '):
        captioner().predict(inputs)


@pytest.mark.parametrize(
    ("tokens", "received"),
    [
        (tokens_of(TEXTS), r"shape \(4, 7\) of int32"),
        (TEXTS, "list"),
        (np.array(TEXTS), r"shape \(4,\) of <U"),
    ],
)
def test_tokens_in_another_form(tokens, received):
    model = captioner()
    model.compile("sgd", "mse")
    expected = rf"`x\['tokens'\]`.*\(B, 6\).*tokenize.*Received: {received}"
    with pytest.raises(ValueError, match=expected):
        model.fit({"image": images(), "tokens": tokens}, tokens_of(TEXTS)[:, 1:])


@pytest.mark.parametrize("texts", [None, "red", [3]])
def test_texts_in_another_form(texts):
    with pytest.raises(ValueError, match="`captions` must be a sequence of texts"):
        captioner().tokenize(texts)


def test_every_variable_has_a_path_of_its_own():
    paths = [v.path for v in captioner(encoder_depth=2, decoder_depth=2).variables]
    assert len(set(paths)) == len(paths)


def test_the_dtype_policy_reaches_every_layer(tmp_path):
    model = captioner(dtype="mixed_float16")
    data = {"image": images(), "tokens": tokens_of(TEXTS)[:, :-1]}
    logits = model(data)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    block = model.text_decoder.get_layer("decoder_block_0")
    for layer in (block, block.mixer, block.mixer.value_dense, block.cross_attention):
        assert layer.compute_dtype == "float16"
    assert model.image_encoder.get_layer("block_0").expand.compute_dtype == "float16"
    model.save(tmp_path / "half.keras")
    again = keras.saving.load_model(tmp_path / "half.keras")
    assert again.dtype_policy.name == "mixed_float16"
    np.testing.assert_allclose(array(again(data)), array(logits), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "mode", ["int8", pytest.param("int4", marks=pytest.mark.backend_free)]
)
def test_a_quantised_captioner_is_loaded(mode, tmp_path):
    model = captioner("stt-dense", "mha", "mha")
    data = {"image": images(), "tokens": tokens_of(TEXTS)[:, :-1]}
    plain = array(model(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each layer that is not quantised
        model.quantize(mode)
    expected = array(model(data))
    assert np.abs(plain - expected).max() > 0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(array(again(data)), expected, rtol=1e-4, atol=1e-4)
    assert again.generate(images()) == model.generate(images())


def test_layers_as_templates(tmp_path):
    model = ImageCaptioner(
        (8, 12, 3),
        WORDS,
        max_length=LENGTH,
        encoder_mixer=STT(2, synthesizer="random"),
        decoder_mixer=STT(4, dropout=0.1),
        grid=(4, 6),
        width=8,
    )
    data = {"image": images(), "tokens": tokens_of(TEXTS)[:, :-1]}
    assert model.text_decoder.get_layer("decoder_block_1").mixer.num_heads == 4
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(array(again(data)), array(model(data)), atol=1e-5)


def test_a_loaded_captioner_writes_the_same(tmp_path):
    model = speaking("stt-dense", "stt")
    model.save(tmp_path / "captioner.keras")
    loaded = keras.models.load_model(tmp_path / "captioner.keras")
    assert loaded.vocabulary == WORDS
    assert loaded.generate(images()) == TEXTS


@pytest.mark.filterwarnings("ignore:.*HDF5:UserWarning")
def test_the_legacy_format_needs_the_class(tmp_path):
    """HDF5 files of Keras hold the name of a class without its package."""
    model = speaking("stt-dense", "stt")
    model.save(tmp_path / "captioner.h5")
    with pytest.raises(ValueError, match="Unknown layer: 'ImageCaptioner'"):
        keras.models.load_model(tmp_path / "captioner.h5")
    loaded = keras.models.load_model(
        tmp_path / "captioner.h5", custom_objects={"ImageCaptioner": ImageCaptioner}
    )
    assert loaded.generate(images()) == TEXTS


# What Keras passes to JAX.
@pytest.mark.filterwarnings("ignore:The `native_serialization`:DeprecationWarning")
def test_an_exported_captioner_computes_the_same(tmp_path):
    model = captioner("stt-dense", "stt", "none", stem="patch")
    data = {"image": images(), "tokens": tokens_of(TEXTS)[:, :-1]}
    if keras.backend.backend() == "torch":
        # Keras exports a SavedModel from PyTorch for flat inputs only, and a program
        # of PyTorch for the size of batch in its signature: by default, one.
        torch = pytest.importorskip("torch")
        data = {name: values[:1] for name, values in data.items()}
        model.export(tmp_path / "model.pt2", format="torch", verbose=False)
        artifact = torch.export.load(tmp_path / "model.pt2").module()
        tensors = {name: torch.from_numpy(values) for name, values in data.items()}
        exported = artifact(tensors).detach().numpy()
    else:
        tf = pytest.importorskip("tensorflow", reason="SavedModel is its format")
        model.export(tmp_path / "model", verbose=False)
        artifact = tf.saved_model.load(tmp_path / "model")
        exported = artifact.serve(data).numpy()
    np.testing.assert_allclose(exported, array(model(data)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": []}, "`vocabulary` must hold one word"),
        ({"vocabulary": ["a", "a"]}, "2 words, 1 distinct"),
        ({"max_length": 0}, "`max_length`"),
        ({"encoder_depth": 0}, "`encoder_depth`"),
        ({"decoder_depth": 0}, "`decoder_depth`"),
        ({"cross_attention": "magic"}, "Received: cross_attention='magic'"),
        ({"encoder_mixer": "magic"}, "Received: encoder_mixer='magic'"),
        ({"decoder_mixer": "magic"}, "Received: decoder_mixer='magic'"),
        ({"decoder_mixer": "none"}, "causal form.*Received: decoder_mixer='none'"),
        ({"encoder_mixer": lambda: STT(2)}, "`encoder_mixer`.*a name or a layer"),
        ({"grid": (5, 4)}, "multiples of the grid"),
        ({"grid": 4}, "`grid`.*Received: grid=4"),
        ({"image_shape": (16, 16)}, r"`image_shape`.*Received: .*\(16, 16\)"),
        ({"image_shape": (None, 16, 3)}, "`image_shape`.*Received: "),
        ({"image_shape": 16}, "`image_shape`.*Received: image_shape=16"),
        ({"vocabulary": ["a", 3]}, r"`vocabulary`.*Received: vocabulary\[1\]=3"),
        ({"vocabulary": None}, "`vocabulary`.*Received: vocabulary=None"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ImageCaptioner(
            **{"image_shape": (8, 8, 3), "vocabulary": WORDS, "grid": (4, 4)} | options
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": LENGTH + 1}, "`max_length` must be at most 5"),
        ({"beam_size": 0}, "`beam_size` must be a positive integer"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"images": normal(1, 8, 8, 3)}, r"Received: shape \(1, 8, 8, 3\)"),
    ],
)
def test_bad_requests(options, message):
    with pytest.raises(ValueError, match=message):
        captioner().generate(**{"images": images(1), **options})
