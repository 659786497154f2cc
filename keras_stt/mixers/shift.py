"""Shifts of the channels: mixing without weights and without multiply-adds."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.mixers.grid_mixer import GridMixer, grid_shape
from keras_stt.typing import Shape, Tensor


@export
class Shift(GridMixer):
    """A shift of every group of channels by one offset of a window.

    `Y[i, j, c] = X[i + Δ_c, j + Δ'_c, c]`, where the `window²` groups of neighbouring
    channels go through the offsets of a window. Zeros come in from outside the grid.
    Channels left over after the division into groups are not shifted. With fewer
    channels than offsets, each channel is a group, and the last offsets are not used.

    It has no weights and no multiply-adds.

    Args:
        window: Size of the window, an odd number. Defaults to 3.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, H, W, C)`.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If `window` is even, or the input not of rank 4.

    Reference:
        - Wu et al., Shift: A Zero FLOP, Zero Parameter Alternative to Spatial
          Convolutions, [arXiv 1711.08141](https://arxiv.org/abs/1711.08141).
    """

    def __init__(self, window: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        window = arguments.positive_integer("window", window)
        if window % 2 == 0:
            raise ValueError(
                "`window` must be odd, for the window to have a centre. "
                f"Received: window={window}"
            )
        self.window = window

    def build(self, input_shape: Shape) -> None:
        grid_shape(input_shape)  # an error unless it is one

    def call(self, inputs: Tensor) -> Tensor:
        _, height, width, channels = ops.shape(inputs)
        reach, size = self.window // 2, max(1, channels // self.window**2)
        around = (reach, reach)
        padded = ops.pad(inputs, ((0, 0), around, around, (0, 0)))
        groups = [
            padded[:, i : i + height, j : j + width, start : start + size]
            for start, (i, j) in zip(
                range(0, channels, size),
                [(i, j) for i in range(self.window) for j in range(self.window)],
                strict=False,
            )
        ]
        rest = inputs[..., size * self.window**2 :]
        return ops.concatenate([*groups, rest], axis=-1)

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example: none."""
        return 0

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window}
