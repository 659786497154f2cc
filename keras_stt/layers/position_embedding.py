"""A learned embedding of the positions of a grid."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_stt import arguments
from keras_stt.composite import SizedWeight
from keras_stt.export import export
from keras_stt.layers.grid_layer import GridLayer
from keras_stt.typing import Shape, Tensor


@export
class PositionEmbedding(GridLayer):
    """Adds a learned vector to each position of a grid: `Y = X + E`.

    `E` starts as sines and cosines of the coordinates, `sinusoids(E.shape)`: nearby
    positions start out similar, and dot products reveal the offset between positions.

    Args:
        initializer: Initializer of `E`. Defaults to `None`: the sinusoids.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `None`:
            channels last, whatever Keras's global setting.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, n_1, …, n_M, C)`; all sizes but `B` known.

    Returns:
        Tensor of the shape of `inputs`.

    Reference:
        - Vaswani et al., Attention Is All You Need,
          [arXiv 1706.03762](https://arxiv.org/abs/1706.03762), section 3.5, for the
          sinusoids; one axis after the other as in Beyer et al., Better plain ViT
          baselines, [arXiv 2205.01580](https://arxiv.org/abs/2205.01580). The
          wavelengths, and training the embedding from there, are this project's choice.
    """

    def __init__(
        self, initializer: Any = None, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.initializer = None
        if initializer is not None:
            self.initializer = arguments.initializer("initializer", initializer)

    def build(self, input_shape: Shape) -> None:
        arguments.check_input_shape(input_shape, self.data_format)
        if None in input_shape[1:]:
            raise ValueError(
                "All sizes but the batch size must be known: there is one vector per "
                f"position. Received: input_shape={tuple(input_shape)}"
            )
        self._sizes = (None, *input_shape[1:])
        self.embedding = self.add_weight(
            shape=self.channels_last_shape(input_shape)[1:],
            initializer=arguments.fresh(self.initializer) or _sinusoidal,
            name="position_embedding",
        )

    def call(self, inputs: Tensor) -> Tensor:
        outputs = self.channels_last(inputs) + self.embedding
        return self.as_given(outputs, modes=len(outputs.shape) - 2)

    def sized_weights(self) -> list[SizedWeight]:
        shape = self.embedding.shape
        return [SizedWeight(self.embedding, shape, tuple(range(len(shape) - 1)))]

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.initializer)
        return {**super().get_config(), "initializer": initializer}


def sinusoids(shape: Shape) -> npt.NDArray[np.float64]:
    """Sines and cosines of the coordinates of a grid.

    The modes take turns: channel `c` belongs to mode `m = c mod M`. Along a mode, its
    channels are alternately a sine and a cosine of the coordinate. From one such pair
    to the next, wavelengths grow geometrically from 4 to `4·n_m` positions.

    Args:
        shape: `(n_1, …, n_M, C)`.

    Returns:
        Array of that shape; a channel's mean square over whole periods is 1/4.
    """
    *sizes, channels = shape
    grid = np.indices(sizes)
    embedding = np.empty(shape)
    for channel in range(channels):
        index, mode = divmod(channel, len(sizes))
        pair, cosine = divmod(index, 2)
        # The last pair of this mode; a cosine may be missing.
        last = (channels - 1 - mode) // len(sizes) // 2
        wavelength = 4 * sizes[mode] ** (pair / max(1, last))
        wave = np.cos if cosine else np.sin
        embedding[..., channel] = wave(2 * np.pi * grid[mode] / wavelength)
    return embedding / np.sqrt(2)


def _sinusoidal(shape: Shape, dtype: Any = None) -> Tensor:
    """An initializer: `sinusoids` in a variable's dtype."""
    return keras.ops.convert_to_tensor(sinusoids(shape), dtype)
