"""Attention to a small memory that all images share."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_stt import arguments
from keras_stt import ops as stt_ops
from keras_stt.export import export
from keras_stt.mixers.grid_mixer import GridMixer, grid_shape
from keras_stt.typing import Shape, Tensor


@export
class ExternalAttention(GridMixer):
    """The token mixing of EANet: attention to `S` learned memory units.

    On the `N = H·W` positions of a grid, `X` of shape `(B, N, C)`:

    `Q = X W_q`; `A = norm(Q M_kᵀ)`, of shape `(B, N, S)`, with `M_k` of shape `(S, C)`;
    `Y = (A M_v) W_o + b_o`, with `M_v` of shape `(S, C)`.

    `norm` is the paper's double normalisation: `Â = softmax(Q M_kᵀ)` over the
    positions, then `A = Â / Σ_s Â` over the memory units, in float32. That softmax is
    all that mixes positions. It costs `2·N·C² + 2·N·S·C` multiply-adds.

    Args:
        memory_dim: Number of memory units, `S`. Defaults to 64.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, H, W, C)`.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If the input is not of rank 4.

    Reference:
        - Guo et al., Beyond Self-attention: External Attention using Two Linear Layers
          for Visual Tasks, equations 5 to 9,
          [arXiv 2105.02358](https://arxiv.org/abs/2105.02358).
    """

    def __init__(self, memory_dim: int = 64, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.memory_dim = arguments.positive_integer("memory_dim", memory_dim)

    def build(self, input_shape: Shape) -> None:
        _, _, channels = grid_shape(input_shape)
        units = self.memory_dim
        # No bias: it would be the same at all positions, and the softmax blind to it.
        self.query = self._dense("query", channels, channels, use_bias=False)
        self.memory_key = self._dense("memory_key", channels, units, use_bias=False)
        self.memory_value = self._dense("memory_value", units, channels, use_bias=False)
        self.output_dense = self._dense("output", channels, channels)

    def call(self, inputs: Tensor) -> Tensor:
        sizes = ops.shape(inputs)
        x = ops.reshape(inputs, (sizes[0], -1, inputs.shape[-1]))
        query = self._at_positions(self.query, x)
        logits = self._at_positions(self.memory_key, query)  # (B, N, S)
        weights = ops.softmax(stt_ops.finite(logits), axis=1)
        # As the authors do: a position that no unit attends to is not divided by zero.
        weights = weights / (ops.sum(weights, axis=-1, keepdims=True) + 1e-9)
        weights = ops.cast(weights, self.compute_dtype)
        x = self._at_positions(self.memory_value, weights)
        x = self._at_positions(self.output_dense, x)
        return ops.reshape(x, sizes)

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example: `2·N·C² + 2·N·S·C`."""
        height, width, channels = grid_shape(input_shape)
        return 2 * height * width * channels * (channels + self.memory_dim)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "memory_dim": self.memory_dim}
