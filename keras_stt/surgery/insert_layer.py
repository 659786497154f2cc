"""A new layer in a trained model."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_stt.export import export
from keras_stt.surgery.copies import (
    check_functional,
    copy_model,
    copy_of,
    copy_state,
)
from keras_stt.typing import Layer


@export
def insert_layer(
    model: keras.Model, layer: Layer, after: str | Sequence[str]
) -> keras.Model:
    """Inserts a new layer after layers of a trained model, such as stages of a CNN.

    With `STTBlock(…, layer_scale=1e-4)`, the model computes nearly the same at first,
    and training decides how much the new layer does.

    Args:
        model: A functional model, such as one of `keras.applications`. It is left
            unchanged.
        layer: The new layer, as a template. It must keep the shape of its input.
        after: Name of the layer after which to insert it, in the model or in a
            functional model nested in it; or several names. Each place gets its own
            copy, named `<name>_<name of the template>`.

    Returns:
        A new model with the weights of `model`, not compiled. Layers that are frozen in
        `model` are frozen in it; the new ones are not.

    Raises:
        ValueError: If there is no layer of that name, or more than one, or if the shape
            is not kept.

    Example:

    >>> backbone = keras.applications.MobileNetV2((32, 32, 3), weights=None, classes=5)
    >>> block = keras_stt.layers.STTBlock(keras_stt.layers.DepthwiseSTT(), name="stt")
    >>> model = keras_stt.surgery.insert_layer(backbone, block, after="block_2_add")
    >>> model.get_layer("block_2_add_stt").output.shape
    (None, 8, 8, 24)
    """
    check_functional(model)
    if isinstance(model, keras.Sequential):
        raise ValueError(
            "`model` must be a functional model; for a Sequential one, make another "
            f"with the new layer among its `layers`. Received: model={model!r}"
        )
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(f"`layer` must be a Keras layer. Received: layer={layer!r}")
    names = [after] if isinstance(after, str) else after
    if not isinstance(names, (list, tuple)) or not names:
        raise ValueError(
            "`after` must be the name of a layer, or a list of names. "
            f"Received: after={after!r}"
        )
    there = Counter(_names(model))
    for name in names:
        if there[name] != 1:
            raise ValueError(
                "`after` must name layers that the model, or a functional model in it, "
                f"has once. Received: {name!r}, which occurs {there[name]} times"
            )
    inserted: dict[str, Layer] = {}

    def call(original: Layer, copy: Layer, *args: Any, **kwargs: Any) -> Any:
        outputs = copy(*args, **kwargs)
        name = original.name
        if name not in names:
            return outputs
        # A layer that is called twice is followed by the same new layer twice.
        if name not in inserted:
            new_name = _unused(f"{name}_{layer.name}", there)
            inserted[name] = type(layer).from_config(
                {**layer.get_config(), "name": new_name}
            )
        shape = getattr(outputs, "shape", None)
        changed = inserted[name](outputs) if shape is not None else None
        if getattr(changed, "shape", None) != shape or shape is None:
            raise ValueError(
                "`layer` must keep the shape of its one input, which later layers "
                f"expect. Received: layer={layer!r} after {name}, whose output is "
                f"{outputs}; it makes {changed}"
            )
        return changed

    new_model, pairs = copy_model(model, copy_of, call)
    for original, copy in pairs:
        copy_state(original, copy)
    return new_model


def _names(model: keras.Model) -> Iterator[str]:
    """The names of all layers that a functional model calls, in models in it too."""
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            yield layer.name
        if isinstance(layer, keras.Model) and not isinstance(layer, keras.Sequential):
            yield from _names(layer)


def _unused(name: str, taken: Counter[str]) -> str:
    """A name, with a number where there is one like it."""
    names = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(1)))
    return next(each for each in names if each not in taken)
