"""Masks and the reductions that respect them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_stt.export import export
from keras_stt.typing import Tensor


@export
def grid_mask(mask: Tensor, inputs: Tensor, name: str = "mask") -> Tensor:
    """Checks a mask on the grid and brings it to its full shape.

    Args:
        mask: Boolean or integer tensor of shape `(B, n_1, …, n_M)`, where sizes of 1
            broadcast; nonzero or `True` for the valid positions.
        inputs: Tensor of shape `(B, n_1, …, n_M, C)`.
        name: Name of the argument that holds the mask, for the error.

    Returns:
        Boolean tensor of shape `(B, n_1, …, n_M)`.

    Raises:
        ValueError: If the shapes do not fit, or the mask holds floats.
    """
    if not hasattr(mask, "shape") and np.asarray(mask).dtype.kind not in "biuf":
        raise ValueError(
            f"`{name}` must be a boolean tensor: True for the positions that may be "
            f"attended to. Received: {name}={mask!r}"
        )
    mask = ops.convert_to_tensor(mask)
    dtype = keras.backend.standardize_dtype(mask.dtype)
    # Floats may be meant to be added to logits, where 0 is valid and -1e9 is not. While
    # a model is put together, Keras takes all that `Lambda` returns for floats.
    if keras.backend.is_float_dtype(dtype) and not isinstance(mask, keras.KerasTensor):
        raise ValueError(
            f"`{name}` must be boolean: True for the positions that may be attended "
            "to. (Layers of one input take no value or key as a second argument.) "
            f"Received: {name} of dtype {dtype} and shape {tuple(mask.shape)}"
        )
    mask = ops.cast(mask, "bool")
    fits = len(mask.shape) == len(inputs.shape) - 1 and all(
        size in (1, None, expected) or expected is None
        for size, expected in zip(mask.shape, inputs.shape[:-1], strict=True)
    )
    if not fits:
        raise ValueError(
            f"`{name}` must have the shape of the input without channels, "
            f"{tuple(inputs.shape[:-1])} (sizes of 1 broadcast): True for the "
            f"positions that may be attended to. Received: "
            f"{name}.shape={tuple(mask.shape)}"
        )
    # Not `broadcast_to`, which takes no unknown sizes. And never skipped: sizes that
    # are 1 while a graph is traced need not be 1 when it runs.
    return ops.logical_and(mask, ops.ones_like(inputs[..., 0], dtype="bool"))


@export
def zero_masked(tensor: Tensor, mask: Tensor) -> Tensor:
    """Sets masked positions to 0, whatever they hold.

    A layer does so before its first product: 0 times a NaN at a masked position would
    be NaN, in the gradients too.

    Args:
        tensor: Tensor of shape `(B, n_1, …, n_M, C)`.
        mask: Boolean tensor of shape `(B, n_1, …, n_M)`, `True` for the valid
            positions.

    Returns:
        Tensor of the shape of `tensor`.
    """
    return ops.where(ops.expand_dims(mask, -1), tensor, ops.zeros_like(tensor))


@export
def causal_mask(size: int) -> Tensor:
    """The causal mask of one mode: row `i` attends to the columns `j ≤ i`.

    Args:
        size: The mode's size `n`.

    Returns:
        Boolean tensor of shape `(n, n)`.
    """
    positions = ops.arange(0, size)  # jax2onnx knows no other form
    return ops.expand_dims(positions, axis=1) >= positions


@export
def masked_softmax(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the valid entries of the last axis.

    Args:
        logits: Tensor of any floating dtype, finite where it is float32 or float64,
            and within ±1e30 where there is a mask. Computed in float32 at least: half
            precision overflows where masks and large logits meet.
        mask: Optional boolean tensor that broadcasts to `logits`, `True` for the
            valid entries.

    Returns:
        Tensor of the shape of `logits` (broadcast with `mask`), of dtype float32 (or
        float64 for float64 logits). Valid entries of a row sum to 1; the others are
        0. A row without valid entries is 0 throughout.
    """
    logits = finite(logits)
    if mask is None:
        return _softmax(logits)
    # A finite floor, not -inf: a row without valid entries must not turn into NaN.
    weights = _softmax(ops.where(mask, logits, -2e30))
    return ops.where(mask, weights, 0.0)


@export
def finite(logits: Tensor) -> Tensor:
    """Logits in float32 at least; those of half precision within ±1e30.

    Half precision may have overflowed on the way to them, and differences of infinities
    are NaN.

    Args:
        logits: Tensor of any floating dtype.

    Returns:
        Tensor of the same shape, of dtype float32 (or float64 for float64 logits).
    """
    dtype = keras.backend.result_type(logits.dtype, "float32")
    if keras.backend.standardize_dtype(logits.dtype) == dtype:
        return logits
    return ops.clip(ops.cast(logits, dtype), -1e30, 1e30)


def _softmax(logits: Tensor) -> Tensor:
    if logits.shape[-1] == 1:
        # The same numbers, without Keras's warning: a mode of size 1 is no mistake, and
        # a size that is 1 while a graph is traced need not be 1 when it runs.
        return ops.exp(ops.log_softmax(logits, axis=-1))
    return ops.softmax(logits, axis=-1)


@export
def masked_mean(
    tensor: Tensor, axes: int | Sequence[int], mask: Tensor | None = None
) -> Tensor:
    """Mean over the valid positions along some axes.

    Args:
        tensor: Tensor of any floating dtype; summed in float32 at least.
        axes: The axes to average over.
        mask: Optional boolean tensor that broadcasts to `tensor`, of its size along
            `axes`, `True` for the valid positions. What stands at the others does
            not matter, not even a NaN.

    Returns:
        Tensor without `axes`, of the dtype of `tensor`; 0 where nothing is valid.
    """
    dtype = keras.backend.result_type(tensor.dtype, "float32")
    if mask is None:
        axes = axes if isinstance(axes, Sequence) else (axes,)
        sizes = [ops.shape(tensor)[axis] for axis in axes]
        # Of a symbolic tensor, sizes may be unknown.
        count = 1 if None in sizes else math.prod(sizes)
        if not isinstance(count, int):
            count = ops.cast(count, dtype)
        # Not `mean`: its gradient divides at every position, in place of once per sum.
        total = ops.sum(in_dtype(tensor, dtype), axis=axes) / count
        return in_dtype(total, tensor.dtype)
    total = ops.sum(ops.where(mask, ops.cast(tensor, dtype), 0.0), axis=axes)
    count = ops.sum(ops.cast(mask, dtype), axis=axes)
    return ops.cast(total / ops.maximum(count, 1.0), tensor.dtype)


def in_dtype(tensor: Tensor, dtype: Any) -> Tensor:
    """A tensor in a dtype: `ops.cast`, or nothing, which is faster in eager PyTorch."""
    standard = keras.backend.standardize_dtype
    same = standard(tensor.dtype) == standard(dtype)
    return tensor if same else ops.cast(tensor, dtype)
