"""A trained model for inputs of another size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_stt import ops as stt_ops
from keras_stt.composite import Composite, SizedWeight, parts
from keras_stt.export import export
from keras_stt.models import ImageCaptioner
from keras_stt.typing import Shape


@export
def resize_model(model: keras.Model, input_shape: Shape) -> keras.Model:
    """Makes a trained model anew for inputs of another size, with its weights.

    Weights that are tied to the size are interpolated: position embeddings, and the
    logits of synthesizers such as `Dense` and `Random`, which thus attend to the same
    part of the image as before. All others are copied. `Gaussian` has none that are
    tied: its widths stay what they are in positions, as in a convolution.

    Accuracy drops where the new size is far from the old one; a short fine-tuning at
    the new size brings it back.

    Args:
        model: A functional or `Sequential` model with one input, such as an
            `image_classifier`, or an `ImageCaptioner`. It stays as it is.
        input_shape: The new shape of an input, without the batch: `(height, width,
            channels)`.

    Returns:
        A new model. It is compiled if `model` is, with an optimizer that starts anew.

    Raises:
        ValueError: If the model cannot be made for that shape, or has weights that are
            tied to its size and cannot be interpolated, or that were quantised.

    Example:

    >>> model = keras_stt.models.image_classifier((32, 32, 3), 10, mixer="stt-random")
    >>> larger = keras_stt.surgery.resize_model(model, (48, 64, 3))
    >>> larger(np.zeros((1, 48, 64, 3))).shape
    (1, 10)

    Reference:
        - Dosovitskiy et al., An image is worth 16x16 words,
          [arXiv 2010.11929](https://arxiv.org/abs/2010.11929), section 3.2:
          interpolated position embeddings.
    """
    resized = _remade(model, input_shape)
    sources, targets = model.variables, resized.variables
    if len(sources) != len(targets):
        raise ValueError(
            "`model` must have the weights that its layers are made with: quantise a "
            "model, or enable LoRA, after it is resized. Received: a model with "
            f"{len(sources)} variables, and {len(targets)} in the one made anew"
        )
    sized = zip(_sized_weights(model), _sized_weights(resized), strict=True)
    interpolated = {id(target.variable): (old, target) for old, target in sized}
    for source, target in zip(sources, targets, strict=True):
        # A copy: on JAX, a model's prediction frees the arrays that it was given.
        value = ops.convert_to_numpy(source.value)
        if id(target) in interpolated:
            value = _interpolated(value, *interpolated[id(target)])
        elif source.shape != target.shape:
            raise ValueError(
                f"`model` has weights of which no others can be made for inputs of "
                f"shape {tuple(input_shape)}: {source.path} has the shape "
                f"{tuple(source.shape)}, and would need {tuple(target.shape)}. "
                f"Received: model={model.name}"
            )
        target.assign(value)
    return resized


def _remade(model: keras.Model, input_shape: Shape) -> keras.Model:
    """The model for another shape of input, with new weights."""
    if isinstance(model, ImageCaptioner):
        return ImageCaptioner.from_config(_captioner_config(model, input_shape))
    inputs = model.inputs if model.built and hasattr(model, "inputs") else []
    if len(inputs) != 1:
        raise ValueError(
            "`model` must be a functional or Sequential model with one input, or an "
            f"ImageCaptioner. Received: model={model!r}"
        )
    x = keras.Input(tuple(input_shape), dtype=inputs[0].dtype, name=inputs[0].name)
    if not isinstance(model, keras.Sequential):
        tensors = keras.tree.pack_sequence_as(model.input, [x])
        return keras.models.clone_model(model, tensors, call_function=_call)
    values = x

    def made(layer: keras.layers.Layer) -> keras.layers.Layer:
        nonlocal values
        layer = _for(values, type(layer).from_config(layer.get_config()))
        values = layer(values)
        return layer

    return keras.models.clone_model(model, x, clone_function=made)


def _captioner_config(model: ImageCaptioner, image_shape: Shape) -> dict[str, Any]:
    """The config for another shape of images, with cells of as many pixels."""
    config = model.get_config()
    sizes = zip(image_shape, config["image_shape"], config["grid"], strict=False)
    grid = tuple(new // (old // cells) for new, old, cells in sizes)
    return {**config, "image_shape": image_shape, "grid": grid}


def _call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
    return _for(args[0], layer)(*args, **kwargs)


def _for(inputs: Any, layer: keras.layers.Layer) -> keras.layers.Layer:
    """A new layer; a model among the layers once more, for the shape of its input."""
    if not isinstance(layer, keras.Model):
        return layer
    return _remade(layer, inputs.shape[1:])


def _sized_weights(layer: keras.layers.Layer) -> Iterator[SizedWeight]:
    """The weights below a layer that are tied to the size of its input."""
    if isinstance(layer, Composite):
        yield from layer.sized_weights()
    for part in parts(layer):
        yield from _sized_weights(part)


def _interpolated(value: Any, source: SizedWeight, target: SizedWeight) -> Any:
    """The value of a weight, for another size."""
    sizes = {axis: target.shape[axis] for axis in target.axes}
    value = stt_ops.resize_axes(ops.reshape(value, source.shape), sizes)
    return ops.reshape(value, target.variable.shape)
