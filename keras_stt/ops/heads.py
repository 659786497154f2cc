"""Where heads and channels are placed for the mode products."""

from __future__ import annotations

from keras import ops

from keras_stt.typing import Tensor


def split_heads(value: Tensor, num_heads: int) -> Tensor:
    """Puts the heads first: `(B, n_1, …, n_M, h·d)` to `(B, h, n_1, …, d, n_M)`.

    With the channels of a head before the last mode, the mode products along the first
    and the last mode are single batched matrix products without a transpose.

    Args:
        value: Tensor of shape `(B, n_1, …, n_M, h·d)`.
        num_heads: Number of heads `h`.

    Returns:
        Tensor of shape `(B, h, n_1, …, n_{M-1}, d, n_M)`.
    """
    *outer, channels = ops.shape(value)
    value = ops.reshape(value, (*outer, num_heads, channels // num_heads))
    modes = len(outer) - 1
    return ops.transpose(value, (0, modes + 1, *range(1, modes), modes + 2, modes))


def merge_heads(value: Tensor) -> Tensor:
    """The inverse of `split_heads`.

    Args:
        value: Tensor of shape `(B, h, n_1, …, n_{M-1}, d, n_M)`.

    Returns:
        Tensor of shape `(B, n_1, …, n_M, h·d)`.
    """
    modes = len(value.shape) - 3
    last, channel = modes + 2, modes + 1
    value = ops.transpose(value, (0, *range(2, modes + 1), last, 1, channel))
    *outer, num_heads, head_dim = ops.shape(value)
    return ops.reshape(value, (*outer, num_heads * head_dim))


def head_axis(axis: int, rank: int) -> int:
    """Where `split_heads` puts an axis.

    Args:
        axis: A mode's axis in the input, `1 … rank - 2`.
        rank: The input's rank.

    Returns:
        The mode's axis in the result of `split_heads`.
    """
    return axis + 2 if axis == rank - 2 else axis + 1
