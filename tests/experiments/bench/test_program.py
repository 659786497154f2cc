"""What the compiled STT layer consists of: its products, and what is moved.

A change that makes either grow makes the layer slower, and no other test would see it.
"""

import math

import keras
import numpy as np
import pytest
from support import built, normal, run_python

from keras_stt.experiments.bench.compiled import (
    compile_step,
    forward_program,
    training_program,
)
from keras_stt.layers import STT
from keras_stt.mixers import MIXERS

BACKEND = keras.backend.backend()
GRID, CHANNELS, HEADS, BATCH = (6, 10), 24, 3, 2
SHAPE = (BATCH, *GRID, CHANNELS)
NAMES = [name for name in MIXERS if name.startswith("stt")]


@pytest.mark.parametrize("name", NAMES)
def test_no_more_multiply_adds_than_counted(name):
    """Those of the products that the backend is asked for; training has three each."""
    layer = built(MIXERS[name].build(CHANNELS, HEADS), SHAPE)
    counted = MIXERS[name].multiply_adds(GRID, CHANNELS, HEADS)
    forward, training = COUNT[BACKEND](layer, normal(*SHAPE))
    # What does not depend on the input is made once for the batch.
    once = {"stt-factorized-random": 8 * HEADS * sum(n * n for n in GRID)}.get(name, 0)
    assert forward == BATCH * (counted - once) + once
    assert training == 3 * forward


def programs(layer, x):
    """A forward and a training step."""
    x = keras.ops.convert_to_tensor(x)
    return forward_program(layer, x), training_program(layer, x, x)


def count_jax(layer, x):
    import jax

    def count(program):
        function, arguments = program
        return sum(map(of_equation, equations(jax.make_jaxpr(function)(*arguments))))

    def equations(closed):
        for equation in closed.jaxpr.eqns:
            yield equation
            for inner in equation.params.values():
                if hasattr(inner, "jaxpr"):
                    yield from equations(inner)

    def of_equation(equation):
        if equation.primitive.name != "dot_general":
            return 0
        (contracted, _), _ = equation.params["dimension_numbers"]
        inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        return inner * math.prod(equation.outvars[0].aval.shape)

    return tuple(map(count, programs(layer, x)))


def count_torch(layer, x):
    from torch.utils.flop_counter import FlopCounterMode

    found = []
    for program in programs(layer, x):
        # A trace: the counter stumbles over Keras's layers.
        step = compile_step(program, "traced")
        with FlopCounterMode(display=False) as counter:
            step.run()
        found.append(counter.get_total_flops() // 2)
    return found


def count_tensorflow(layer, x):
    def of_operation(operation):
        if operation.type not in ("MatMul", "BatchMatMulV2"):
            return 0
        flag = "transpose_a" if operation.type == "MatMul" else "adj_x"
        inner = operation.inputs[0].shape[-2 if operation.get_attr(flag) else -1]
        return inner * math.prod(operation.outputs[0].shape)

    return [sum(map(of_operation, graph)) for graph in tensorflow_graphs(layer, x)]


def tensorflow_graphs(layer, x):
    """The operations of a forward and of a training step."""
    import tensorflow as tf

    for function, arguments in programs(layer, x):
        concrete = tf.function(function).get_concrete_function(*arguments)
        yield concrete.graph.get_operations()


COUNT = {"jax": count_jax, "torch": count_torch, "tensorflow": count_tensorflow}


@pytest.mark.parametrize("synthesizer", ["dense", "random"])
def test_the_values_are_moved_twice_and_their_gradients_twice(synthesizer):
    layer = built(STT(HEADS, synthesizer=synthesizer), SHAPE)
    assert MOVED[BACKEND](layer, normal(*SHAPE), synthesizer) == [2, 4]


def moved_jax(layer, x, synthesizer):
    # In a process of its own, with all of XLA's optimisations.
    sizes = [str(number) for number in (*SHAPE, HEADS)]
    printed = run_python(PRINT_COPIES, synthesizer, *sizes, backend="jax")
    return [int(number) for number in printed.split()]


PRINT_COPIES = """
import os, sys
os.environ.pop("JAX_DISABLE_MOST_OPTIMIZATIONS", None)
import jax, math, re
from keras_stt.experiments.bench.compiled import forward_program, training_program
from keras_stt.layers import STT
synthesizer, (*shape, heads) = sys.argv[1], map(int, sys.argv[2:])
layer = STT(heads, synthesizer=synthesizer)
layer.build(tuple(shape))
x = jax.numpy.ones(shape)
for function, arguments in (forward_program(layer, x), training_program(layer, x, x)):
        text = jax.jit(function).lower(*arguments).compile().as_text()
        program = text[text.index("ENTRY"):]
        found = re.findall(r"%\\S*(?:copy|transpose)\\S* = f32\\[([0-9,]*)\\]", program)
        sizes = [math.prod(map(int, s.split(","))) if s else 1 for s in found]
        print(sum(size >= math.prod(shape) for size in sizes))
"""


def moved_torch(layer, x, synthesizer):
    from torch.profiler import profile

    found = []
    for function, arguments in programs(layer, x):
        with profile(record_shapes=True) as profiled:
            function(*arguments)
        copies = [e for e in profiled.events() if e.name == "aten::copy_"]
        sizes = [np.prod(copy.input_shapes[0]) for copy in copies]
        found.append(sum(size >= np.prod(SHAPE) for size in sizes))
    return found


def moved_tensorflow(layer, x, synthesizer):
    return [
        sum(o.type == "Transpose" and o.outputs[0].shape.rank == 5 for o in graph)
        for graph in tensorflow_graphs(layer, x)
    ]


MOVED = {"jax": moved_jax, "torch": moved_torch, "tensorflow": moved_tensorflow}


@pytest.mark.skipif(BACKEND != "jax", reason="reads XLA's program")
def test_nothing_is_moved_in_the_floors():
    printed = run_python(PRINT_COPIES_OF_FLOORS, backend="jax")
    assert printed.split() == ["0"] * 4


PRINT_COPIES_OF_FLOORS = """
import os
os.environ.pop("JAX_DISABLE_MOST_OPTIMIZATIONS", None)
import jax, re
from keras_stt.experiments.bench.floor import FLOORS
for floor in FLOORS.values():
    for function, arguments in floor.programs((6, 10), 24, 3, 2, "float32"):
        text = jax.jit(function).lower(*arguments).compile().as_text()
        program = text[text.index("ENTRY"):]
        print(len(re.findall(r"%[^ ]*(?:copy|transpose)[^ ]* = ", program)))
"""
