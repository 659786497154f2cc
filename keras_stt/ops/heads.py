"""Where batch, heads and channels lie during the mode products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras import ops

from keras_stt.typing import Tensor


@dataclass(frozen=True)
class HeadLayout:
    """A layout of values in which mode products need no further transposes.

    With the channels of a head before the last mode, the mode products along the first
    and the last mode are single batched matrix products. Made by `plan_heads`.

    Attributes:
        order: The axes of values of shape `(B, n_1, …, n_M, h, d)`, by their numbers,
            in the order in which the layout has them.
        batch_axes: Number of leading axes that the matrices of the mode products have
            in common with the values.
    """

    order: tuple[int, ...]
    batch_axes: int

    def split(self, rows: Tensor, sizes: Sequence[Any], num_heads: int) -> Tensor:
        """Splits the heads off the channels, and places them.

        Args:
            rows: Tensor of shape `(B·n_1·…·n_M, h·d)`: a row for every position.
            sizes: `(B, n_1, …, n_M)`.
            num_heads: Number of heads `h`.

        Returns:
            Tensor of shape `(B, n_1, …, n_M, h, d)` in the layout's order.
        """
        value = ops.reshape(rows, (*sizes, num_heads, rows.shape[-1] // num_heads))
        return ops.transpose(value, self.order)

    def merge(self, value: Tensor) -> Tensor:
        """The inverse of `split`.

        Args:
            value: Tensor of shape `(B, n_1, …, n_M, h, d)` in the layout's order.

        Returns:
            Tensor of shape `(B·n_1·…·n_M, h·d)`.
        """
        back = [self.order.index(axis) for axis in range(len(self.order))]
        value = ops.transpose(value, back)
        return ops.reshape(value, (-1, value.shape[-2] * value.shape[-1]))

    def axis(self, axis: int) -> int:
        """Where a mode of the values, `1 … M`, is in the layout."""
        return self.order.index(axis)

    def matrix(self, weights: Tensor) -> Tensor:
        """The weights of a mode, `(B or 1, h, n, n)`, as matrices for mode products."""
        return weights if self.batch_axes == 2 else weights[0]


def plan_heads(modes: int, shared: bool) -> HeadLayout:
    """Plans the layout of values, from what is known before anything is computed.

    Where each example has weights of its own, `(B, h, n_1, …, n_{M-1}, d, n_M)`: a
    matrix product per example and head. Where the batch shares them,
    `(h, n_1, …, n_{M-1}, B, d, n_M)`: one matrix product per head, with the whole batch
    as columns, in place of many small ones with a matrix repeated.

    Args:
        modes: Number of modes `M` of the values.
        shared: Whether all examples of a batch have the same weights.

    Returns:
        The layout.
    """
    batch, heads, channels = 0, modes + 1, modes + 2
    outer = range(1, modes)
    if shared:
        return HeadLayout((heads, *outer, batch, channels, modes), batch_axes=1)
    return HeadLayout((batch, heads, *outer, channels, modes), batch_axes=2)
