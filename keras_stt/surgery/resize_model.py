"""A trained model for inputs of another size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from keras_stt import arguments
from keras_stt.composite import part_from, uncompiled
from keras_stt.export import export
from keras_stt.models import ImageCaptioner
from keras_stt.surgery.copies import check_functional, copy_of, copy_state
from keras_stt.typing import Layer, Shape


@export
def resize_model(model: keras.Model, input_shape: Shape) -> keras.Model:
    """Rebuilds a trained model for another input size, keeping its weights.

    Weights that are tied to the size are interpolated: position embeddings, and the
    logits of the synthesizers `Dense`, `Random` and `FactorizedRandom`, which then
    attend to the same parts of the image as before. All other weights are copied. Those
    of `Gaussian` are not tied to the size: its widths cover as many positions as
    before, like the kernel of a convolution.

    Accuracy drops where the new size is far from the old one; short fine-tuning at the
    new size brings it back.

    Args:
        model: A functional or `Sequential` model with one input, such as an
            `image_classifier`, or an `ImageCaptioner`. It is left unchanged.
        input_shape: The new shape of an input, without the batch, such as `(height,
            width, channels)`. The number of channels must stay the same.

    Returns:
        A new model, not compiled. Layers that are frozen in `model` are frozen in it.

    Raises:
        ValueError: If the model cannot be rebuilt for that shape.
        SizeError: If it has weights that are tied to its size and cannot be
            interpolated, such as those of `FactorizedDense`, or of an MLP-Mixer.

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
    if isinstance(model, ImageCaptioner):
        config = _captioner_config(model, input_shape)
        resized = type(model).from_config(config)
    else:
        check_functional(model, " and has one input, or an ImageCaptioner")
        structure = _input_of(model)
        old = keras.tree.flatten(structure)
        if len(old) != 1:
            raise ValueError(
                "`model` must have one input. Received: "
                f"model={model!r} with {len(old)} inputs"
            )
        (tensor,) = old
        shape = _plain_shape(input_shape, tensor.shape[1:])
        x = keras.Input(
            batch_shape=(tensor.shape[0], *shape),
            dtype=tensor.dtype,
            name=tensor.name,
        )
        with uncompiled(model):
            resized = _rebuilt(model, keras.tree.pack_sequence_as(structure, [x]))
    copy_state(model, resized)
    return resized


def _plain_shape(shape: Any, expected: Shape) -> Shape:
    """A shape of some rank, of plain integers.

    Raises:
        ValueError: If it is anything else.
    """
    sizes = [*shape] if isinstance(shape, Iterable) else []
    fits = len(sizes) == len(expected) and all(
        size is None or (arguments.is_integer(size) and size > 0) for size in sizes
    )
    if not fits:
        raise ValueError(
            f"`input_shape` must be a tuple of {len(expected)} positive sizes. "
            f"Received: input_shape={shape!r}"
        )
    return tuple(None if size is None else int(size) for size in sizes)


def _captioner_config(model: ImageCaptioner, image_shape: Any) -> dict[str, Any]:
    """The config for another shape of images, with cells of as many pixels.

    Of a captioner with a stem of the user's, the grid is what that makes of them.
    """
    config = model.get_config()
    old = config["image_shape"]
    image_shape = _plain_shape(image_shape, old)
    config["image_shape"] = image_shape
    stem = part_from(config["stem"])
    if isinstance(stem, keras.Model):
        check_functional(stem, name="the stem of `model`")
        return {**config, "grid": None, "stem": resize_model(stem, image_shape)}
    grid = model.image_encoder.output_shape[1:3]
    cells = [size // count for size, count in zip(old, grid, strict=False)]
    if any(size % cell for size, cell in zip(image_shape, cells, strict=False)):
        raise ValueError(
            "`input_shape` must have a height and width that are multiples of a cell "
            f"of the grid, {cells[0]}×{cells[1]} pixels. "
            f"Received: input_shape={tuple(image_shape)}"
        )
    config["grid"] = tuple(
        size // cell for size, cell in zip(image_shape, cells, strict=False)
    )
    return config


def _rebuilt(model: keras.Model, inputs: Any) -> keras.Model:
    """The layers of a model once more, built for other inputs."""
    check_functional(model, name="a model in `model`")
    if isinstance(model, keras.Sequential):
        values = inputs

        def built(layer: Layer) -> Layer:
            nonlocal values
            layer = copy_of(layer)
            if isinstance(layer, keras.Model):
                layer = _rebuilt(layer, _inputs_like(layer, values))
            values = layer(values)
            return layer

        return keras.models.clone_model(model, inputs, clone_function=built)
    rebuilt: dict[int, keras.Model] = {}

    def called(layer: Layer, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(layer, keras.Model):
            return layer(*args, **kwargs)
        if id(layer) not in rebuilt:
            values = args[0] if args else kwargs["inputs"]
            rebuilt[id(layer)] = _rebuilt(layer, _inputs_like(layer, values))
        return rebuilt[id(layer)](*args, **kwargs)

    return keras.models.clone_model(model, inputs, call_function=called)


def _input_of(model: keras.Model) -> Any:
    """The inputs of a model, in the structure that it is called with."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    return model.input


def _inputs_like(model: keras.Model, values: Any) -> Any:
    """New inputs of a model in the model, in the shapes of what it is called with."""
    return keras.tree.map_structure(
        lambda old, value: keras.Input(
            batch_shape=value.shape, dtype=old.dtype, name=old.name
        ),
        _input_of(model),
        values,
    )
