"""PoolFormer's pooling: no weights at all."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.mixers.grid_mixer import GridMixer, grid_shape
from keras_stt.typing import Shape, Tensor


@export
class Pooling(GridMixer):
    """The token mixing of PoolFormer: the mean of a window, less the position itself.

    `Y[i, j] = mean(X[i', j']) - X[i, j]`, over the positions of a window of
    `pool_size × pool_size` around `(i, j)` that lie on the grid.

    The input is subtracted since the block around the mixer adds it. It has no weights,
    and costs `pool_size²` additions per position and channel.

    Args:
        pool_size: Size of the window, an odd number. Defaults to 3.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, H, W, C)`.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If `pool_size` is even, or the input not of rank 4.

    Reference:
        - Yu et al., MetaFormer Is Actually What You Need for Vision, equation 4,
          [arXiv 2111.11418](https://arxiv.org/abs/2111.11418).
    """

    def __init__(self, pool_size: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        pool_size = arguments.positive_integer("pool_size", pool_size)
        # On an even one the backends of Keras do not agree.
        if pool_size % 2 == 0:
            raise ValueError(
                "`pool_size` must be odd, for the window to have a centre. "
                f"Received: pool_size={pool_size}"
            )
        self.pool_size = pool_size

    def build(self, input_shape: Shape) -> None:
        grid_shape(input_shape)  # an error unless it is one

    def call(self, inputs: Tensor) -> Tensor:
        mean = ops.average_pool(
            inputs,
            self.pool_size,
            strides=1,
            padding="same",
            data_format="channels_last",
        )
        return mean - inputs

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the additions for one example: `pool_size²·N·C`."""
        height, width, channels = grid_shape(input_shape)
        return self.pool_size**2 * height * width * channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": self.pool_size}
