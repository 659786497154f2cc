"""The floor: the matrix products of STT with weights per example, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from keras_stt.experiments.bench.compiled import Program
from keras_stt.layers import STT
from keras_stt.typing import Tensor


def floor_multiply_adds(grid: tuple[int, int], channels: int, num_heads: int) -> int:
    """Counts the floor's products, forward, for one example: STT without synthesis."""
    layer = STT(num_heads, synthesizer="random")
    return layer.multiply_adds((None, *grid, channels))


def floor_programs(
    grid: tuple[int, int], channels: int, num_heads: int, batch: int, dtype: str
) -> tuple[Program, Program]:
    """The matrix products of STT with weights per example, bare, in one program each.

    Forward: value projection, the two mode products, output projection. Training: these
    and the two backward products of each. Every product is one call, on operands that
    lie as it likes them, so that nothing is moved between them; the tensors that a
    layer would hand from one product to the next are given, and are as many and as
    large as in the layer. No bias, no softmax, no synthesis.

    Args:
        grid: `(H, W)`.
        channels: Number of channels `C`.
        num_heads: Number of heads `h`.
        batch: Number of examples `B`.
        dtype: Of the tensors.

    Returns:
        The forward and the training program.
    """
    height, width = grid
    rng = np.random.default_rng(0)
    head_dim = channels // num_heads

    def tensor(*shape: int) -> Tensor:
        values = rng.standard_normal(shape, dtype=np.float32)
        return ops.cast(ops.convert_to_tensor(values), dtype)

    def rows() -> Tensor:
        return tensor(batch * height * width, channels)

    def first() -> Tensor:
        return tensor(batch * num_heads, height, head_dim * width)

    def last() -> Tensor:
        return tensor(batch * num_heads, height * head_dim, width)

    kernels = [tensor(channels, channels) for _ in range(2)]
    matrices = [tensor(batch * num_heads, size, size) for size in grid]
    forward = [rows(), last(), first(), rows(), *kernels, *matrices]
    gradients = [rows(), first(), last(), rows()]

    def run(
        *tensors: Any,
    ) -> list[Any]:
        x, v, v_1, y, value, output, along_h, along_w, *back = tensors
        found = [
            ops.matmul(x, value),
            ops.matmul(v, _transposed(along_w)),
            ops.matmul(along_h, v_1),
            ops.matmul(y, output),
        ]
        if back:
            d_output, d_first, d_last, d_value = back
            found += [
                ops.matmul(_transposed(y), d_output),
                ops.matmul(d_output, _transposed(output)),
                ops.matmul(d_first, _transposed(v_1)),
                ops.matmul(_transposed(along_h), d_first),
                ops.matmul(_transposed(d_last), v),
                ops.matmul(d_last, along_w),
                ops.matmul(_transposed(x), d_value),
                ops.matmul(d_value, _transposed(value)),
            ]
        return found

    return (run, forward), (run, [*forward, *gradients])


def _transposed(tensor: Tensor) -> Tensor:
    return ops.swapaxes(tensor, -1, -2)
