"""SavedModel, LiteRT and OpenVINO files compute what the models do."""

import importlib.util

import keras
import numpy as np
import pytest
from captioners import TEXTS, captioner, images, tokens_of
from support import array, normal, randomize

from keras_stt.layers import STT, DepthwiseSTT, STTBlock
from keras_stt.models import image_classifier

BACKEND = keras.backend.backend()

#: What runs a format, and the backends that Keras exports it from.
FORMATS = {
    "tf_saved_model": ("tensorflow", ("tensorflow", "jax")),
    "litert": ("ai_edge_litert", ("tensorflow", "torch")),
    "openvino": ("openvino", ("tensorflow", "torch")),
    # From TensorFlow, of the search alone: test_onnx_files.py has the others.
    "onnx": ("onnxruntime", ("tensorflow", "jax")),
}

#: What else exports a format from a backend; then at the sizes of the signature only.
EXPORTERS = {("litert", "torch"): "litert_torch", ("onnx", "jax"): "jax2onnx"}

# Exporters on their own future, and Keras on what it passes to them.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


def needs(file_format):
    packages = [FORMATS[file_format][0]]
    if (file_format, BACKEND) in EXPORTERS:
        packages.append(EXPORTERS[file_format, BACKEND])
    return pytest.mark.skipif(
        not all(map(importlib.util.find_spec, packages)),
        reason=f"needs {' and '.join(packages)}",
    )


def run_saved_model(path, inputs):
    import tensorflow as tf

    artifact = tf.saved_model.load(path)
    outputs = artifact.serve(inputs)
    return [value.numpy() for value in keras.tree.flatten(outputs)]


def run_litert(path, inputs):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(path).get_signature_runner()
    details = runner.get_input_details()
    # From PyTorch, the names of a dict's entries are lost: they differ in rank.
    of_rank = {value.ndim: value for value in keras.tree.flatten(inputs)}
    values = {name: of_rank[len(each["shape"])] for name, each in details.items()}
    outputs = runner(**values)
    return [outputs[name] for name in sorted(outputs)]


def run_openvino(path, inputs):
    import openvino

    # On some processors it computes in bfloat16 unless told otherwise.
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.compile_model(path, "CPU", options)
    # The names of a dict's entries are lost: they differ in rank.
    of_rank = {value.ndim: value for value in keras.tree.flatten(inputs)}
    values = [of_rank[len(port.partial_shape)] for port in compiled.inputs]
    return [*compiled(values).values()]


def run_onnx(path, inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    of_rank = {value.ndim: value for value in keras.tree.flatten(inputs)}
    taken = {each.name: of_rank[len(each.shape)] for each in session.get_inputs()}
    return session.run(None, taken)


RUN = {
    "tf_saved_model": ("model", run_saved_model),
    "litert": ("model.tflite", run_litert),
    "openvino": ("model.xml", run_openvino),
    "onnx": ("model.onnx", run_onnx),
}


def layers(*stack):
    return keras.Sequential([keras.Input((4, 6, 8)), *stack])


def classifier(mixer, stem):
    model = image_classifier(
        (8, 12, 3), 5, mixer, (4, 6), width=8, depth=1, num_heads=2, stem=stem
    )
    return randomize(model, stddev=0.3)


def grids():
    return normal(2, 4, 6, 8)


def captioning():
    return {"image": images(), "tokens": tokens_of(TEXTS)[:, :-1]}


MODELS = {
    "stt": (lambda: randomize(layers(STT(2))), grids),
    "depthwise": (
        lambda: randomize(layers(DepthwiseSTT(amplitude="synthesized"))),
        grids,
    ),
    "block": (lambda: randomize(layers(STTBlock(DepthwiseSTT()))), grids),
    "classifier": (lambda: classifier("stt-dense", "patch"), images),
    "convolution": (lambda: classifier("stt-depthwise", "convolution"), images),
    "captioner": (lambda: captioner("stt-dense", "mha", stem="patch"), captioning),
    "captioner-convolution": (captioner, captioning),
    "generator": (lambda: captioner().text_generator(beam_size=2), lambda: images(3)),
}

#: What a backend cannot export, with the error that it gives.
FAILURES = {
    # Keras normalises batches by `Tensor.subtract`, for which OpenVINO has no rule
    # where an input is in a dict.
    ("torch", "openvino", "captioner-convolution"): "aten::subtract",
    # litert-torch names two functions of the decoder alike.
    ("torch", "litert", "captioner"): "Verification failed",
    ("torch", "litert", "captioner-convolution"): "Verification failed",
}


def cases():
    for file_format, (_, backends) in FORMATS.items():
        for name in MODELS:
            if BACKEND not in backends:
                continue
            search = name == "generator"
            # Its loop ends by what is computed, which PyTorch exports in no format.
            elsewhere = (file_format, BACKEND) == ("onnx", "tensorflow")
            if BACKEND != "torch" if search else not elsewhere:
                yield pytest.param(
                    file_format,
                    name,
                    marks=needs(file_format),
                    id=f"{file_format}-{name}",
                )


@pytest.mark.parametrize(("file_format", "name"), [*cases()])
def test_a_file_computes_the_same(file_format, name, tmp_path):
    make, data = MODELS[name]
    file, run = RUN[file_format]
    model, inputs, path = make(), data(), str(tmp_path / file)
    options = {"format": file_format, "verbose": False}
    if (file_format, BACKEND) in EXPORTERS:
        spec = keras.tree.map_structure(
            lambda value: keras.InputSpec(str(value.dtype), value.shape), inputs
        )
        options["input_signature"] = [spec]
    failure = FAILURES.get((BACKEND, file_format, name))
    if failure is not None:
        with pytest.raises(Exception, match=failure):
            model.export(path, **options)
        return
    model.export(path, **options)
    expected = [array(value) for value in keras.tree.flatten(model(inputs))]
    found = run(path, inputs)
    if (file_format, BACKEND) == ("openvino", "tensorflow"):
        # It has sizes among the outputs, too.
        found = found[: len(expected)]
    for value, right in zip(found, expected, strict=True):
        assert value.dtype == right.dtype
        np.testing.assert_allclose(value, right, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(BACKEND != "torch", reason="works elsewhere")
def test_pytorch_refuses_the_search(tmp_path):
    with pytest.raises(ValueError, match=r"on TensorFlow or JAX.*Received: .* torch"):
        captioner().text_generator().export(tmp_path / "search")


@needs("tf_saved_model")
@pytest.mark.skipif(BACKEND == "torch", reason="exports no SavedModel")
def test_captions_from_a_saved_model_of_the_search(tmp_path):
    model = randomize(captioner(stem="patch"), seed=3, stddev=0.6)
    model.text_generator(max_length=3, beam_size=2).export(
        tmp_path / "search", verbose=False
    )
    tokens, scores = run_saved_model(tmp_path / "search", images(5))
    assert tokens.shape == (5, 2, 4)
    assert np.all(scores[:, 0] >= scores[:, 1])
    # Longer texts have lower probabilities: without a penalty the best is the first.
    found = [model.detokenize(rows[0]) for rows in tokens]
    options = {"max_length": 3, "beam_size": 2, "length_penalty": 0.0}
    assert found == model.generate(images(5), **options)
    assert len({*found}) > 1
