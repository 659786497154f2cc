"""The floors: the matrix products that a layer cannot do without, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_stt.experiments.bench.compiled import Program
from keras_stt.layers import STT, DepthwiseSTT
from keras_stt.typing import Tensor

#: The row that every benchmark has, and that of benchmarks with depthwise STT.
FLOOR, DEPTHWISE_FLOOR = "floor", "floor-depthwise"


def floor_of(mixer: str) -> str:
    """The floor that a mixer's times are divided by: a name in `FLOORS`."""
    return DEPTHWISE_FLOOR if mixer.startswith("stt-depthwise") else FLOOR


def stt_programs(
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
    head_dim = channels // num_heads
    tensor = noise_tensors(dtype)

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

    def run(*tensors: Any) -> list[Any]:
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


def depthwise_programs(
    grid: tuple[int, int], channels: int, num_heads: int, batch: int, dtype: str
) -> tuple[Program, Program]:
    """The matrix products of depthwise STT with its two terms, bare, as above.

    The weights are shared by the batch, so that the first product makes all terms of a
    channel at once, for all examples. No transposition, no sum of terms, no amplitudes.
    `num_heads` changes nothing: every channel has matrices of its own.
    """
    height, width = grid
    terms = DepthwiseSTT().num_terms
    tensor = noise_tensors(dtype)

    def first() -> Tensor:
        return tensor(channels, terms * height, width * batch)

    def last() -> Tensor:
        return tensor(channels * terms, height * batch, width)

    x = tensor(channels, height, width * batch)
    along_h = tensor(channels, terms * height, height)
    along_w = tensor(channels * terms, width, width)
    forward = [x, last(), along_h, along_w]
    gradients = [first(), last()]

    def run(*tensors: Any) -> list[Any]:
        x, v, along_h, along_w, *back = tensors
        found = [ops.matmul(along_h, x), ops.matmul(v, _transposed(along_w))]
        if back:
            d_first, d_last = back
            found += [
                ops.matmul(d_first, _transposed(x)),
                ops.matmul(_transposed(along_h), d_first),
                ops.matmul(_transposed(d_last), v),
                ops.matmul(d_last, along_w),
            ]
        return found

    return (run, forward), (run, [*forward, *gradients])


class Floor(NamedTuple):
    """What no implementation of a layer can do without."""

    layer: Callable[[int], STT | DepthwiseSTT]
    programs: Callable[..., tuple[Program, Program]]

    def multiply_adds(
        self, grid: tuple[int, int], channels: int, num_heads: int
    ) -> int:
        """Counts its products, forward, for one example: the layer without synthesis.

        Args:
            grid: `(H, W)`.
            channels: Number of channels.
            num_heads: Number of heads.
        """
        return self.layer(num_heads).multiply_adds((None, *grid, channels))


FLOORS = {
    FLOOR: Floor(lambda heads: STT(heads, synthesizer="random"), stt_programs),
    DEPTHWISE_FLOOR: Floor(lambda heads: DepthwiseSTT(), depthwise_programs),
}


def noise_tensors(dtype: str, seed: int = 0) -> Callable[..., Tensor]:
    """A function from a shape to a tensor of noise, drawn on the device."""
    generator = keras.random.SeedGenerator(seed)

    def tensor(*shape: int) -> Tensor:
        return keras.random.normal(shape, dtype=dtype, seed=generator)

    return tensor


def _transposed(tensor: Tensor) -> Tensor:
    return ops.swapaxes(tensor, -1, -2)
