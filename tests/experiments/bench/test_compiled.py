"""Compiled steps compute what the layer computes, in every form."""

import keras
import pytest
from support import array, built, gradients, normal, relative_error

from keras_stt.experiments.bench.compiled import (
    FORMS,
    compile_step,
    forward_program,
    training_program,
)
from keras_stt.layers import STT
from keras_stt.mixers import SelfAttention

SHAPE = (2, 3, 5, 8)
# PyTorch's compiler takes seconds for every program: the trace that it gets is tested.
COMPILED = [form for form in FORMS[keras.backend.backend()] if form != "inductor"]


def numbers(tensors):
    return [array(tensor) for tensor in keras.tree.flatten(tensors)]


@pytest.mark.parametrize("form", COMPILED)
@pytest.mark.parametrize("layer_class", [STT, SelfAttention])
def test_the_forward_step_is_the_layer(layer_class, form):
    layer, x = built(layer_class(4), SHAPE), normal(*SHAPE)
    expected = array(layer(x))
    program = forward_program(layer, keras.ops.convert_to_tensor(x))
    step = compile_step(program, form)
    assert step.form == form
    (output,) = numbers(step.run())
    assert relative_error(output, expected) < 1e-5


@pytest.mark.parametrize("form", COMPILED)
def test_the_training_step_gives_output_and_all_gradients(form):
    layer, x, share = built(STT(4), SHAPE), normal(*SHAPE), normal(*SHAPE, seed=1)
    dx, of_weights = gradients(layer, x, share)
    tensors = map(keras.ops.convert_to_tensor, (x, share))
    found = numbers(compile_step(training_program(layer, *tensors), form).run())
    output, *rest = found
    assert relative_error(output, array(layer(x))) < 1e-5
    expected = [dx, *of_weights.values()]
    # JAX differentiates for the weights first.
    rest = rest[-1:] + rest[:-1] if keras.backend.backend() == "jax" else rest
    assert len(rest) == len(expected)
    for gradient, known in zip(rest, expected, strict=True):
        assert relative_error(gradient, known) < 1e-4


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only XLA's plan tells")
def test_planned_memory_is_that_of_results_and_temporaries():
    import jax

    x = jax.numpy.ones((64, 256))
    step = compile_step((lambda x: (x @ x.T) @ x, (x,)), "xla")
    # The result, and at least the product in between.
    assert 4 * (64 * 256 + 64 * 64) <= step.planned_bytes < 4 * 64 * 256 * 3


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="on PyTorch")
def test_a_trace_holds_no_python_of_keras():
    layer, x = built(STT(4), SHAPE), keras.ops.convert_to_tensor(normal(*SHAPE))
    calls = []
    layer.call, call = lambda *a, **k: calls.append(1) or call(*a, **k), layer.call
    step = compile_step(forward_program(layer, x), "traced")
    before = len(calls)
    step.run()
    assert calls
    assert len(calls) == before
