"""DynaMixer's mixing of rows and columns by generated matrices."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_stt import arguments
from keras_stt import ops as stt_ops
from keras_stt.export import export
from keras_stt.mixers.grid_mixer import GridMixer, check_divides, grid_shape
from keras_stt.typing import Shape, Tensor

# Per direction, rows and columns: a line's positions behind its segments, and the
# product of its matrices with its values.
LINES_FIRST = ((0, 1, 3, 2, 4), (0, 2, 3, 1, 4))
PRODUCTS = ("bhsij,bhjsd->bhisd", "bwsij,bjwsd->biwsd")


@export
class DynamicMixing(GridMixer):
    """The token mixing of DynaMixer: each line generates the matrix that mixes it.

    The channels fall into `S` segments. In each row, `x` of shape `(W, C)`, and for
    each segment `s`:

    `P_s = softmax(flatten(x R_s + r_s) G + g)`, with `R_s` of shape `(C, r)`, and `G`
    of shape `(W·r, W²)`, shared by the segments: a matrix of shape `(W, W)` whose rows
    sum to 1; `y_s = P_s (x V_s + v_s)`, with `V_s` of shape `(C, C / S)`.

    The same happens in each column, with weights of its own. With the `y_s` side by
    side, the output is `(Y_rows + Y_columns + X U + u) O + o`. (The authors' code has
    the dense layer of `V` after the product with `P`, at the same cost.) It costs
    `4·N·C² + 2·N·C·S·r + S·r·(H·W³ + W·H³) + N·C·(H + W)` multiply-adds for `N = H·W`
    positions. Its weights fit one size of the grid.

    Args:
        segments: Number of segments, `S`. Defaults to 8.
        hidden_dim: Features per position and segment, from which the matrices are
            generated, `r`. Defaults to 2.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, H, W, C)`.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If the input is not of rank 4, or not of a known size, or if its
            channels are not a multiple of `segments`.

    Reference:
        - Wang et al., DynaMixer: A Vision MLP Architecture with Dynamic Mixing,
          section 3, with the sum for the fusion of the three,
          [arXiv 2201.12083](https://arxiv.org/abs/2201.12083).
    """

    def __init__(self, segments: int = 8, hidden_dim: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.segments = arguments.positive_integer("segments", segments)
        self.hidden_dim = arguments.positive_integer("hidden_dim", hidden_dim)

    def build(self, input_shape: Shape) -> None:
        height, width, channels = self._fix_grid(input_shape)
        check_divides("segments", self.segments, channels)
        features = self.segments * self.hidden_dim
        self.reduce, self.generate, self.value = [], [], []
        for lines, size in (("rows", width), ("columns", height)):
            line = size * self.hidden_dim
            self.reduce.append(self._dense(f"reduce_{lines}", channels, features))
            self.generate.append(self._dense(f"generate_{lines}", line, size**2))
            self.value.append(self._dense(f"value_{lines}", channels, channels))
        self.channel = self._dense("channel", channels, channels)
        self.output_dense = self._dense("output", channels, channels)

    def call(self, inputs: Tensor) -> Tensor:
        mixed = self._at_positions(self.channel, inputs)
        for direction in range(2):
            mixed = mixed + self._mix_lines(inputs, direction)
        return self._at_positions(self.output_dense, mixed)

    def _mix_lines(self, inputs: Tensor, direction: int) -> Tensor:
        """The rows (0) or the columns (1), mixed: `(B, H, W, C)`."""
        _, height, width, channels = inputs.shape
        lines, size = ((height, width), (width, height))[direction]
        grid = (-1, height, width, self.segments)
        x = self._at_positions(self.reduce[direction], inputs)
        x = ops.reshape(x, (*grid, self.hidden_dim))
        x = ops.transpose(x, LINES_FIRST[direction])  # (B, lines, S, size, r)
        x = ops.reshape(x, (-1, lines, self.segments, size * self.hidden_dim))
        logits = self._at_positions(self.generate[direction], x)
        logits = ops.reshape(logits, (-1, lines, self.segments, size, size))
        weights = ops.cast(stt_ops.masked_softmax(logits), self.compute_dtype)
        value = self._at_positions(self.value[direction], inputs)
        value = ops.reshape(value, (*grid, channels // self.segments))
        mixed = ops.einsum(PRODUCTS[direction], weights, value)
        return ops.reshape(mixed, (-1, height, width, channels))

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example.

        The dense layers, the features of the positions, the matrices of the lines, and
        the products with them.
        """
        height, width, channels = grid_shape(input_shape)
        positions, features = height * width, self.segments * self.hidden_dim
        dense = 4 * positions * channels**2 + 2 * positions * channels * features
        matrices = positions * features * (height**2 + width**2)
        return dense + matrices + positions * channels * (height + width)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "segments": self.segments,
            "hidden_dim": self.hidden_dim,
        }
