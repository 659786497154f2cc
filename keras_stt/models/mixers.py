"""The token mixers of the comparisons, by name, with what each of them costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras

from keras_stt.layers import STT, AxialAttention, SelfAttention
from keras_stt.synthesizers import Mixture
from keras_stt.synthesizers.factorized_dense import closest_factors


@dataclass(frozen=True)
class Mixer:
    """A token mixer of a comparison.

    Attributes:
        description: What it is, in a few words.
        build: Makes the layer, from the width (channels) and the number of heads.
        multiply_adds: Counts the multiply-adds of one layer for one example, from the
            grid `(n_1, …, n_M)`, the width and the number of heads.
    """

    description: str
    build: Callable[[int, int], keras.layers.Layer]
    multiply_adds: Callable[[tuple[int, ...], int, int], int]


def stt_multiply_adds(
    synthesis: Callable[[int, int, int], int],
) -> Callable[[tuple[int, ...], int, int], int]:
    """Counts STT: `2·N·C² + N·C·Σ n_m + Σ_m synthesis(n_m, C, h)`.

    The value and output projections, the mode products, and the products of the
    synthesizers; means, softmaxes and other element-wise work are not counted, here
    and in the other mixers.

    Args:
        synthesis: The multiply-adds of the synthesis for a mode of size `n`, from
            `n`, the width `C` and the number of heads `h`.

    Returns:
        A function of grid, width and heads.
    """

    def count(grid: tuple[int, ...], width: int, heads: int) -> int:
        positions = math.prod(grid)
        synthesized = sum(synthesis(size, width, heads) for size in grid)
        products = positions * width * sum(grid)
        return 2 * positions * width**2 + products + synthesized

    return count


def dense_multiply_adds(size: int, width: int, heads: int, hidden: int = 32) -> int:
    """The Dense synthesizer: `n·C·r + n·r·h·n`."""
    return size * width * hidden + size * hidden * heads * size


def dot_product_multiply_adds(size: int, width: int, heads: int) -> int:
    """The dot-product synthesizer: `2·n·C² + n²·C`."""
    return 2 * size * width**2 + size**2 * width


def self_attention_multiply_adds(grid: tuple[int, ...], width: int, heads: int) -> int:
    """Full attention: `4·N·C² + 2·N²·C`."""
    positions = math.prod(grid)
    return 4 * positions * width**2 + 2 * positions**2 * width


def axial_attention_multiply_adds(grid: tuple[int, ...], width: int, heads: int) -> int:
    """Axial attention: `4·M·N·C² + 2·N·C·Σ n_m` for `M` modes."""
    positions = math.prod(grid)
    projections = 4 * len(grid) * positions * width**2
    return projections + 2 * positions * width * sum(grid)


def _factorized_dense(size: int, width: int, heads: int) -> int:
    """The Factorized Dense synthesizer: `n·C·h·(a + b)`."""
    return size * width * heads * sum(closest_factors(size))


MIXERS: dict[str, Mixer] = {
    "stt-dense": Mixer(
        "STT, weights synthesised from the image",
        lambda width, heads: STT(heads, name="mixer"),
        stt_multiply_adds(dense_multiply_adds),
    ),
    "stt-random": Mixer(
        "STT, weights learned outright",
        lambda width, heads: STT(heads, synthesizer="random", name="mixer"),
        stt_multiply_adds(lambda size, width, heads: 0),
    ),
    "stt-factorized-dense": Mixer(
        "STT, weights synthesised in two short factors",
        lambda width, heads: STT(heads, synthesizer="factorized_dense", name="mixer"),
        stt_multiply_adds(_factorized_dense),
    ),
    "stt-factorized-random": Mixer(
        "STT, weights learned with rank 8",
        lambda width, heads: STT(heads, synthesizer="factorized_random", name="mixer"),
        stt_multiply_adds(lambda size, width, heads: 8 * heads * size**2),
    ),
    "stt-mixture": Mixer(
        "STT, random + dense",
        lambda width, heads: STT(
            heads, synthesizer=Mixture(["random", "dense"]), name="mixer"
        ),
        stt_multiply_adds(dense_multiply_adds),
    ),
    "stt-mixture-dot": Mixer(
        "STT, random + pooled dot products",
        lambda width, heads: STT(
            heads, synthesizer=Mixture(["random", "dot_product"]), name="mixer"
        ),
        stt_multiply_adds(dot_product_multiply_adds),
    ),
    "mha": Mixer(
        "MultiHeadAttention over all positions",
        lambda width, heads: SelfAttention(heads, name="mixer"),
        self_attention_multiply_adds,
    ),
    "axial-mha": Mixer(
        "MultiHeadAttention along each axis",
        lambda width, heads: AxialAttention(heads, name="mixer"),
        axial_attention_multiply_adds,
    ),
    "depthwise-conv": Mixer(
        "7×7 depthwise convolution",
        lambda width, heads: keras.layers.DepthwiseConv2D(
            7,
            padding="same",
            # Keras counts the channels into the fan of a depthwise kernel.
            depthwise_initializer=keras.initializers.RandomNormal(stddev=1 / 7),
            name="mixer",
        ),
        lambda grid, width, heads: 49 * math.prod(grid) * width,
    ),
    "none": Mixer(
        "no mixing: a dense layer at each position",
        lambda width, heads: keras.layers.Dense(width, name="mixer"),
        lambda grid, width, heads: math.prod(grid) * width**2,
    ),
}
