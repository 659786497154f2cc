"""What the token mixers of two-dimensional grids have in common."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_stt import arguments
from keras_stt.composite import Composite
from keras_stt.export import export
from keras_stt.typing import Shape, Tensor


@export
class GridMixer(Composite):
    """A layer from a grid `(B, H, W, C)` to a grid of the same shape.

    Args:
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.
    """

    def _fix_grid(self, input_shape: Shape) -> tuple[int, int, int]:
        """The `(H, W, C)` that weights depend on; other grids are errors from then on.

        A grid with as many positions in another shape would otherwise be mixed as if
        its positions were those of this one.
        """
        height, width, channels = grid_shape(input_shape)
        if None in (height, width):
            raise ValueError(
                f"The weights of {type(self).__name__} depend on the size of the grid, "
                "which must be known: an input of shape (B, H, W, C). "
                f"Received: input_shape={tuple(input_shape)}"
            )
        axes = {1: height, 2: width, -1: channels}
        self.input_spec = keras.layers.InputSpec(ndim=4, axes=axes)
        return height, width, channels

    def _dense(
        self, name: str, size: int, units: int, **options: Any
    ) -> keras.layers.Dense:
        """A dense layer of the mixer, built for inputs with `size` channels."""
        dense = keras.layers.Dense(
            units, dtype=self.policy_of(name), name=name, **options
        )
        dense.build((None, size))
        return dense

    def _at_positions(self, dense: keras.layers.Dense, tensor: Tensor) -> Tensor:
        """A dense layer at every position, as one matrix (see `STT.call`)."""
        *outer, size = ops.shape(tensor)
        rows = dense(ops.reshape(tensor, (-1, size)))
        return ops.reshape(rows, (*outer, dense.units))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        # Without a method here, Keras would take all arguments of `Layer` for those of
        # a mixer that has none of its own.
        return super().get_config()


def grid_shape(input_shape: Shape) -> tuple[Any, Any, Any]:
    """Height, width and channels of a grid's shape.

    Args:
        input_shape: The shape `(B, H, W, C)`.

    Returns:
        `(H, W, C)`; `None` for a size that is not known.

    Raises:
        ValueError: If the shape is not of rank 4, or has an axis of size 0.
    """
    if len(input_shape) != 4:
        raise ValueError(
            "The input must be a grid of two modes, of shape (B, H, W, C). "
            f"Received: input_shape={tuple(input_shape)}"
        )
    arguments.check_input_shape(input_shape)
    _, height, width, channels = input_shape
    return height, width, channels


def check_divides(name: str, parts: int, channels: int) -> None:
    """Raises a `ValueError` unless the channels fall into equal parts.

    Args:
        name: Name of the argument that says how many parts.
        parts: The number of parts.
        channels: The number of channels.
    """
    if channels % parts:
        raise ValueError(
            f"The number of channels must be a multiple of {name}={parts}. "
            f"Received: {channels} channels"
        )
