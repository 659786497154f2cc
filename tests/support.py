"""What several packages of tests need: values of tensors, weights, gradients."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

BACKENDS = ("tensorflow", "jax", "torch")


def array(tensor: Any) -> np.ndarray:
    """A tensor's values; half precision as float32, which NumPy knows."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype in ("float16", "bfloat16"):
        tensor = keras.ops.cast(tensor, "float32")
    return keras.ops.convert_to_numpy(tensor)


def relative_error(actual: Any, expected: np.ndarray) -> float:
    """The greatest deviation, in units of the greatest expected value."""
    actual = array(actual) if not isinstance(actual, np.ndarray) else actual
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    scale = max(np.abs(expected).max(), np.finfo("float32").tiny)
    return float(np.abs(actual - expected).max() / scale)


def weights_of(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    """The layer's weights in float64, by their path below the layer."""
    return {
        v.path.split("/", 1)[1]: array(v.value).astype("float64") for v in layer.weights
    }


def randomize(
    layer: keras.layers.Layer, seed: int = 0, stddev: float = 0.5
) -> keras.layers.Layer:
    """Draws every weight anew: zeros and ones at the start would hide errors."""
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        value = rng.normal(0.0, stddev, size=variable.shape)
        # NaN, which a negative variance gives, equals NaN in NumPy's assertions.
        positive = variable.path.endswith("moving_variance")
        variable.assign(np.abs(value) + 0.5 if positive else value)
    return layer


def built(
    layer: keras.layers.Layer, shape: tuple[int | None, ...], seed: int = 0
) -> keras.layers.Layer:
    """The layer, built for a shape of input, with random weights."""
    layer.build(shape)
    return randomize(layer, seed)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Normally distributed float32 numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def gradients(
    layer: keras.layers.Layer,
    inputs: np.ndarray,
    share: np.ndarray | None = None,
    **call_arguments: Any,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Gradients of `sum(share * layer(inputs))`, on whichever backend runs.

    Args:
        layer: A built layer.
        inputs: Its input.
        share: What each number of the output counts. Defaults to 1.
        **call_arguments: Further arguments of the call.

    Returns:
        The gradient for the input, and those for the trainable variables by their path
        below the layer (zeros where there is none).
    """
    variables = layer.trainable_variables
    backend = keras.backend.backend()
    x = keras.ops.convert_to_tensor(inputs)

    def loss(outputs: Any) -> Any:
        if share is not None:
            outputs = outputs * keras.ops.cast(share, outputs.dtype)
        return keras.ops.sum(outputs)

    if backend == "jax":
        import jax

        def of_values(x: Any, values: list[Any]) -> Any:
            fixed = [v.value for v in layer.non_trainable_variables]
            outputs, _ = layer.stateless_call(values, fixed, x, **call_arguments)
            return loss(outputs)

        dx, grads = jax.grad(of_values, argnums=(0, 1))(x, [v.value for v in variables])
    elif backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(layer(x, **call_arguments))
        dx, grads = tape.gradient(
            value,
            (x, [v.value for v in variables]),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
    else:
        import torch

        x = x.detach().requires_grad_()
        value = loss(layer(x, **call_arguments))
        dx, *grads = torch.autograd.grad(
            value,
            [x, *(v.value for v in variables)],
            allow_unused=True,
            materialize_grads=True,
        )
    return array(dx), {
        v.path.split("/", 1)[1]: array(g) for v, g in zip(variables, grads, strict=True)
    }


def other_backends() -> list[str]:
    """The installed backends besides the running one."""
    return [
        name
        for name in BACKENDS
        if name != keras.backend.backend() and importlib.util.find_spec(name)
    ]


def run_python(code: str, *arguments: str | Path, backend: str) -> str:
    """Runs code in a fresh interpreter on a backend; returns what it prints."""
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), root)))
    completed = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout
