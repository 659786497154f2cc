"""Every invalid argument of a layer is a `ValueError` or `TypeError` that names it."""

import inspect

import keras
import pytest
from invalid import INVALID

from keras_stt import layers, mixers, synthesizers

NEEDED = {"num_heads": 2, "synthesizers": ["random", "dense"], "synthesizer": "dense"}


def constructor(layer_class):
    """The arguments of a class and its bases, without what Keras checks."""
    names = {}
    for base in layer_class.__mro__:
        if base is keras.layers.Layer:
            break
        if "__init__" in vars(base):
            names |= dict(inspect.signature(base.__init__).parameters)
    return [n for n in names if n not in ("self", "kwargs")]


CLASSES = [
    item
    for package in (layers, mixers, synthesizers)
    for item in (getattr(package, name) for name in package.__all__)
    if inspect.isclass(item)
    and issubclass(item, keras.layers.Layer)
    and item not in (layers.STTBlock, layers.PositionEmbedding)
]
CASES = [
    pytest.param(layer_class, name, value, id=f"{layer_class.__name__}-{name}-{value}")
    for layer_class in CLASSES
    for name in constructor(layer_class)
    for value in INVALID.get(name, [])
]


@pytest.mark.parametrize(("layer_class", "name", "value"), CASES)
def test_an_invalid_argument(layer_class, name, value):
    arguments = {n: NEEDED[n] for n in constructor(layer_class) if n in NEEDED}
    with pytest.raises((ValueError, TypeError), match=f"`{name}`.*Received: "):
        layer_class(**{**arguments, name: value})


def test_every_argument_has_invalid_values():
    tested = {name for each in CLASSES for name in constructor(each)}
    assert tested == set(INVALID)
