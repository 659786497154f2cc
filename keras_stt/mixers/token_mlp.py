"""MLP-Mixer's MLP along the positions."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.mixers.grid_mixer import GridMixer, grid_shape
from keras_stt.portable import portable_activation
from keras_stt.typing import Shape, Tensor


@export
class TokenMLP(GridMixer):
    """The token mixing of MLP-Mixer: an MLP along the positions of a grid.

    The `N = H·W` positions become one axis, along which all channels go through the
    same MLP:

    `Y = W_2 gelu(W_1 X + b_1) + b_2`, with `X` of shape `(B, N, C)`, `W_1` of shape
    `(D, N)`, `W_2` of shape `(N, D)`, and biases along the positions.

    It costs `2·N·D·C` multiply-adds. Its weights fit one size of the grid.

    Args:
        hidden_dim: Size of the hidden layer, `D`. Defaults to `None`: half of the
            number of channels, the ratio in all models of the paper.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, H, W, C)`.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If the input is not of rank 4, or not of a known size.

    Reference:
        - Tolstikhin et al., MLP-Mixer: An all-MLP Architecture for Vision, equation 1,
          [arXiv 2105.01601](https://arxiv.org/abs/2105.01601).
    """

    def __init__(self, hidden_dim: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = arguments.optional_positive_integer("hidden_dim", hidden_dim)

    def build(self, input_shape: Shape) -> None:
        height, width, channels = self._fix_grid(input_shape)
        positions = height * width
        hidden_dim = self.hidden_dim or channels // 2
        gelu = portable_activation("gelu")
        self.hidden = self._dense("hidden", positions, hidden_dim, activation=gelu)
        self.output_dense = self._dense("output", hidden_dim, positions)

    def call(self, inputs: Tensor) -> Tensor:
        _, height, width, channels = inputs.shape
        x = ops.reshape(inputs, (-1, height * width, channels))
        # Transposed once for both layers, not by each of them.
        x = ops.transpose(x, (0, 2, 1))  # (B, C, N)
        x = self._at_positions(self.hidden, x)
        x = self._at_positions(self.output_dense, x)
        x = ops.transpose(x, (0, 2, 1))  # (B, N, C)
        return ops.reshape(x, (-1, height, width, channels))

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example: `2·N·D·C`."""
        height, width, channels = grid_shape(input_shape)
        hidden_dim = self.hidden_dim or channels // 2
        return 2 * height * width * hidden_dim * channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden_dim": self.hidden_dim}
