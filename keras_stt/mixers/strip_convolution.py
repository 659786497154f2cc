"""A large depthwise convolution in two strips."""

from __future__ import annotations

from typing import Any

import keras

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.mixers.grid_mixer import GridMixer, grid_shape
from keras_stt.typing import Shape, Tensor


@export
class StripConvolution(GridMixer):
    """A depthwise convolution of rank one: along the columns, then along the rows.

    `Y = (X * k_1) * k_2 + bias` with a kernel of `kernel_size × 1` and one of
    `1 × kernel_size` per channel: `2·kernel_size` multiply-adds per position and
    channel in place of `kernel_size²`. It is the convolution closest to mode products.

    Args:
        kernel_size: Length of the strips. Defaults to 7.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, H, W, C)`.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If the input is not of rank 4.

    Reference:
        - Strips in a row: Guo et al., SegNeXt,
          [arXiv 2209.08575](https://arxiv.org/abs/2209.08575), section 3.1; strips
          side by side: Yu et al., InceptionNeXt,
          [arXiv 2303.16900](https://arxiv.org/abs/2303.16900).
    """

    def __init__(self, kernel_size: int = 7, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_size = arguments.positive_integer("kernel_size", kernel_size)

    def build(self, input_shape: Shape) -> None:
        grid_shape(input_shape)
        self.columns = self._strip("columns", (self.kernel_size, 1), use_bias=False)
        self.rows = self._strip("rows", (1, self.kernel_size))
        self.columns.build(input_shape)
        self.rows.build(input_shape)

    def _strip(
        self, name: str, kernel_size: tuple[int, int], **options: Any
    ) -> keras.layers.DepthwiseConv2D:
        return depthwise_convolution(
            kernel_size, name=name, dtype=self.policy_of(name), **options
        )

    def call(self, inputs: Tensor) -> Tensor:
        return self.rows(self.columns(inputs))

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example: `2·kernel_size·N·C`."""
        height, width, channels = grid_shape(input_shape)
        return 2 * self.kernel_size * height * width * channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": self.kernel_size}


def depthwise_convolution(
    kernel_size: tuple[int, int], **options: Any
) -> keras.layers.DepthwiseConv2D:
    """A depthwise convolution that keeps the grid and, at the start, the variance.

    Args:
        kernel_size: Height and width of the kernel.
        **options: Further arguments of `keras.layers.DepthwiseConv2D`.
    """
    height, width = kernel_size
    return keras.layers.DepthwiseConv2D(
        kernel_size,
        padding="same",
        data_format="channels_last",
        # Keras counts the channels into the fan of a depthwise kernel.
        depthwise_initializer=keras.initializers.RandomNormal(
            stddev=(height * width) ** -0.5
        ),
        **options,
    )
