"""Attention to a few learned mixtures of the positions."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.mixers.grid_mixer import GridMixer, check_divides, grid_shape
from keras_stt.typing import Shape, Tensor


@export
class LinformerAttention(GridMixer):
    """The attention of Linformer: keys and values of `k` mixtures of the positions.

    On the `N = H·W` positions of a grid, `X` of shape `(B, N, C)`, for each head `a` of
    size `d = C / num_heads`:

    `Y_a = softmax(X W_q (E X W_k)ᵀ / √d) (F X W_v)`, with `E` and `F` of shape
    `(k, N)`, shared by the heads, and `W_q`, `W_k`, `W_v` of shape `(C, d)`; then
    `Y = [Y_1, …] W_o + b_o`.

    `E X` and `F X` come first and `W_k` and `W_v` after: the same numbers, from
    products with `k` rows in place of `N`. It costs `2·N·C² + 2·k·C² + 4·k·N·C`
    multiply-adds. Its weights fit one size of the grid.

    Args:
        num_heads: Number of heads.
        projected: Largest number of positions that keys and values are projected to:
            `k` is the smaller of `projected` and `N`. Defaults to 64.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, H, W, C)`.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If the input is not of rank 4, or not of a known size, or if its
            channels are not a multiple of `num_heads`.

    Reference:
        - Wang et al., Linformer: Self-Attention with Linear Complexity, equation 7,
          with heads that share `E` and `F`,
          [arXiv 2006.04768](https://arxiv.org/abs/2006.04768).
    """

    def __init__(self, num_heads: int, projected: int = 64, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = arguments.positive_integer("num_heads", num_heads)
        self.projected = arguments.positive_integer("projected", projected)

    def build(self, input_shape: Shape) -> None:
        height, width, channels = self._fix_grid(input_shape)
        check_divides("num_heads", self.num_heads, channels)
        positions = height * width
        rows = min(self.projected, positions)
        # E and F in one matrix product, which reads the input once.
        self.project = self._dense("project", positions, 2 * rows, use_bias=False)
        self.query = self._dense("query", channels, channels, use_bias=False)
        self.key = self._dense("key", channels, channels, use_bias=False)
        self.value = self._dense("value", channels, channels, use_bias=False)
        self.output_dense = self._dense("output", channels, channels)

    def call(self, inputs: Tensor) -> Tensor:
        _, height, width, channels = inputs.shape
        x = ops.reshape(inputs, (-1, height * width, channels))
        projected = self._at_positions(self.project, ops.transpose(x, (0, 2, 1)))
        projected = ops.transpose(projected, (0, 2, 1))  # (B, 2k, C)
        for_keys, for_values = ops.split(projected, 2, axis=1)
        x = ops.dot_product_attention(
            self._heads(self._at_positions(self.query, x)),
            self._heads(self._at_positions(self.key, for_keys)),
            self._heads(self._at_positions(self.value, for_values)),
        )
        x = ops.reshape(x, (-1, height * width, channels))
        x = self._at_positions(self.output_dense, x)
        return ops.reshape(x, (-1, height, width, channels))

    def _heads(self, x: Tensor) -> Tensor:
        """From `(B, T, C)` to `(B, T, num_heads, d)`."""
        _, length, channels = x.shape
        shape = (-1, length, self.num_heads, channels // self.num_heads)
        return ops.reshape(x, shape)

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example: `2·(N + k)·C² + 4·k·N·C`."""
        height, width, channels = grid_shape(input_shape)
        positions = height * width
        rows = min(self.projected, positions)
        return 2 * (positions + rows) * channels**2 + 4 * rows * positions * channels

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "projected": self.projected,
        }
