"""Checks of arguments that several rooms share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def check_positive(name: str, value: Any) -> None:
    """Raises a `ValueError` unless the value is a positive integer."""
    if type(value) is not int or value < 1:
        raise ValueError(
            f"`{name}` must be a positive integer. Received: {name}={value}"
        )


def head_dim(channels: int, num_heads: int, name: str) -> int:
    """The channels of a head; an error that names what to give where none fit."""
    if channels % num_heads:
        raise ValueError(
            f"The number of channels must be a multiple of num_heads={num_heads} where "
            f"`{name}` is not given. Received: {channels} channels"
        )
    return channels // num_heads


def as_integers(name: str, value: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """One integer or several as a tuple; `None` stays."""
    if value is None:
        return None
    values = (value,) if isinstance(value, int) else value
    if (
        not isinstance(values, (list, tuple))
        or not values
        or any(type(v) is not int for v in values)
    ):
        raise ValueError(
            f"`{name}` must be an integer or a sequence of integers. "
            f"Received: {name}={value}"
        )
    return tuple(values)


def resolve_modes(axes: tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """Axes as sorted positive integers; all modes of the rank for `None`."""
    modes = range(1, rank - 1)
    if axes is None:
        return tuple(modes)
    resolved = tuple(sorted(axis + rank if axis < 0 else axis for axis in axes))
    if not all(a in modes for a in resolved) or len(set(resolved)) != len(resolved):
        raise ValueError(
            "Axes must be distinct and lie between the batch (0) and the channels "
            f"({rank - 1}). Received: {axes} for an input of rank {rank}"
        )
    return resolved
