"""Mode products: a matrix applied along one axis of a tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_stt.export import export
from keras_stt.typing import Tensor


@export
def mode_product(tensor: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Applies a matrix along one axis of a tensor.

    `(T ×_m A)[…, i, …] = Σ_j A[i, j] · T[…, j, …]`, the m-mode product of Kolda and
    Bader (2009), without unfolding the tensor and without a copy of it when `axis`
    is the first axis after the batch axes, or the last one.

    Args:
        tensor: Tensor of rank R, of any floating dtype.
        matrix: Tensor of shape `(k, n)`, where `n` is the tensor's size along
            `axis`; or `(*batch, k, n)`, one matrix for every entry of the tensor's
            leading axes (sizes equal, or 1 for a matrix shared along that axis).
        axis: The axis (mode) to transform; it may be negative. It must not be one
            of the batch axes.

    Returns:
        Tensor of rank R whose size along `axis` is `k`.

    Raises:
        ValueError: If `axis` is out of range or a batch axis, or the sizes differ.

    Example:

    >>> image = np.arange(12.0).reshape(3, 4)
    >>> means = keras_stt.ops.mode_product(image, np.ones((1, 3)) / 3, axis=0)
    >>> np.asarray(means)
    array([[4., 5., 6., 7.]])
    """
    rank, batch = len(tensor.shape), len(matrix.shape) - 2
    if batch < 0:
        raise ValueError(
            "`matrix` must have shape (..., k, n). "
            f"Received: matrix.shape={tuple(matrix.shape)}"
        )
    mode = axis + rank if axis < 0 else axis
    if not batch <= mode < rank:
        raise ValueError(
            f"`axis` must name an axis of the tensor after the {batch} batch axes "
            f"of `matrix`. Received: axis={axis}, "
            f"tensor.shape={tuple(tensor.shape)}, matrix.shape={tuple(matrix.shape)}"
        )
    sizes = (tensor.shape[mode], matrix.shape[-1])
    if None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(
            f"The last axis of `matrix` must have the tensor's size along axis "
            f"{axis}, {sizes[0]}. Received: matrix.shape={tuple(matrix.shape)}"
        )

    shape = ops.shape(tensor)
    lead, before, after = shape[:batch], shape[batch:mode], shape[mode + 1 :]
    if not after:
        # The last axis: one product per batch entry, with everything before as rows.
        flat = ops.reshape(tensor, (*lead, _size(before), shape[mode]))
        if 1 in matrix.shape[:batch]:
            # Spelled out: TensorFlow's oneDNN kernel reads beyond a second operand that
            # it broadcasts itself (seen with TensorFlow 2.21 on a CPU, with one head).
            matrix = ops.broadcast_to(
                matrix, (*_joint(lead, matrix), *ops.shape(matrix)[-2:])
            )
        product = ops.matmul(flat, ops.swapaxes(matrix, -1, -2))
    elif not before:
        # The first axis: one product per batch entry, with everything behind as
        # columns.
        flat = ops.reshape(tensor, (*lead, shape[mode], _size(after)))
        product = ops.matmul(matrix, flat)
    else:
        # An axis in the middle: one product per batch entry and slice before it.
        flat = ops.reshape(tensor, (*lead, _size(before), shape[mode], _size(after)))
        product = ops.matmul(ops.expand_dims(matrix, axis=-3), flat)
    product_lead = ops.shape(product)[:batch]
    size = ops.shape(matrix)[-2]
    return ops.reshape(product, (*product_lead, *before, size, *after))


@export
def multi_mode_product(
    tensor: Tensor, matrices: Sequence[Tensor], axes: Sequence[int]
) -> Tensor:
    """Applies one matrix along each of several axes of a tensor.

    `T ×_{m_1} A_1 ×_{m_2} A_2 …`. Mode products along different axes commute, so the
    order changes nothing but the rounding.

    Args:
        tensor: Tensor of rank R, of any floating dtype.
        matrices: One matrix per axis, as in `mode_product`.
        axes: The axes (modes) to transform, without repetition.

    Returns:
        Tensor of rank R.

    Raises:
        ValueError: If the numbers of matrices and axes differ, an axis occurs twice,
            or a matrix does not fit its axis.
    """
    rank = len(tensor.shape)
    if len(matrices) != len(axes) or len({axis % rank for axis in axes}) != len(axes):
        raise ValueError(
            "`matrices` and `axes` must have the same length, and the axes be "
            f"distinct. Received: {len(matrices)} matrices, axes={tuple(axes)}"
        )
    for matrix, axis in zip(matrices, axes, strict=True):
        tensor = mode_product(tensor, matrix, axis)
    return tensor


@export
def masked_multi_mode_product(
    tensor: Tensor,
    matrices: Sequence[Tensor],
    axes: Sequence[int],
    mask: Tensor,
    normalizers: Sequence[Tensor] | None = None,
) -> Tensor:
    """Applies matrices along several axes, over the valid positions only.

    `((M ⊙ T) ×_1 A_1 ×_2 A_2 …) / (M ×_1 A_1 ×_2 A_2 …)`, and 0 where the divisor is
    0. For matrices with rows that are softmaxes of logits `L_m` this is, exactly,
    masked attention with the N×N logits `L_1 ⊕ L_2 …` (their Kronecker sum): a mask of
    any form costs one more channel, and no N×N matrix is formed. The weight of a
    position is the product of one weight per axis; where all valid positions together
    weigh less than the smallest float32 (1e-38), the result is 0.

    Args:
        tensor: Tensor of rank R.
        matrices: One matrix per axis, as in `mode_product`.
        axes: The axes (modes) to transform.
        mask: Boolean tensor of rank R that broadcasts against `tensor`, `True` for
            the valid positions. What stands at the others does not matter, not even
            a NaN.
        normalizers: The matrices of the divisor, where they differ from `matrices`
            (dropout acts on the latter alone). Defaults to `matrices`.

    Returns:
        Tensor of rank R, in the dtype of the operands.
    """
    divisor = multi_mode_product(
        ops.cast(mask, tensor.dtype), normalizers or matrices, axes
    )
    product = multi_mode_product(ops.where(mask, tensor, 0.0), matrices, axes)
    return share(product, divisor)


@export
def share(part: Tensor, total: Tensor) -> Tensor:
    """A quotient that is 0 where the divisor is, with finite gradients.

    For weighted sums over valid positions, divided by the sum of their weights, which
    may be tiny.

    Args:
        part: Tensor of any floating dtype.
        total: Tensor that broadcasts to `part`, of the same dtype.

    Returns:
        Tensor of the shape of `part`.

    Example:

    >>> part, total = np.array([3.0, 0.0]), np.array([4.0, 0.0])
    >>> np.asarray(keras_stt.ops.share(part, total))
    array([0.75, 0.  ])
    """
    divisible = total != 0
    total = ops.where(divisible, total, 1.0)
    # The derivative has the divisor's square, which may underflow: divide by a constant
    # of its size first.
    scale = ops.stop_gradient(total)
    return ops.where(divisible, (part / scale) / (total / scale), 0.0)


def _size(sizes: Sequence[Any]) -> Any:
    """The size of some axes as one; of a symbolic tensor, -1 where it is not known.

    Computed, since -1 has no answer where another axis, such as the batch, is empty.
    """
    return -1 if any(size is None for size in sizes) else math.prod(sizes)


def _joint(lead: Sequence[Any], matrix: Tensor) -> list[Any]:
    """The batch axes of a product: those of the tensor and the matrix, broadcast."""
    sizes = ops.shape(matrix)[: len(lead)]
    return [
        size if static == 1 else other
        for size, static, other in zip(
            lead, matrix.shape[: len(lead)], sizes, strict=True
        )
    ]
