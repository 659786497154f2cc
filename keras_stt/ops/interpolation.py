"""Weights of one size of a grid as weights of another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from keras import ops

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.ops.mode_product import mode_product
from keras_stt.typing import Tensor


@export
def resize_axes(tensor: Tensor, sizes: Mapping[int, int]) -> Tensor:
    """Interpolates a tensor along some of its axes, one after the other.

    Bicubic, in one dimension at a time; the ends of an axis stay its ends (half-pixel
    centres). Where an axis gets shorter, neighbours are averaged first, so that none is
    skipped. Along an axis of its own size, a tensor stays exactly as it is.

    Args:
        tensor: Tensor of any rank, of floats.
        sizes: The new sizes, by axis.

    Returns:
        Tensor of the new sizes.

    Raises:
        ValueError: If there is no such axis, or a size is no positive integer.

    Example:

    >>> np.asarray(keras_stt.ops.resize_axes(np.ones((2, 3)), {1: 4}))
    array([[1., 1., 1., 1.], [1., 1., 1., 1.]])
    """
    rank = len(tensor.shape)
    for axis, size in sizes.items():
        if not -rank <= axis < rank or not arguments.is_integer(size) or size < 1:
            raise ValueError(
                f"`sizes` must map axes of a tensor of rank {rank} to positive "
                f"integers. Received: sizes={dict(sizes)}"
            )
        if tensor.shape[axis] != size:
            tensor = mode_product(tensor, _matrix(tensor.shape[axis], size), axis)
    return tensor


def _matrix(size: int, new_size: int) -> Tensor:
    """The matrix that interpolates a vector: a resized image of the unit vectors."""
    unit_vectors = np.eye(size, dtype="float32")[..., None]
    return ops.image.resize(
        unit_vectors,
        (new_size, size),
        interpolation="bicubic",
        antialias=True,
        data_format="channels_last",
    )[..., 0]
