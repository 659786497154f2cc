"""Copies of functional models in which some layers are others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_stt.typing import Layer

Clone = Callable[[Layer], Layer]
Call = Callable[..., Any]


def copy_of(layer: Layer) -> Layer:
    """A layer of the same config, with weights of its own."""
    return type(layer).from_config(layer.get_config())


def copy_model(
    model: keras.Model, clone: Clone, call: Call
) -> tuple[keras.Model, list[tuple[Layer, Layer]]]:
    """Copies a functional or Sequential model, and the models in it, layer by layer.

    Args:
        model: The model.
        clone: Makes the copy of a layer, without weights.
        call: Calls a copy, with the layer that it is a copy of, itself, and the
            arguments. (In a Sequential model, all copies are just called.)

    Returns:
        The new model, and pairs of a layer and its copy; a model in the model is
        not among them, but its layers are.
    """
    if not isinstance(model, keras.Sequential) and not hasattr(model, "inputs"):
        raise ValueError(
            "`model` must be a functional or Sequential model. "
            f"Received: model={model!r}"
        )
    pairs: list[tuple[Layer, Layer]] = []

    def cloned(layer: Layer) -> Layer:
        pairs.append((layer, clone(layer)))
        return pairs[-1][1]

    def called(layer: Layer, *args: Any, **kwargs: Any) -> Any:
        for original, copy in pairs:
            if copy is layer:
                return call(original, copy, *args, **kwargs)
        return layer(*args, **kwargs)  # A model.

    new_model = keras.models.clone_model(
        model,
        clone_function=cloned,
        # Keras knows none for Sequential models.
        call_function=None if isinstance(model, keras.Sequential) else called,
        recursive=True,
    )
    # Operations on tensors, such as `+`, are among what Keras copies.
    return new_model, [
        pair for pair in pairs if isinstance(pair[0], keras.layers.Layer)
    ]


def copy_weights(
    source: Layer, target: Layer, but: tuple[Layer, Layer] | None = None
) -> None:
    """Gives a layer the values of another one's variables.

    Args:
        source: The layer whose values are taken.
        target: The layer that gets them.
        but: A part of each, whose variables are left out.

    Raises:
        ValueError: If the two have not the same variables.
    """
    leave = {id(v) for part in but or () for v in part.variables}
    old, new = (
        [variable for variable in layer.variables if id(variable) not in leave]
        for layer in (source, target)
    )
    if [v.shape for v in old] != [v.shape for v in new]:
        raise ValueError(
            "`model` must have the weights that its layers are made with: quantise a "
            f"model, or enable LoRA, afterwards. Received: {source.name} with weights "
            f"of shapes {[v.shape for v in old]}, not {[v.shape for v in new]}"
        )
    for variable, other in zip(old, new, strict=True):
        # A copy: on JAX, a model's prediction frees the arrays that it was given.
        other.assign(ops.convert_to_numpy(variable.value))
