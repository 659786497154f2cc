"""Checks and conversion of the units of images, wherever they enter a model."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_stt import arguments
from keras_stt.composite import keep_frozen, uncompiled
from keras_stt.export import export
from keras_stt.typing import Shape, Tensor

#: The largest float that passes for a pixel: noise and overshoot may exceed 1.
LARGEST = 2.0


@export
class PixelRange(keras.layers.Layer):
    """Passes on float images in [0, 1]; images in another unit become NaN.

    A compiled program cannot raise an error, and NaN is not mistaken for a result. An
    image counts as being in another unit if one of its values is above 2 or below -2.

    Input shape:
        `(B, height, width, channels)`, floats.

    Output shape:
        The same.

    Example:

    >>> images = np.array([0.5, 200.0]).reshape((2, 1, 1, 1))
    >>> np.isnan(np.ravel(keras_stt.models.PixelRange()(images))).tolist()
    [False, True]
    """

    def call(self, images: Tensor) -> Tensor:
        largest = ops.max(ops.abs(images), axis=(1, 2, 3), keepdims=True)
        return ops.where(largest > LARGEST, math.nan, images)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        # Defined, since Keras makes up none for a layer with a dtype policy.
        return super().get_config()


class CheckedInputs:
    """Has a model check its inputs wherever they enter, before anything is traced."""

    def check_inputs(self, name: str, inputs: Any) -> None:
        """Raises a `ValueError` for inputs that do not fit.

        Args:
            name: Name of the argument that holds them.
            inputs: The inputs.
        """
        for images in keras.tree.flatten(inputs):
            if getattr(images, "ndim", 0) == 4:
                check_units(name, images)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Checks the inputs, and calls the model."""
        self.check_inputs("inputs", args[0] if args else kwargs.get("inputs"))
        return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Checks the inputs, and trains as `keras.Model.fit`."""
        self.check_inputs("x", x)
        check = _FirstLoss()
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [*keras.tree.flatten(callbacks or []), check]
        try:
            return super().fit(  # type: ignore[misc]
                x, y, batch_size, epochs, verbose, callbacks, *args, **kwargs
            )
        except ValueError:
            check.restore()
            raise

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


class _FirstLoss(keras.callbacks.Callback):
    """Stops the first training of a model if its first loss is NaN.

    Images in another unit cause this. In a model that has been trained before, the loss
    may be NaN because training diverged.
    """

    #: Keras need not wait for it after every batch.
    async_safe = True

    def __init__(self) -> None:
        super().__init__()
        self._before: list[tuple[keras.Variable, np.ndarray]] = []
        self._failed = False
        self._steps = 1

    def on_train_begin(self, logs: Any = None) -> None:
        """Keeps the state of a model that has not been trained yet."""
        # Only here: on JAX, `self.model` waits for the state of the training.
        optimizer, self._steps = self.model.optimizer, self.model.steps_per_execution
        if optimizer is not None and not optimizer.iterations.numpy():
            self._before = [
                (variable, variable.numpy())
                for variable in (*self.model.variables, *optimizer.variables)
            ]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks at the loss of the first batch."""
        # Keras may call this for several batches at a time, of which one is the first.
        if batch >= self._steps:
            return
        self._failed = bool(self._before) and math.isnan((logs or {}).get("loss", 0.0))
        if self._failed:
            raise ValueError(
                "The images must be floats in [0, 1] or integers in 0 … 255. Received: "
                "data whose first loss is NaN, as it is for images with values above "
                f"{LARGEST:g}. If they are in 0 … 255, divide them by 255, with "
                "`keras.layers.Rescaling(1 / 255)` for example"
            )
        self._before = []

    def restore(self) -> None:
        """Undoes the first step, after the error: its gradients were NaN."""
        if self._failed:
            for variable, value in self._before:
                variable.assign(value)


@export
class ImageModel(CheckedInputs, keras.Model):
    """A functional model that takes images as integers or floats, and scales integers.

    Integer images must be in 0 … 255, and are divided by 255; float images must be in
    [0, 1]. This rule applies to every call, including `fit`, `evaluate` and `predict`.
    A NumPy array raises an error if its first images have floats beyond ±2 or integers
    above 255. If such values come from elsewhere (a data set, another model around this
    one), the outputs for that image are NaN. If they are in the first batch of a
    model's first `fit`, it stops with an error and leaves the model unchanged.

    A submodel follows the same rule if it is made with this class as well; a plain
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
            _, *sizes, channels = self.input_shape
            shape = getattr(inputs, "shape", None)
            if getattr(shape, "rank", 0) is None:
                return  # TensorFlow knows it later
            # Of one channel, Keras adds the axis.
            ranks = (3, 4) if channels == 1 else (4,)
            if shape is not None and (
                len(shape) not in ranks or shape[3:] not in ((), (None,), (channels,))
            ):
                raise ValueError(
                    f"`{name}` must be images of shape (B, height, width, {channels})."
                    f" Received: {name}.shape={tuple(shape)}"
                )
            arguments.check_sizes(name, inputs, (None, *sizes, None), self.name)

    def get_config(self) -> dict[str, Any]:
        """Returns the config, without the compile settings of nested models."""
        with uncompiled(self):
            return super().get_config()

    @classmethod
    def from_config(cls, config: dict[str, Any], **kwargs: Any) -> ImageModel:
        """Makes the model from a config; frozen layers stay frozen."""
        model = super().from_config(config, **kwargs)
        keep_frozen(model)
        return model

    def call(self, inputs: Tensor, training: Any = None, mask: Any = None) -> Tensor:
        """Calls the network with images in [0, 1]."""
        if any(each is not None for each in keras.tree.flatten(mask)):
            raise ValueError(
                "`mask` has no meaning for a model of images, whose stem mixes pixels: "
                "leave it out, or mask the grid in a model built from your own blocks. "
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


def check_units(name: str, images: Any, count: int | None = 64) -> None:
    """Raises a `ValueError` for floats beyond ±2 and integers beyond ±255.

    Only NumPy arrays are checked: the values of a tensor may not be known yet, and
    waiting for them would slow training down.

    Args:
        name: Name of the argument, for the error.
        images: Images, or anything else.
        count: How many images to check, since an array may be a large file; `None` for
            all.
    """
    if not isinstance(images, np.ndarray) or images.dtype.kind not in "fiu":
        return
    largest = np.abs(images[:count]).max(initial=0)
    if largest > (LARGEST if images.dtype.kind == "f" else 255):
        raise ValueError(
            f"`{name}` must hold float images in [0, 1] or integer images in 0 … 255. "
            f"Received: {images.dtype} with values up to {largest:g}"
        )
