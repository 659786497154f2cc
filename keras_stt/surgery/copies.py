"""Copies of models, with the weights of the originals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_stt import ops as stt_ops
from keras_stt.composite import Composite, SizedWeight, sublayers, uncompiled
from keras_stt.export import export
from keras_stt.typing import Layer


@export
class SizeError(ValueError):
    """Raised if weights that are tied to the input size cannot be interpolated."""


def copy_of(layer: Layer) -> Layer:
    """A layer of the same config, with weights of its own."""
    return type(layer).from_config(layer.get_config())


def check_functional(model: Any, inputs: str = "", name: str = "`model`") -> None:
    """Raises a `ValueError` unless a model is functional or Sequential, and built."""
    functional = isinstance(model, keras.Model) and model.built
    if not functional or not hasattr(model, "inputs"):
        raise ValueError(
            f"{name} must be a functional or Sequential model that is built{inputs}. "
            f"Received: model={model!r}"
        )


def copy_model(
    model: keras.Model, clone: Callable[[Layer], Layer], call: Callable[..., Any]
) -> tuple[keras.Model, list[tuple[Layer, Layer]]]:
    """Copies a functional or Sequential model, and the models in it, layer by layer.

    Args:
        model: The model.
        clone: Makes the copy of a layer, without its weights.
        call: Called as `call(original, copy, *args, **kwargs)` in place of a copy. For
            the copy of a nested model, `original` is the copy itself. In a Sequential
            model, the copies are called directly.

    Returns:
        The new model, and pairs of a layer and its copy; a model in the model is
        not among them, but its layers are.
    """
    pairs: list[tuple[Layer, Layer]] = []
    originals: dict[int, Layer] = {}

    def cloned(layer: Layer) -> Layer:
        copy = clone(layer)
        pairs.append((layer, copy))
        originals[id(copy)] = layer
        return copy

    def called(layer: Layer, *args: Any, **kwargs: Any) -> Any:
        return call(originals.get(id(layer), layer), layer, *args, **kwargs)

    with uncompiled(model):
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


def copy_state(source: Layer, target: Layer, exclude: Sequence[Layer] = ()) -> None:
    """Gives a layer or model the weights of another one, and what is frozen of it.

    Args:
        source: The layer whose weights are taken.
        target: A layer of the same config, which may be built for another size: then
            the weights that are tied to the size are interpolated.
        exclude: Parts of both that are left out.

    Raises:
        ValueError: If the two have not the same weights.
        SizeError: If weights of another size cannot be interpolated.
    """
    skipped = {id(v) for part in exclude for v in part.variables}
    old, new = (
        [variable for variable in layer.variables if id(variable) not in skipped]
        for layer in (source, target)
    )
    if len(old) != len(new):
        raise ValueError(
            "`model` must have the weights that its layers are made with: quantise a "
            f"model, or enable LoRA, afterwards. Received: {source.name} with "
            f"{len(old)} variables, where a copy has {len(new)}"
        )
    sized = zip(_sized_weights(source), _sized_weights(target), strict=False)
    interpolated = {id(target.variable): (source, target) for source, target in sized}
    for variable, other in zip(old, new, strict=True):
        # A copy: on JAX, a model's prediction frees the arrays that it was given.
        value = ops.convert_to_numpy(variable.value)
        if id(other) in interpolated:
            value = _interpolated(value, *interpolated[id(other)])
        elif variable.shape != other.shape:
            scale = f"{variable.path.rpartition('/')[0]}/kernel_scale"
            if any(each.path == scale for each in old):
                raise ValueError(
                    "`model` must be resized first, and quantised afterwards. "
                    f"Received: {source.name} with quantised weights that are tied to "
                    f"a size, {variable.path}"
                )
            raise SizeError(
                "`model` has size-dependent weights that cannot be interpolated: "
                f"{variable.path} has the shape {tuple(variable.shape)} and would need "
                f"{tuple(other.shape)}. Received: {source.name}"
            )
        other.assign(value)
    _finalize(target)
    _copy_trainable(source, target, exclude)
    for variable, other in zip(old, new, strict=True):
        if other.trainable != variable.trainable:
            other.trainable = variable.trainable


def _finalize(layer: Layer) -> None:
    """Has layers that were adapted to data compute with their new weights.

    `keras.layers.Normalization`, for one, keeps what it makes of them in attributes.
    """
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()
    for part in sublayers(layer):
        _finalize(part)


def _copy_trainable(source: Layer, target: Layer, exclude: Sequence[Layer]) -> None:
    """Freezes what is frozen of a layer; from the top, since it is passed down."""
    if source in exclude:
        return
    # What is new can be trained, which a frozen layer around it would prevent.
    new = any(part in exclude for part in sublayers(source))
    target.trainable = source.trainable or new
    for part, other in zip(sublayers(source), sublayers(target), strict=False):
        _copy_trainable(part, other, exclude)


def _sized_weights(layer: Layer) -> Iterator[SizedWeight]:
    """The weights below a layer that are tied to the size of its input."""
    if isinstance(layer, Composite):
        yield from layer.sized_weights()
    for part in sublayers(layer):
        yield from _sized_weights(part)


def _interpolated(value: Any, source: SizedWeight, target: SizedWeight) -> Any:
    """The value of a weight, for another size."""
    sizes = {axis: target.shape[axis] for axis in target.axes}
    value = stt_ops.resize_axes(ops.reshape(value, source.shape), sizes)
    return ops.reshape(value, target.variable.shape)
