"""A new layer in a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_stt.export import export
from keras_stt.surgery.copies import copy_model, copy_of, copy_weights
from keras_stt.typing import Layer


@export
def insert_layer(
    model: keras.Model, layer: Layer, after: str | Sequence[str]
) -> keras.Model:
    """Puts a new layer behind layers of a trained model, such as a stage of a CNN.

    With `STTBlock(…, layer_scale=1e-4)`, the model computes nearly the same at first,
    and training decides how much the new layer does.

    Args:
        model: A functional model, such as one of `keras.applications`. It stays as it
            is.
        layer: The new layer, as a template. It must keep the shape of its input.
        after: Name of the layer behind which it comes, or several names, each of which
            gets a copy of its own. The copies are called as the layer that they follow,
            and the template's name.

    Returns:
        A new model with the weights of `model`. It is compiled if `model` is, with an
        optimizer that starts anew.

    Raises:
        ValueError: If there is no layer of that name, or the shape is not kept.

    Example:

    >>> backbone = keras.applications.MobileNetV2((32, 32, 3), weights=None, classes=5)
    >>> block = keras_stt.layers.STTBlock(keras_stt.layers.DepthwiseSTT(), name="stt")
    >>> model = keras_stt.surgery.insert_layer(backbone, block, after="block_2_add")
    >>> model.get_layer("block_2_add_stt").output.shape
    (None, 8, 8, 24)
    """
    names = [after] if isinstance(after, str) else [*after]
    followed: set[str] = set()

    def call(original: Layer, copy: Layer, *args: Any, **kwargs: Any) -> Any:
        outputs = copy(*args, **kwargs)
        if original.name not in names:
            return outputs
        followed.add(original.name)
        name = f"{original.name}_{layer.name}"
        new = type(layer).from_config({**layer.get_config(), "name": name})
        changed = new(outputs)
        if getattr(changed, "shape", None) != outputs.shape:
            raise ValueError(
                "`layer` must keep the shape of its input, which later layers expect. "
                f"Received: layer={layer!r}, which makes of {outputs.shape} behind "
                f"{original.name} {getattr(changed, 'shape', changed)}"
            )
        return changed

    if isinstance(model, keras.Sequential):
        raise ValueError(
            "`model` must be a functional model; of a Sequential one, make another "
            f"with the new layer among its `layers`. Received: model={model!r}"
        )
    new_model, copies = copy_model(model, copy_of, call)
    if followed != {*names}:
        raise ValueError(
            "`after` must name layers of the model. Received: "
            f"{', '.join(sorted({*names} - followed))}, not in {model.name}"
        )
    for original, copy in copies:
        copy_weights(original, copy)
    return new_model
