"""Keras's MultiHeadAttention over all positions of a grid."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_stt import ops as stt_ops
from keras_stt.export import export
from keras_stt.layers import KerasAttention
from keras_stt.typing import Shape, Tensor


@export
class SelfAttention(KerasAttention):
    """Full self-attention on a grid: `keras.layers.MultiHeadAttention`, flattened.

    The `N = Π n_m` positions become one sequence, which lets Keras use its fused
    attention where the backend has one; the grid is restored behind it. It costs
    `4·N·C² + 2·N²·C` multiply-adds. Here to be compared with `STT`.

    Args:
        num_heads: Number of heads.
        key_dim: Size of a head. Defaults to the number of channels divided by the
            number of heads.
        dropout: Dropout rate of the attention weights. Defaults to 0.0.
        seed: Seed of the dropout.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, n_1, …, n_M, C)`.
        mask: Optional boolean tensor of shape `(B, n_1, …, n_M)`, `True` for the
            positions that may be attended to.
        use_causal_mask: For inputs of one mode (text): whether position `i` attends to
            positions `≤ i` only. Defaults to `False`.
        return_attention_scores: Whether to return the weights too. Defaults to `False`.
        training: Whether dropout is active.

    Returns:
        output: Tensor of the shape of `inputs`.
        scores: With `return_attention_scores=True`, also the weights, of each position
            to each, `(B, num_heads, n_1, …, n_M, n_1, …, n_M)`.
    """

    call_options = ("mask", "use_causal_mask", "return_attention_scores")

    def build(self, input_shape: Shape) -> None:
        channels = input_shape[-1]
        self.attention = self._attention(channels)
        sequence = (input_shape[0], None, channels)
        self.attention.build(sequence, sequence)

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Tensor:
        _check_order(inputs, use_causal_mask)
        sequence = ops.reshape(inputs, (ops.shape(inputs)[0], -1, inputs.shape[-1]))
        if mask is not None:
            mask = stt_ops.grid_mask(mask, inputs)
            mask = ops.reshape(mask, (ops.shape(mask)[0], 1, -1))
        found = self.attention(
            sequence,
            sequence,
            attention_mask=mask,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )
        if not return_attention_scores:
            return ops.reshape(found, ops.shape(inputs))
        output, scores = found
        _, *sizes, _ = ops.shape(inputs)
        scores = ops.reshape(scores, (*ops.shape(scores)[:2], *sizes, *sizes))
        return ops.reshape(output, ops.shape(inputs)), scores

    def compute_output_spec(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        _check_order(inputs, use_causal_mask)
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        batch, *sizes, _ = inputs.shape
        return output, keras.KerasTensor(
            (batch, self.num_heads, *sizes, *sizes), dtype=self.compute_dtype
        )

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example: `4·N·C² + 2·N²·C` by default."""
        positions = math.prod(input_shape[1:-1])
        return self._multiply_adds(input_shape[-1], positions, positions)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


def _check_order(inputs: Tensor, use_causal_mask: bool) -> None:
    if use_causal_mask and len(inputs.shape) != 3:
        raise ValueError(
            "A causal mask needs an input of shape (B, T, C): a grid has no order. "
            f"Received: inputs.shape={tuple(inputs.shape)}"
        )
