"""What is public: one decorator registers a class and exports it from its room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import keras

Item = TypeVar("Item", bound=Callable[..., Any])

_EXPORTED: dict[str, list[str]] = {}


def export(item: Item) -> Item:
    """Makes a class or function of a room public.

    Classes with a config are registered with Keras as `keras_stt>Name`. The room is not
    part of that name, so a saved file still loads after a class has moved.

    Args:
        item: A class or function, defined in a module of a room.

    Returns:
        The item itself.
    """
    room = item.__module__.rpartition(".")[0]
    _EXPORTED.setdefault(room, []).append(item.__name__)
    if hasattr(item, "get_config"):
        keras.saving.register_keras_serializable("keras_stt")(item)
    return item


def exported(room: str) -> list[str]:
    """The public names of a room, sorted: its `__all__`.

    Args:
        room: Full name of the room, such as `"keras_stt.layers"`.
    """
    return sorted(_EXPORTED[room])
