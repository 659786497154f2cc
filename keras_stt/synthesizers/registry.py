"""Synthesizers by name, instance or config, as `keras.initializers` has them."""

from __future__ import annotations

from typing import Any

import keras

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.synthesizers.dense import Dense
from keras_stt.synthesizers.dot_product import DotProduct
from keras_stt.synthesizers.factorized_dense import FactorizedDense
from keras_stt.synthesizers.factorized_random import FactorizedRandom
from keras_stt.synthesizers.gaussian import Gaussian
from keras_stt.synthesizers.random import Random
from keras_stt.synthesizers.synthesizer import Synthesizer

NAMES: dict[str, type[Synthesizer]] = {
    "dense": Dense,
    "dot_product": DotProduct,
    "factorized_dense": FactorizedDense,
    "factorized_random": FactorizedRandom,
    "gaussian": Gaussian,
    "random": Random,
}


@export
def serialize(synthesizer: Synthesizer) -> dict[str, Any]:
    """The config dict of a synthesizer, for `deserialize`."""
    return keras.saving.serialize_keras_object(synthesizer)


@export
def deserialize(
    config: dict[str, Any], custom_objects: dict[str, type] | None = None
) -> Synthesizer:
    """Makes a synthesizer from a config dict, as returned by `serialize`.

    Args:
        config: The config dict. One written by hand works too:
            `{"class_name": "Dense", "config": {}}`.
        custom_objects: Optional dict of classes by name, for classes that are not
            registered with Keras.

    Returns:
        A new synthesizer.
    """
    name = config.get("class_name")
    if isinstance(name, str) and not config.get("module"):
        custom_objects = {name: _class_named(name), **(custom_objects or {})}
    return keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)


@export
def get(identifier: Any, name: str = "synthesizer") -> Synthesizer:
    """Returns a synthesizer, from a name, an instance, a class or a config dict.

    Args:
        identifier: `"dense"`, `"random"`, `"factorized_dense"`, `"factorized_random"`,
            `"dot_product"` or `"gaussian"`; the name of a class, `"Dense"`, or one that
            is registered with Keras, `"my_package>Relative"`; or a `Synthesizer`, a
            subclass of it, or a config dict.
        name: Name of the argument that holds it, for the error.

    Returns:
        A `Synthesizer`; an instance is returned as it is.

    Raises:
        ValueError: If there is no such synthesizer.

    Example:

    >>> keras_stt.synthesizers.get("factorized_random").rank
    8
    """
    found = identifier
    if isinstance(found, str):
        found = NAMES.get(found) or _class_named(found)
    if isinstance(found, dict):
        try:
            found = deserialize(found)
        except TypeError:  # Keras's word for a class that it does not know.
            found = None
    if isinstance(found, type) and issubclass(found, Synthesizer):
        found = found()
    if isinstance(found, Synthesizer):
        return found
    raise ValueError(
        f"`{name}` must be one of {', '.join(map(repr, NAMES))}, a "
        "`keras_stt.synthesizers.Synthesizer` such as a `Mixture`, or a config dict. "
        f"Received: {name}={identifier!r}{arguments.hint(identifier, NAMES)}"
    )


def _class_named(name: str) -> Any:
    """A class by its own name, or by the one that it is registered with."""
    registered = keras.saving.get_registered_object
    return registered(f"keras_stt>{name}") or registered(name)
