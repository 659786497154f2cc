"""gMLP's gating of channels by a projection along the positions."""

from __future__ import annotations

import keras
from keras import ops

from keras_stt.export import export
from keras_stt.mixers.grid_mixer import GridMixer, grid_shape
from keras_stt.portable import LayerNormalization, portable_activation
from keras_stt.typing import Shape, Tensor


@export
class SpatialGating(GridMixer):
    """The token mixing of gMLP: half of the channels, mixed, gate the other half.

    On the `N = H·W` positions of a grid, `X` of shape `(B, N, C)`:

    `[U, V] = gelu(X P + p)`, with `P` of shape `(C, 2·C)`, and `U`, `V` of shape
    `(B, N, C)`; `V' = S norm(V) + s`, with `S` of shape `(N, N)`, shared by the
    channels, and `s` along the positions; `Y = (U ⊙ V') Q + q`, with `Q` of shape
    `(C, C)`.

    `S` starts near zero and `s` at one, so that at first nothing is mixed nor gated. It
    costs `3·N·C² + N²·C` multiply-adds. Its weights fit one size of the grid.

    Args:
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, H, W, C)`.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If the input is not of rank 4, or not of a known size.

    Reference:
        - Liu et al., Pay Attention to MLPs, equations 1, 2 and 4,
          [arXiv 2105.08050](https://arxiv.org/abs/2105.08050).
    """

    def build(self, input_shape: Shape) -> None:
        height, width, channels = self._fix_grid(input_shape)
        positions = height * width
        # Two layers for U and V, not one that is split: no copies of the halves.
        gelu = portable_activation("gelu")
        self.gated = self._dense("gated", channels, channels, activation=gelu)
        self.gate = self._dense("gate", channels, channels, activation=gelu)
        self.norm = LayerNormalization(
            epsilon=1e-6, dtype=self.policy_of("norm"), name="norm"
        )
        self.norm.build((None, None, channels))
        self.spatial = self._dense(
            "spatial",
            positions,
            positions,
            kernel_initializer=keras.initializers.RandomNormal(stddev=1e-6),
            bias_initializer="ones",
        )
        self.output_dense = self._dense("output", channels, channels)

    def call(self, inputs: Tensor) -> Tensor:
        _, height, width, channels = inputs.shape
        x = ops.reshape(inputs, (-1, height * width, channels))
        gate = self.norm(self._at_positions(self.gate, x))
        gate = ops.transpose(gate, (0, 2, 1))  # (B, C, N)
        gate = self._at_positions(self.spatial, gate)
        gate = ops.transpose(gate, (0, 2, 1))  # (B, N, C)
        x = self._at_positions(self.gated, x) * gate
        x = self._at_positions(self.output_dense, x)
        return ops.reshape(x, (-1, height, width, channels))

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example: `3·N·C² + N²·C`."""
        height, width, channels = grid_shape(input_shape)
        positions = height * width
        return 3 * positions * channels**2 + positions**2 * channels
