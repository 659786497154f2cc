"""From an image to a grid of features: what the models have in common."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras

from keras_stt.arguments import check_positive
from keras_stt.layers import PositionEmbedding, STTBlock
from keras_stt.mixers import MIXERS

MixerChoice = str | Callable[[], keras.layers.Layer]
"""A name in `MIXERS`, or a function that makes a layer for each block."""


def encode(
    images: keras.KerasTensor,
    mixer: MixerChoice = "stt-dense",
    grid: tuple[int, int] = (8, 8),
    width: int = 64,
    depth: int = 4,
    num_heads: int = 4,
    mlp_ratio: float = 2,
    stem: str = "convolution",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> keras.KerasTensor:
    """Stem, position embedding, blocks and layer normalisation.

    Args:
        images: Symbolic float32 images in [0, 1], `(B, height, width, channels)`.
        mixer: A name in `keras_stt.mixers.MIXERS`, or a function without arguments
            that makes a layer for each block. Defaults to `"stt-dense"`.
        grid: Grid `(rows, columns)` on which the blocks work; the image's height and
            width must be multiples of it. Defaults to `(8, 8)`.
        width: Number of channels. Defaults to 64.
        depth: Number of blocks. Defaults to 4.
        num_heads: Number of heads of mixers that have some. Defaults to 4.
        mlp_ratio: Hidden size of the MLPs, in channels. Defaults to 2.
        stem: `"convolution"`: convolutions 3×3 with stride 2, each with batch
            normalisation and ReLU (for square strides that are a power of 2);
            `"patch"`: one convolution of the patch size. Defaults to
            `"convolution"`.
        dropout: Dropout rate in the blocks. Defaults to 0.0.
        stochastic_depth: Stochastic depth of the last block; it rises linearly from
            0 at the first. Defaults to 0.0.

    Returns:
        Symbolic features, `(B, rows, columns, width)`. The grid is never flattened.

    Raises:
        ValueError: For an unknown mixer or stem, or a grid that does not fit.
    """
    for argument, value in (("width", width), ("depth", depth)):
        check_positive(argument, value)
    make_mixer = mixer_factory(mixer, width, num_heads)
    patch = _patch_size(images.shape[1:], grid)
    x = keras.layers.Rescaling(2.0, offset=-1.0, name="rescaling")(images)
    if stem == "patch":
        x = keras.layers.Conv2D(width, patch, strides=patch, name="patches")(x)
    elif stem == "convolution":
        x = _convolution_stem(x, width, patch)
    else:
        raise ValueError(
            f"`stem` must be 'convolution' or 'patch'. Received: stem={stem!r}"
        )
    x = PositionEmbedding(name="position")(x)
    for index in range(depth):
        x = STTBlock(
            make_mixer(),
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            stochastic_depth=stochastic_depth * index / max(1, depth - 1),
            name=f"block_{index}",
        )(x)
    return keras.layers.LayerNormalization(epsilon=1e-6, name="norm")(x)


def mixer_factory(
    mixer: MixerChoice, width: int, num_heads: int
) -> Callable[[], keras.layers.Layer]:
    """The function that makes the mixer of each block."""
    if not isinstance(mixer, str):
        return mixer
    if mixer not in MIXERS:
        raise ValueError(
            f"`mixer` must be one of {', '.join(MIXERS)}. Received: mixer={mixer!r}"
        )
    return lambda: MIXERS[mixer].build(width, num_heads)


def _patch_size(
    image_shape: tuple[int, int, int], grid: tuple[int, int]
) -> tuple[int, int]:
    sizes = tuple(image_shape[:2])
    if None in sizes:
        raise ValueError(
            "The image's height and width must be known: the blocks work on a grid of "
            f"fixed size. Received: an image of shape {tuple(image_shape)}"
        )
    if len(grid) != 2 or min(grid) < 1:
        raise ValueError(
            "`grid` must be two positive integers, rows and columns. "
            f"Received: grid={tuple(grid)}"
        )
    if any(size % cells for size, cells in zip(sizes, grid, strict=True)):
        raise ValueError(
            f"The image's height and width, {sizes}, must be multiples of the grid's. "
            f"Received: grid={tuple(grid)}"
        )
    return sizes[0] // grid[0], sizes[1] // grid[1]


def _convolution_stem(
    x: keras.KerasTensor, width: int, patch: tuple[int, int]
) -> keras.KerasTensor:
    """Halves height and width until the grid is reached, doubling the channels."""
    steps = int(math.log2(patch[0]))
    if patch[0] != patch[1] or 2**steps != patch[0] or steps < 1:
        raise ValueError(
            "The convolution stem needs square cells whose side is a power of 2, 2 at "
            f"least; use stem='patch'. Received: a grid of cells of {patch} pixels"
        )
    for step in reversed(range(steps)):
        x = keras.layers.Conv2D(
            max(1, width // 2**step),
            3,
            strides=2,
            padding="same",
            use_bias=False,
            name=f"stem_{steps - step}",
        )(x)
        # Keras's momentum of 0.99 lags behind in runs of a few hundred steps.
        x = keras.layers.BatchNormalization(
            momentum=0.9, name=f"stem_norm_{steps - step}"
        )(x)
        x = keras.layers.ReLU(name=f"stem_relu_{steps - step}")(x)
    return x
