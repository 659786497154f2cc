"""One rule for the units of images, at every entry of a model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_stt import arguments
from keras_stt.composite import keep_frozen, uncompiled
from keras_stt.export import export
from keras_stt.typing import Tensor

#: The largest float that passes for a pixel: noise and overshoot may exceed 1.
LARGEST = 2.0


class CheckedInputs:
    """Has a model check its inputs wherever they enter, before anything is traced."""

    def check_inputs(self, name: str, inputs: Any) -> None:
        """Raises a `ValueError` for inputs that do not fit.

        Args:
            name: Name of the argument that holds them.
            inputs: The inputs.
        """
        check_units(name, inputs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Checks the inputs, and calls the model."""
        self.check_inputs("inputs", args[0] if args else kwargs.get("inputs"))
        return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Checks the inputs, and trains as `keras.Model.fit`."""
        self.check_inputs("x", x)
        return super().fit(x, *args, **kwargs)  # type: ignore[misc]

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Checks the inputs, and evaluates as `keras.Model.evaluate`."""
        self.check_inputs("x", x)
        return super().evaluate(x, *args, **kwargs)  # type: ignore[misc]

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Checks the inputs, and predicts as `keras.Model.predict`."""
        self.check_inputs("x", x)
        return super().predict(x, *args, **kwargs)  # type: ignore[misc]

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Checks the inputs, and trains as `keras.Model.train_on_batch`."""
        self.check_inputs("x", x)
        return super().train_on_batch(x, *args, **kwargs)  # type: ignore[misc]

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Checks the inputs, and evaluates as `keras.Model.test_on_batch`."""
        self.check_inputs("x", x)
        return super().test_on_batch(x, *args, **kwargs)  # type: ignore[misc]

    def predict_on_batch(self, x: Any) -> Any:
        """Checks the inputs, and predicts as `keras.Model.predict_on_batch`."""
        self.check_inputs("x", x)
        return super().predict_on_batch(x)  # type: ignore[misc]


@export
class ImageModel(CheckedInputs, keras.Model):
    """A functional model of images, which knows the units of integers and floats.

    Integer images are in 0 … 255, and are divided by 255; float images are in [0, 1].
    The rule acts on what the model is called with, in `fit`, `evaluate` and `predict`
    too. Of NumPy arrays of floats, the first images are checked.

    A part of such a model keeps the rule if it is made by this class as well; a plain
    `keras.Model` casts integers to floats without scaling them.

    Example:

    >>> model = keras_stt.models.image_classifier((32, 32, 3), 10, depth=1)
    >>> features = keras_stt.models.ImageModel(
    ...     model.input, model.get_layer("norm").output
    ... )
    >>> features(np.zeros((1, 32, 32, 3), "uint8")).shape[1:]
    (8, 8, 64)
    """

    def check_inputs(self, name: str, inputs: Any) -> None:
        """Raises a `ValueError` for inputs that do not fit.

        Args:
            name: Name of the argument that holds them.
            inputs: The inputs.
        """
        super().check_inputs(name, inputs)
        if isinstance(self.input_shape, tuple) and len(self.input_shape) == 4:
            sizes = (None, *self.input_shape[1:3], None)
            arguments.check_sizes(name, inputs, sizes, self.name)

    def get_config(self) -> dict[str, Any]:
        """The config, without how models in the model are compiled."""
        with uncompiled(self):
            return super().get_config()

    @classmethod
    def from_config(cls, config: dict[str, Any], **kwargs: Any) -> ImageModel:
        """Makes the model; what is frozen of it stays so."""
        model = super().from_config(config, **kwargs)
        keep_frozen(model)
        return model

    def call(self, inputs: Tensor, training: Any = None, mask: Any = None) -> Tensor:
        """Calls the network with images in [0, 1]."""
        if any(each is not None for each in keras.tree.flatten(mask)):
            raise ValueError(
                "`mask` has no meaning for a model of images, whose stem mixes pixels: "
                "mask the grid, in a model of your own blocks, or leave it out. "
                f"Received: mask={mask}"
            )
        inputs = keras.tree.map_structure(in_unit_range, inputs)
        return super().call(inputs, training=training, mask=mask)


def in_unit_range(images: Tensor) -> Tensor:
    """Images as floats in [0, 1]: integers are divided by 255."""
    images = ops.convert_to_tensor(images)
    if not keras.backend.is_int_dtype(images.dtype):
        return images
    return ops.cast(images, "float32") / 255


def check_units(name: str, images: Any) -> None:
    """Raises a `ValueError` for floats outside [0, 1] and integers above 255.

    Only NumPy arrays are looked at, and of them the first images: a tensor may not be
    known yet, and to wait for one would slow training down.

    Args:
        name: Name of the argument, for the error.
        images: Images, or anything else.
    """
    if not isinstance(images, np.ndarray) or images.dtype.kind not in "fiu":
        return
    largest = np.abs(images[:64]).max(initial=0)
    if largest > (LARGEST if images.dtype.kind == "f" else 255):
        raise ValueError(
            f"`{name}` must hold float images in [0, 1] or integer images in 0 … 255. "
            f"Received: {images.dtype} with values up to {largest:g}"
        )
