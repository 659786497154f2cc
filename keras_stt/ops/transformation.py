"""Attention along modes: from logits to weights, and from weights to outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_stt.export import export
from keras_stt.ops.heads import plan_heads
from keras_stt.ops.masks import causal_mask, in_dtype, masked_softmax
from keras_stt.ops.mode_product import masked_multi_mode_product, multi_mode_product
from keras_stt.typing import Tensor


@export
def mode_weights(
    logits: Tensor, axis: int, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """The attention weights of one mode: the softmax of its logits.

    Args:
        logits: Tensor of shape `(B or 1, h, k, n)`, of any floating dtype: `k`
            positions attend to the `n` of the mode.
        axis: The mode's axis among `1 … M`.
        mask: Optional boolean tensor of shape `(B, n_1, …, n_M)`, `True` for the valid
            positions. Slices of the mode without a valid position get no weight.
        causal: Whether position `i` attends to positions `≤ i` only.

    Returns:
        Tensor of shape `(B or 1, h, k, n)`, float32 at least. Rows sum to 1, or are 0
        where nothing is valid.
    """
    valid = None if mask is None else mode_mask(mask, axis)
    if causal:
        order = causal_mask(ops.shape(logits)[-1])
        valid = order if valid is None else ops.logical_and(valid, order)
    return masked_softmax(logits, valid)


@export
def tensor_transformation(
    values: Tensor,
    sizes: Sequence[Any],
    weights: Sequence[Tensor],
    axes: Sequence[int],
    num_heads: int,
    mask: Tensor | None = None,
    normalizers: Sequence[Tensor] | None = None,
    shared: bool = False,
) -> Tensor:
    """Mode products of values with the weights of some modes, head by head.

    `Y = V ×_1 A_1 ×_2 A_2 …`; with a mask, the products over the valid positions,
    divided by those of the mask (see `masked_multi_mode_product`).

    Args:
        values: The values as rows, `(B·n_1·…·n_M, h·d)`: positions of a grid in order.
        sizes: `(B, n_1, …, n_M)`.
        weights: One tensor per axis, `(B or 1, h, n_m, n_m)`.
        axes: The modes that are transformed, among `1 … M`, ascending.
        num_heads: Number of heads `h`.
        mask: Optional boolean tensor of shape `(B, n_1, …, n_M)`, `True` for the valid
            positions. Values at the others must be finite.
        normalizers: The weights that divide where there is a mask, if they are others
            than `weights` (dropout acts on the latter alone).
        shared: Whether all examples have the same weights, `(1, h, n_m, n_m)` each. To
            be stated, not read off the sizes: a batch may hold one example.

    Returns:
        Tensor of the shape and dtype of `values`.
    """
    layout = plan_heads(len(sizes) - 1, shared)
    # The last mode first: XLA writes its product faster where another follows.
    at = [layout.axis(axis) for axis in reversed(axes)]
    matrices = [layout.matrix(weight) for weight in reversed(weights)]
    tensor = layout.split(values, sizes, num_heads)
    # With one mode, the softmax has left the masked positions out already.
    if mask is None or len(sizes) == 2:
        matrices = [in_dtype(matrix, values.dtype) for matrix in matrices]
        return layout.merge(multi_mode_product(tensor, matrices, at))
    divisors = weights if normalizers is None else normalizers
    tensor = masked_multi_mode_product(
        # In float32: the shares of the valid positions may be small.
        ops.cast(tensor, divisors[0].dtype),
        matrices,
        at,
        mask=layout.split(ops.reshape(mask, (-1, 1)), sizes, num_heads=1),
        normalizers=[layout.matrix(divisor) for divisor in reversed(divisors)],
    )
    return ops.cast(layout.merge(tensor), values.dtype)


def mode_mask(mask: Tensor, axis: int) -> Tensor:
    """The slices of a mode that hold a valid position.

    Args:
        mask: Boolean tensor of shape `(B, n_1, …, n_M)`.
        axis: The mode's axis.

    Returns:
        Boolean tensor of shape `(B, 1, 1, n)`, to mask the columns of attention logits.
    """
    others = [a for a in range(1, len(mask.shape)) if a != axis]
    valid = ops.any(mask, axis=others) if others else mask
    return ops.expand_dims(valid, axis=(1, 2))
