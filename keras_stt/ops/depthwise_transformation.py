"""Mode products of every channel by itself, in a weighted sum of terms."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from keras_stt.export import export
from keras_stt.ops.mode_product import mode_product, multi_mode_product
from keras_stt.typing import Tensor


@export
def depthwise_transformation(
    inputs: Tensor,
    weights: Sequence[Tensor],
    axes: Sequence[int],
    amplitudes: Tensor,
    shared: bool = False,
) -> Tensor:
    """Mode products of each channel with weights of its own, in a sum of `K` terms.

    `Y_c = Σ_k a_kc · (X_c ×_1 A_1kc ×_2 A_2kc …)`.

    Args:
        inputs: Tensor of shape `(B, n_1, …, n_M, C)`.
        weights: One tensor per axis, `(B or 1, C·K, n_m, n_m)`: the first `K` are
            those of the first channel.
        axes: The modes that are transformed, among `1 … M`, ascending.
        amplitudes: Tensor `a` of shape `(C, K)`, or `(B, C, K)`.
        shared: Whether all examples have the same weights, `(1, C·K, n_m, n_m)` each.
            To be stated, not read off the sizes: a batch may hold one example.

    Returns:
        Tensor of the shape and dtype of `inputs`.
    """
    channels, terms = amplitudes.shape[-2:]
    matrices = [
        ops.reshape(weight, (-1, channels, terms, *ops.shape(weight)[2:]))
        for weight in weights
    ]
    if shared:
        matrices = [matrix[0] for matrix in matrices]
    per_example = len(amplitudes.shape) == 3
    if not per_example:
        # Into the weights, which are smaller than the values.
        matrices[0] = matrices[0] * ops.cast(
            ops.expand_dims(amplitudes, axis=(-1, -2)), matrices[0].dtype
        )
    matrices = [ops.cast(matrix, inputs.dtype) for matrix in matrices]

    # With the channels leading, then the first mode, its product makes all the terms
    # at once, a matrix product per channel; so is that of the last axis.
    batch, channel, first = 0, len(inputs.shape) - 1, axes[0]
    rest = [axis for axis in range(1, channel) if axis != first]
    order = (
        [channel, first, *rest[:-1], batch, *rest[-1:]]
        if shared
        else [batch, channel, first, *rest]
    )
    tensor = ops.transpose(inputs, order)
    *outer, size = ops.shape(tensor)[: order.index(first) + 1]
    inner = ops.shape(tensor)[len(outer) + 1 :]
    stacked = ops.shape(matrices[0])[: len(outer)]
    stacked = ops.reshape(matrices[0], (*stacked, terms * size, size))
    tensor = mode_product(tensor, stacked, len(outer))
    tensor = ops.reshape(tensor, (*outer, terms, size, *inner))
    at = [order.index(axis) + 1 for axis in axes[1:]]
    tensor = multi_mode_product(tensor, matrices[1:], at)
    if per_example:
        scale = ops.transpose(amplitudes, (1, 2, 0)) if shared else amplitudes
        lead = ops.shape(scale)[: len(outer) + 1]
        sizes = [-1 if axis == batch else 1 for axis in order[len(outer) :]]
        tensor = tensor * ops.reshape(scale, (*lead, *sizes))
    tensor = ops.sum(tensor, axis=len(outer))
    return ops.transpose(tensor, [order.index(axis) for axis in range(len(order))])
