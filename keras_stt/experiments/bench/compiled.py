"""Forward and training steps of a layer, compiled: a branch per backend.

Each backend has one or several forms of a compiled function; a contender is measured in
the one that is fastest for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_stt.experiments.errors import UserError
from keras_stt.typing import Tensor

#: A pure function of tensors, and the tensors.
Program = tuple[Callable[..., Any], Sequence[Tensor]]

#: The forms of a compiled function by backend. "graph" is `tf.function` with
#: TensorFlow's own kernels. "inductor" is PyTorch's compiler after a trace of the
#: whole step, "traced" that trace without the compiler, "eager" what Keras runs on
#: PyTorch by default.
FORMS: dict[str, tuple[str, ...]] = {
    "jax": ("xla",),
    "tensorflow": ("graph", "xla"),
    "torch": ("inductor", "traced", "eager"),
}


def check_forms(forms: Sequence[str]) -> None:
    """Raises a `ValueError` unless the running backend has all the forms."""
    backend = keras.backend.backend()
    unknown = [form for form in forms if form not in FORMS[backend]]
    if unknown:
        raise UserError(
            f"`forms` must be among {', '.join(FORMS[backend])} on {backend}. "
            f"Received: {', '.join(unknown)}"
        )


@dataclass(frozen=True)
class Step:
    """A step that can be timed.

    Attributes:
        form: How it is compiled.
        run: Runs it and waits for the results.
        planned_bytes: Memory for results and temporary tensors as the compiler planned
            it; None where it does not tell.
    """

    form: str
    run: Callable[[], object]
    planned_bytes: int | None = None


def forward_program(layer: keras.layers.Layer, inputs: Tensor) -> Program:
    """The layer's output for its input, without what training needs.

    Args:
        layer: A built layer.
        inputs: Its input.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        call, values = _stateless(layer, training=False)
        return call, (values, inputs)
    if backend == "tensorflow":
        return lambda x: layer(x, training=False), (inputs,)
    import torch

    def forward(x: Any) -> Any:
        with torch.no_grad():
            return layer(x, training=False)

    return forward, (inputs,)


def training_program(
    layer: keras.layers.Layer, inputs: Tensor, gradient: Tensor
) -> Program:
    """Output of a layer, and the gradients for its input and its weights.

    Args:
        layer: A built layer.
        inputs: Its input.
        gradient: The gradient for its output: what comes back in training.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        return _jax_training(layer, inputs, gradient)
    if backend == "tensorflow":
        return _tensorflow_training(layer, inputs, gradient)
    return _torch_training(layer, inputs, gradient)


def _jax_training(
    layer: keras.layers.Layer, inputs: Tensor, gradient: Tensor
) -> Program:
    import jax

    call, values = _stateless(layer, training=True)

    def train(values: Any, x: Any, gradient: Any) -> Any:
        output, backward = jax.vjp(call, values, x)
        return output, backward(gradient)

    return train, (values, inputs, gradient)


def _tensorflow_training(
    layer: keras.layers.Layer, inputs: Tensor, gradient: Tensor
) -> Program:
    import tensorflow as tf

    weights = [variable.value for variable in layer.trainable_variables]

    def train(x: Any, gradient: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = layer(x, training=True)
        wanted = [x, *weights]
        return output, tape.gradient(output, wanted, output_gradients=gradient)

    return train, (inputs, gradient)


def _torch_training(
    layer: keras.layers.Layer, inputs: Tensor, gradient: Tensor
) -> Program:
    import torch

    weights = [variable.value for variable in layer.trainable_variables]

    def train(x: Any, gradient: Any) -> Any:
        x = x.detach().requires_grad_()
        output = layer(x, training=True)
        found = torch.autograd.grad(output, [x, *weights], gradient)
        return output.detach(), found

    return train, (inputs, gradient)


def _stateless(
    layer: keras.layers.Layer, training: bool
) -> tuple[Callable[..., Any], list[Any]]:
    """A layer as a function of its trainable weights and its input, and the weights."""
    variables = layer.trainable_variables

    def call(values: Any, x: Any) -> Any:
        # Not `stateless_call`, which leaves out what `__call__` does about dtypes.
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return layer(x, training=training)

    return call, [variable.value for variable in variables]


def compile_step(program: Program, form: str) -> Step:
    """Compiles a program in one of the forms of the running backend.

    Args:
        program: A function and its arguments.
        form: A name in `FORMS`.

    Returns:
        The step, compiled and run once.

    Raises:
        UserError: If the backend does not have that form.
    """
    function, arguments = program
    backend = keras.backend.backend()
    check_forms((form,))
    if backend == "jax":
        import jax

        compiled = jax.jit(function).lower(*arguments).compile()
        memory = compiled.memory_analysis()
        step = Step(
            form,
            lambda: jax.block_until_ready(compiled(*arguments)),
            memory and memory.temp_size_in_bytes + memory.output_size_in_bytes,
        )
    elif backend == "tensorflow":
        import tensorflow as tf

        graph = tf.function(function, jit_compile=form == "xla")
        gpu = bool(tf.config.list_physical_devices("GPU"))

        def run() -> object:
            found = graph(*arguments)
            if gpu:
                tf.test.experimental.sync_devices()
            return found

        step = Step(form, run)
    else:
        step = Step(form, _torch_run(function, arguments, form))
    step.run()
    return step


def _torch_run(
    function: Callable[..., Any], arguments: Sequence[Any], form: str
) -> Callable[[], object]:
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    if form != "eager":
        # A layer's first call sets it up, which is no part of the trace.
        function(*arguments)
        # Forward and backward as one graph of PyTorch's own operations: `torch.compile`
        # alone breaks its graph at Keras's Python code.
        function = make_fx(function)(*arguments)
    if form == "inductor":
        function = torch.compile(function)
    traced, waits = form != "eager", arguments[0].device.type != "cpu"

    def run() -> object:
        # In a trace the gradients are computed by the graph itself.
        with torch.set_grad_enabled(not traced):
            found = function(*arguments)
        if waits:
            torch.accelerator.synchronize()
        return found

    return run
