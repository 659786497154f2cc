"""What the device can do at most: products of matrices, and bytes moved."""

from __future__ import annotations

import math
import time
from typing import Any

import keras
from keras import ops

from keras_stt.experiments.bench.compiled import FORMS, compile_step
from keras_stt.experiments.bench.floor import noise_tensors
from keras_stt.experiments.bench.layers import itemsize
from keras_stt.experiments.measures.device import accelerator

Row = dict[str, Any]

#: Products of a step in units of the forward one's, whose gradients take two more; and
#: how often a tensor as large as the input is read or written.
_PRODUCTS = {"forward": 1, "training": 3}
_MOVES = {"forward": 2, "training": 4}


def measure_limits(dtype: str, repeats: int = 20) -> dict[str, float]:
    """Times a large product of matrices and a large copy.

    Args:
        dtype: Of the operands.
        repeats: Number of calls, of which the fastest counts.

    Returns:
        `{"multiply_adds_per_second", "bytes_per_second"}`.
    """
    side, elements = (8192, 2**28) if accelerator() else (1024, 2**22)
    tensor = noise_tensors(dtype)
    square = tensor(side, side)
    long = ops.ones((elements,), dtype)
    product = _best_seconds(ops.matmul, (square, square), repeats)
    copy = _best_seconds(lambda x: x + 1, (long,), repeats)
    return {
        "multiply_adds_per_second": side**3 / product,
        "bytes_per_second": 2 * itemsize(dtype) * elements / copy,
    }


def _best_seconds(function: Any, tensors: tuple[Any, ...], repeats: int) -> float:
    form = {"torch": "traced"}.get(keras.backend.backend())
    step = compile_step((function, tensors), form or FORMS[keras.backend.backend()][0])
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        step.run()
        best = min(best, time.perf_counter() - start)
    return best


def least_ms(row: Row, kind: str, channels: int, limits: dict[str, float]) -> float:
    """The time that the device's limits leave for a step, in milliseconds.

    The products at the measured rate, or the input and the output moved once at the
    measured bandwidth (in training their gradients, too), whichever takes longer.

    Args:
        row: A row of the results.
        kind: `"forward"` or `"training"`.
        channels: Number of channels.
        limits: What `measure_limits` returned.
    """
    products = _PRODUCTS[kind] * row["multiply_adds"] * row["batch"]
    elements = row["batch"] * math.prod(row["grid"]) * channels
    moved = _MOVES[kind] * itemsize(row["dtype"]) * elements
    seconds = max(
        products / limits["multiply_adds_per_second"],
        moved / limits["bytes_per_second"],
    )
    return 1e3 * seconds
