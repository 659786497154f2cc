"""Shapes, dtypes and ways to call the STT layer."""

import os
import subprocess
import sys

import keras
import numpy as np
import oracle
import pytest
from cases import KINDS, SYNTHESIZERS
from support import array, built, normal, relative_error

from keras_stt.layers import STT, DepthwiseSTT
from keras_stt.synthesizers import Random

TEXT, IMAGE, VIDEO = (2, 5, 8), (2, 3, 5, 8), (2, 3, 5, 4, 8)


def spec_of(outputs):
    """Shapes and dtypes of a nest of tensors."""
    return [
        (tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))
        for tensor in keras.tree.flatten(outputs)
    ]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize(
    ("shape", "axes", "arguments"),
    [
        (TEXT, (1,), {}),
        (IMAGE, (1, 2), {}),
        (IMAGE, (2,), {"attention_axes": -2, "output_shape": 7}),
        (IMAGE, (1, 2), {"output_shape": (3, 2), "value_dim": 5}),
        (VIDEO, (1, 3), {"attention_axes": (3, 1)}),
    ],
)
def test_eager_and_symbolic_outputs_agree(shape, axes, arguments, scores, dtype):
    layer = STT(4, dtype=dtype, **arguments)
    symbolic = layer(keras.KerasTensor(shape), return_attention_scores=scores)
    eager = layer(normal(*shape), return_attention_scores=scores)
    assert spec_of(symbolic) == spec_of(eager)
    output = symbolic[0] if scores else symbolic
    assert tuple(output.shape) == layer.compute_output_shape(shape)
    if scores:
        assert [tuple(score.shape) for score in eager[1]] == [
            (2, 4, shape[axis], shape[axis]) for axis in axes
        ]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("masked", [False, True])
def test_the_output_is_the_same_with_and_without_scores(name, masked):
    layer = built(STT(4, synthesizer=SYNTHESIZERS[name].make()), IMAGE)
    x = normal(*IMAGE)
    mask = x[..., 0] > 0 if masked else None
    output, _ = layer(x, mask=mask, return_attention_scores=True)
    np.testing.assert_array_equal(array(output), array(layer(x, mask=mask)))


def test_a_dynamic_batch():
    inputs, mask = keras.Input((3, 5, 8)), keras.Input((3, 5), dtype="bool")
    layer = STT(4)
    outputs = layer(inputs, mask=mask, return_attention_scores=True)
    assert spec_of(outputs) == [
        ((None, 3, 5, 8), "float32"),
        ((None, 4, 3, 3), "float32"),
        ((None, 4, 5, 5), "float32"),
    ]
    model = keras.Model([inputs, mask], outputs)
    x = normal(*IMAGE)
    valid = x[..., 0] > -1
    output, (rows, _) = model.predict([x, valid], batch_size=1, verbose=0)
    assert rows.shape == (2, 4, 3, 3)
    assert relative_error(output, array(layer(x, mask=valid))) < 1e-5


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("attention_axes", [None, 2])
def test_dot_products_work_at_dynamic_sizes(masked, attention_axes):
    inputs = keras.Input((None, None, 8))
    mask = keras.Input((None, None), dtype="bool")
    layer = STT(4, synthesizer="dot_product", attention_axes=attention_axes)
    outputs = layer(inputs, mask=mask if masked else None, return_attention_scores=True)
    assert spec_of(outputs)[0] == ((None, None, None, 8), "float32")
    assert spec_of(outputs)[-1] == ((None, 4, None, None), "float32")
    model = keras.Model([inputs, mask], outputs)
    for shape in ((2, 3, 5, 8), (2, 4, 6, 8)):
        x = normal(*shape)
        valid = x[..., 0] > -1
        expected = array(layer(x, mask=valid if masked else None))
        output, _ = model.predict([x, valid], verbose=0)
        assert relative_error(output, expected) < 1e-5


def test_dynamic_text_with_a_causal_mask():
    inputs = keras.Input((None, 8))
    layer = STT(4, synthesizer="dot_product")
    model = keras.Model(inputs, layer(inputs, use_causal_mask=True))
    for length in (3, 5):
        x = normal(2, length, 8)
        expected = array(layer(x, use_causal_mask=True))
        assert relative_error(model.predict(x, verbose=0), expected) < 1e-5


@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_build_alone_creates_all_variables(name):
    layer = STT(4, synthesizer=SYNTHESIZERS[name].make(), dropout=0.1)
    layer.build((None, 3, 5, 8))
    variables = [v.path for v in layer.variables]
    layer(normal(*IMAGE), training=True)
    assert [v.path for v in layer.variables] == variables
    assert len(set(variables)) == len(variables)
    assert all(w.built for w in layer._flatten_layers())


def test_names_of_the_sublayers():
    layer = built(STT(4), IMAGE)
    assert layer.value_dense.name == "value"
    assert layer.output_dense.name == "attention_output"
    assert [s.name for s in layer.synthesizers] == ["synthesizer_1", "synthesizer_2"]
    assert [s.axis for s in layer.synthesizers] == [1, 2]


def test_parameters_of_the_projections():
    layer = STT(
        4,
        kernel_initializer=keras.initializers.Constant(0.5),
        bias_initializer="ones",
        kernel_regularizer=keras.regularizers.L2(0.1),
        bias_regularizer=keras.regularizers.L1(0.2),
        activity_regularizer=keras.regularizers.L2(0.3),
        kernel_constraint="non_neg",
        bias_constraint="unit_norm",
    )
    layer(normal(*IMAGE))
    for dense in (layer.value_dense, layer.output_dense):
        np.testing.assert_array_equal(array(dense.kernel.value), np.full((8, 8), 0.5))
        np.testing.assert_array_equal(array(dense.bias.value), np.ones(8))
        assert isinstance(dense.kernel.constraint, keras.constraints.NonNeg)
        assert isinstance(dense.bias.constraint, keras.constraints.UnitNorm)
        assert isinstance(dense.activity_regularizer, keras.regularizers.L2)
    # Two kernels, two biases, two activities.
    losses = sorted(float(array(loss)) for loss in layer.losses)
    assert len(losses) == 6
    np.testing.assert_allclose(losses[:4], [1.6, 1.6, 1.6, 1.6], rtol=1e-6)


def test_kernels_start_apart():
    layer = STT(4)
    layer.build(IMAGE)
    value, output = (
        array(dense.kernel.value) for dense in (layer.value_dense, layer.output_dense)
    )
    assert np.abs(value - output).max() > 0.01
    # Glorot: the variance is 2 / (fan_in + fan_out), whatever the number of heads.
    layer = STT(16, value_dim=16)
    layer.build((None, 5, 256))
    assert abs(array(layer.value_dense.kernel.value).std() * 16 - 1) < 0.05


def test_float64():
    x = normal(*IMAGE).astype("float64")
    if keras.backend.backend() == "jax" and not os.environ.get("JAX_ENABLE_X64"):
        # A process of its own, which JAX is told in: some seconds.
        test = [sys.executable, "-m", "pytest", "-q", f"{__file__}::test_float64"]
        environment = {**os.environ, "JAX_ENABLE_X64": "1"}
        done = subprocess.run(test, env=environment, capture_output=True, text=True)
        assert "1 passed" in done.stdout, done.stdout
        return
    layer = built(STT(4, dtype="float64"), IMAGE)
    for mask in (None, x[..., 0] > 0):
        output, scores = layer(x, mask=mask, return_attention_scores=True)
        assert {dtype for _, dtype in spec_of((output, scores))} == {"float64"}
        weights = {v.path.split("/", 1)[1]: array(v.value) for v in layer.weights}
        expected = oracle.stt(x, weights, oracle.dense(), 4, mask=mask)
        # Keras's own products of float64 numbers are in float32.
        assert relative_error(output, expected) < 1e-6


def test_inside_the_backends_own_compiler():
    layer, x = built(STT(4, synthesizer="dense"), IMAGE), normal(*IMAGE)
    mask = x[..., 0] > 0
    expected = array(layer(x, mask=mask))
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        actual = tf.function(lambda x, m: layer(x, mask=m))(x, mask)
    elif backend == "jax":
        import jax

        actual = jax.jit(lambda x, m: layer(x, mask=m))(x, mask)
    else:
        pytest.skip("torch.compile needs a C++ compiler, and minutes")
    assert relative_error(actual, expected) < 1e-5


def calls_of(layer, inputs, monkeypatch):
    """How often Keras's `Layer.__call__` runs in one call of a layer."""
    layer(inputs)
    calls, original = [], keras.layers.Layer.__call__

    def counted(self, *args, **kwargs):
        calls.append(self.name)
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(keras.layers.Layer, "__call__", counted)
        layer(inputs)
    return calls


def test_one_call_of_keras(monkeypatch):
    """In eager PyTorch, what Keras does around a call takes longest on small grids."""
    inputs = keras.ops.convert_to_tensor(normal(*IMAGE))
    assert len(calls_of(STT(4), inputs, monkeypatch)) == 1
    layer = DepthwiseSTT(amplitude="synthesized", gate="silu")
    assert len(calls_of(layer, inputs, monkeypatch)) == 1
    # What adds a loss, or computes in another dtype, is called as ever.
    layer = STT(4, activity_regularizer="l2")
    assert calls_of(layer, inputs, monkeypatch)[1:] == ["value", "attention_output"]
    policy = keras.dtype_policies.DTypePolicyMap("float32", {"value": "mixed_bfloat16"})
    assert calls_of(STT(4, dtype=policy), inputs, monkeypatch)[1:] == ["value"]
    layer = STT(4)
    layer.build(IMAGE)
    layer.output_dense.quantize("int8")
    assert calls_of(layer, inputs, monkeypatch)[1:] == ["attention_output"]


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="hooks of PyTorch")
def test_hooks_of_sublayers_are_called():
    layer, calls = built(STT(4), IMAGE), []
    layer.value_dense.register_forward_pre_hook(lambda *args: calls.append("before"))
    layer.value_dense.register_forward_hook(lambda *args: calls.append("after"))
    layer(normal(*IMAGE))
    assert calls == ["before", "after"]


def test_the_loss_of_the_activities():
    layer = built(STT(4, activity_regularizer=keras.regularizers.L2(0.3)), IMAGE)
    inputs = normal(*IMAGE)
    output = array(layer(inputs))
    value = inputs @ array(layer.value_dense.kernel) + array(layer.value_dense.bias)
    # Per example, as in Keras's layers.
    expected = 0.3 * (np.sum(value**2) + np.sum(output**2)) / len(inputs)
    np.testing.assert_allclose(
        sum(float(array(loss)) for loss in layer.losses), expected, rtol=1e-5
    )


@keras.saving.register_keras_serializable("tests")
class Noisy(Random):
    """Weights that differ while training."""

    def call(self, inputs, mask=None, training=None):
        logits = super().call(inputs, mask)
        return logits + 1.0 * keras.ops.eye(self.mode_size(inputs.shape)) * bool(
            training
        )


def test_a_synthesizer_hears_of_training():
    layer, inputs = STT(4, synthesizer=Noisy()), normal(*IMAGE)
    quiet = [array(layer(inputs, training=flag)) for flag in (False, None)]
    np.testing.assert_array_equal(*quiet)
    assert np.abs(array(layer(inputs, training=True)) - quiet[0]).max() > 1e-3
