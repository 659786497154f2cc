"""What is public: one decorator registers a class and exports it from its package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import keras

Item = TypeVar("Item", bound=Callable[..., Any])

_EXPORTED: dict[str, list[str]] = {}


def export(item: Item) -> Item:
    """Makes a class or function of a package public.

    Classes with a config are registered with Keras as `keras_stt>Name`. The package is
    not part of that name, so a saved file still loads after a class has moved.

    Args:
        item: A class or function, defined in a module of a package.

    Returns:
        The item itself.
    """
    package = item.__module__.rpartition(".")[0]
    _EXPORTED.setdefault(package, []).append(item.__name__)
    if hasattr(item, "get_config"):
        keras.saving.register_keras_serializable("keras_stt")(item)
    return item


def exported(package: str) -> list[str]:
    """The public names of a package, sorted: its `__all__`.

    Args:
        package: Full name of the package, such as `"keras_stt.layers"`.
    """
    return sorted(_EXPORTED[package])
