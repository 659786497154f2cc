"""Checks of arguments that packages share: each returns the value in its plain form."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import keras
import numpy as np

from keras_stt.typing import Shape

DATA_FORMATS = ("channels_last", "channels_first")


def hint(value: Any, known: Iterable[str]) -> str:
    """What an error may add to an unknown name: the known one that is most like it."""
    close = difflib.get_close_matches(str(value), known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def positive_integer(name: str, value: Any) -> int:
    """A positive integer, NumPy's too, as an `int`.

    Raises:
        ValueError: If it is anything else.
    """
    return _integer(name, value, 1, "a positive integer")


def non_negative_integer(name: str, value: Any) -> int:
    """An integer of at least 0, NumPy's too, as an `int`.

    Raises:
        ValueError: If it is anything else.
    """
    return _integer(name, value, 0, "an integer of at least 0")


def optional_positive_integer(name: str, value: Any) -> int | None:
    """A positive integer or `None`."""
    return None if value is None else positive_integer(name, value)


def boolean(name: str, value: Any) -> bool:
    """A boolean, NumPy's or a tensor's too, as a `bool`.

    Raises:
        ValueError: If it is anything else.
    """
    # Keras makes tensors of NumPy's booleans where they are arguments of a call.
    if keras.ops.is_tensor(value) and value.shape == () and _is_boolean(value):
        return bool(value)
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")
    return bool(value)


def flags(**values: Any) -> None:
    """Raises a `ValueError` for call arguments that are not `True` or `False`."""
    for name, value in values.items():
        boolean(name, value)


def positive_number(name: str, value: Any) -> float:
    """A positive, finite number.

    Raises:
        ValueError: If it is anything else.
    """
    fits = _is_number(value) and 0 < float(value) < math.inf
    return _number(name, value, fits, "a positive, finite number")


def non_negative_number(name: str, value: Any) -> float:
    """A finite number of at least 0, as a `float`.

    Raises:
        ValueError: If it is anything else.
    """
    fits = _is_number(value) and 0 <= float(value) < math.inf
    return _number(name, value, fits, "a finite number of at least 0")


def numbers(name: str, values: Any, above: float | None = None) -> tuple[float, ...]:
    """One finite number or several as a tuple of `float`.

    Args:
        name: Name of the argument, for the error.
        values: The number or numbers.
        above: What they must be greater than, if anything.

    Raises:
        ValueError: If it is anything else, or empty.
    """
    found = tuple(values) if isinstance(values, Iterable) else (values,)
    fits = found and all(_is_number(v) and math.isfinite(v) for v in found)
    if not fits or (above is not None and min(found) <= above):
        least = "" if above is None else f" above {above:g}"
        raise ValueError(
            f"`{name}` must be a sequence of finite numbers{least}. "
            f"Received: {name}={values!r}"
        )
    return tuple(float(v) for v in found)


def _is_boolean(tensor: Any) -> bool:
    return keras.backend.standardize_dtype(tensor.dtype) == "bool"


def rate(name: str, value: Any) -> float:
    """A probability below 1, as a `float`.

    Raises:
        ValueError: If it is anything else.
    """
    fits = _is_number(value) and 0 <= float(value) < 1
    return _number(name, value, fits, "in [0, 1)")


def _number(name: str, value: Any, fits: bool, expected: str) -> float:
    if not fits:
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def optional_seed(name: str, value: Any) -> int | None:
    """A seed: an integer of at least 0, or `None`.

    Raises:
        ValueError: If it is anything else.
    """
    if value is None:
        return None
    return _integer(name, value, 0, "None or an integer of at least 0")


def _integer(name: str, value: Any, least: int, expected: str) -> int:
    if not is_integer(value) or value < least:
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}")
    return int(value)


def is_integer(value: Any) -> bool:
    """Whether a value is an integer, NumPy's too, and no boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def integers(name: str, value: int | Iterable[int] | None) -> tuple[int, ...] | None:
    """One integer or several as a tuple; `None` stays.

    Raises:
        ValueError: If it is anything else, or empty.
    """
    if value is None:
        return None
    values: tuple[Any, ...] = (value,)
    if isinstance(value, Iterable):
        values = tuple(value)
    if not values or not all(map(is_integer, values)):
        raise ValueError(
            f"`{name}` must be an integer or a sequence of integers. "
            f"Received: {name}={value!r}"
        )
    return tuple(int(v) for v in values)


def data_format(value: Any) -> str:
    """`"channels_last"`, the default for `None`, or `"channels_first"`.

    Raises:
        ValueError: If it is anything else.
    """
    if value is None:
        return "channels_last"
    if value not in DATA_FORMATS:
        raise ValueError(
            f"`data_format` must be one of {DATA_FORMATS}. "
            f"Received: data_format={value!r}"
        )
    return value


def initializer(name: str, value: Any) -> Any:
    """An initializer, from all that `keras.initializers.get` takes."""
    return _from_keras(keras.initializers.get, "an initializer", name, value)


def activation(name: str, value: Any) -> Any:
    """An activation, from all that `keras.activations.get` takes."""
    return _from_keras(keras.activations.get, "an activation", name, value)


def regularizer(name: str, value: Any) -> Any:
    """A regularizer or `None`, from all that `keras.regularizers.get` takes."""
    return _from_keras(keras.regularizers.get, "a regularizer", name, value)


def constraint(name: str, value: Any) -> Any:
    """A constraint or `None`, from all that `keras.constraints.get` takes."""
    return _from_keras(keras.constraints.get, "a constraint", name, value)


def _from_keras(get: Callable[[Any], Any], kind: str, name: str, value: Any) -> Any:
    """What Keras makes of a value; an error that names the argument otherwise."""
    try:
        return get(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be {kind}: a name, an instance, a config or a function. "
            f"Received: {name}={value!r}"
        ) from error


def fresh(initializer: Any) -> Any:
    """A copy of an initializer for one weight: random ones draw other numbers.

    A plain function, which has no state, is its own copy.
    """
    return initializer.clone() if hasattr(initializer, "clone") else initializer


def head_dim(channels: int, num_heads: int, name: str) -> int:
    """The channels of a head; an error that names what to give where none fit."""
    if channels % num_heads:
        raise ValueError(
            f"The number of channels must be a multiple of num_heads={num_heads} where "
            f"`{name}` is not given. Received: {channels} channels"
        )
    return channels // num_heads


def check_input_shape(
    shape: Shape, data_format: str = "channels_last", name: str = "inputs"
) -> None:
    """Raises a `ValueError` unless a shape is that of a grid with channels.

    Args:
        shape: Shape of the input: at least one mode, a known number of channels, and
            sizes of at least 1, but for the batch.
        data_format: `"channels_last"` or `"channels_first"`.
        name: Name of the argument whose shape it is.
    """
    axes = ["n_1", "…", "n_M"]
    axes.insert(0 if data_format == "channels_first" else 3, "channels")
    channels = shape[1 if data_format == "channels_first" else -1] if shape else None
    if len(shape) < 3 or channels is None or 0 in shape[1:]:
        raise ValueError(
            f"`{name}` must have shape (batch, {', '.join(axes)}) with at least one "
            "mode, a known number of channels, and no axis of size 0 but the batch. "
            f"Received: {name}.shape={tuple(shape)}"
        )


def check_sizes(name: str, tensor: Any, sizes: Shape, layer: str) -> None:
    """Raises a `ValueError` for a size that a layer's weights are not made for.

    Args:
        name: Name of the argument.
        tensor: The argument.
        sizes: The shape that it must have, with `None` where any size will do.
        layer: Name of the layer.
    """
    shape = getattr(tensor, "shape", ())
    if len(shape) != len(sizes):
        return  # Nothing is tied to a size, or Keras has a clear error of its own.
    for axis, (given, size) in enumerate(zip(shape, sizes, strict=True)):
        if given is not None and size not in (None, given):
            raise ValueError(
                f"`{name}` must have the size {size} along axis {axis}, for which "
                f"{layer} was built: it has weights of that size. For another size, "
                "see `keras_stt.surgery.resize_model`. "
                f"Received: {name}.shape={tuple(shape)}"
            )


def check_known_sizes(shape: Shape) -> None:
    """Raises a `ValueError` unless all sizes of an input but the batch are known."""
    if None in shape[1:]:
        raise ValueError(
            "`input_shape` must have known sizes to count multiply-adds. "
            f"Received: input_shape={tuple(shape)}"
        )


def resolve_modes(
    name: str,
    axes: Sequence[int] | None,
    rank: int,
    data_format: str = "channels_last",
) -> tuple[int, ...]:
    """Axes of an input as modes: sorted, counted from 1; all modes for `None`.

    Args:
        name: Name of the argument, for the error.
        axes: Axes of the input, which may be negative.
        rank: Rank of the input.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        Axes of the same input with the channels last.

    Raises:
        ValueError: If an axis is no mode, or occurs twice.
    """
    first = 2 if data_format == "channels_first" else 1
    modes = tuple(range(first, first + rank - 2))
    if axes is None:
        axes = modes
    resolved = sorted(axis + rank if axis < 0 else axis for axis in axes)
    if not set(resolved) <= set(modes) or len(set(resolved)) != len(resolved):
        raise ValueError(
            f"`{name}` must be distinct axes among {modes}, those between batch and "
            f"channels of an input of rank {rank} ({data_format}). "
            f"Received: {name}={tuple(axes)}"
        )
    return tuple(axis - first + 1 for axis in resolved)
