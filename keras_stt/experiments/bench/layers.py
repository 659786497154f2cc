"""The layers that are measured: made for a measurement, and what they may need."""

from __future__ import annotations

import math

import keras

from keras_stt.mixers import MIXERS


def build_layer(
    name: str, shape: tuple[int, ...], num_heads: int, dtype: str
) -> keras.layers.Layer:
    """Makes a layer and its weights, with seed 0.

    Args:
        name: A name in `keras_stt.mixers.MIXERS`.
        shape: Shape of the input, `(B, H, W, C)`.
        num_heads: Number of heads.
        dtype: What it computes in; its weights are float32.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype if dtype == "float32" else f"mixed_{dtype}")
    try:
        keras.utils.set_random_seed(0)
        layer = MIXERS[name].build(shape[-1], num_heads)
        layer.build(shape)
    finally:
        keras.config.set_dtype_policy(before)
    return layer


def fast_growing_elements(
    name: str, grid: tuple[int, int], num_heads: int, batch: int
) -> int:
    """Elements of the largest tensor that grows faster than the image.

    Args:
        name: A name in `keras_stt.mixers.MIXERS`.
        grid: Rows and columns.
        num_heads: Number of heads.
        batch: Number of examples.

    Returns:
        The number of elements; 0 for a layer that has no such tensor.
    """
    positions, longest = math.prod(grid), max(grid)
    return {
        # The scores: of all pairs of positions, and of the pairs of every line.
        "mha": batch * num_heads * positions**2,
        "mha-axes": batch * num_heads * positions**2,
        "axial-mha": batch * num_heads * positions * longest,
        # A weight for all pairs of positions.
        "gmlp": positions**2,
        # A matrix for every line, and the weight that generates it.
        "dynamixer": max(batch * num_heads * positions * longest, 2 * longest**3),
    }.get(name, 0)
