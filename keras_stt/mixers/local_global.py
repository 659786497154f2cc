"""The simplest mixer that sees both near and far: a convolution and a mean."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_stt import arguments
from keras_stt import ops as stt_ops
from keras_stt.export import export
from keras_stt.mixers.grid_mixer import GridMixer, grid_shape
from keras_stt.mixers.strip_convolution import depthwise_convolution
from keras_stt.typing import Shape, Tensor


@export
class LocalGlobal(GridMixer):
    """A small depthwise convolution, and the mean of the whole grid.

    `Y_c = X_c * k_c + bias_c + s_c · mean(X_c)`. This is the baseline that any mixer
    for both local and global structure must beat.

    Args:
        kernel_size: Size of the convolution's kernel. Defaults to 3.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, H, W, C)`.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If the input is not of rank 4.
    """

    def __init__(self, kernel_size: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_size = arguments.positive_integer("kernel_size", kernel_size)

    def build(self, input_shape: Shape) -> None:
        *_, channels = grid_shape(input_shape)
        self.convolution = depthwise_convolution(
            (self.kernel_size, self.kernel_size),
            name="convolution",
            dtype=self.policy_of("convolution"),
        )
        self.convolution.build(input_shape)
        self.scale = self.add_weight(
            shape=(channels,), initializer="ones", name="scale"
        )

    def call(self, inputs: Tensor) -> Tensor:
        mean = stt_ops.masked_mean(inputs, (1, 2))
        return self.convolution(inputs) + ops.expand_dims(self.scale * mean, (1, 2))

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example: `kernel_size²·N·C`."""
        height, width, channels = grid_shape(input_shape)
        return self.kernel_size**2 * height * width * channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": self.kernel_size}
