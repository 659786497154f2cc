"""Keras's MultiHeadAttention from a text to all positions of a grid."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_stt.export import export
from keras_stt.layers.keras_attention import KerasAttention
from keras_stt.typing import Shape, Tensor


@export
class CrossAttention(KerasAttention):
    """Cross-attention to a grid: `keras.layers.MultiHeadAttention`, flattened.

    Each position of the text compares its query with the keys of all `N = Π n_m`
    positions of the grid. The reference for `STTCrossAttention`.

    Args:
        num_heads: Number of heads.
        key_dim: Size of a head. Defaults to the number of channels divided by the
            number of heads.
        dropout: Dropout rate of the attention weights. Defaults to 0.0.
        seed: Seed of the dropout.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, T, C)`: the text.
        context: Tensor of shape `(B, n_1, …, n_M, C')`: the grid.
        return_attention_scores: Whether to return the weights too. Defaults to `False`.
        training: Whether dropout is active.

    Returns:
        output: Tensor of the shape of `inputs`.
        scores: With `return_attention_scores=True`, also the weights of the grid's
            positions, `(B, num_heads, T, n_1, …, n_M)`.
    """

    call_options = ("return_attention_scores",)

    def build(self, inputs_shape: Shape, context_shape: Shape) -> None:
        self.attention = self._attention(inputs_shape[-1])
        self.attention.build(inputs_shape, (context_shape[0], None, context_shape[-1]))

    def call(
        self,
        inputs: Tensor,
        context: Tensor,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Tensor:
        batch, *sizes, channels = ops.shape(context)
        sequence = ops.reshape(context, (batch, -1, channels))
        if not return_attention_scores:
            return self.attention(inputs, sequence, training=training)
        output, scores = self.attention(
            inputs, sequence, return_attention_scores=True, training=training
        )
        return output, ops.reshape(scores, (*ops.shape(scores)[:3], *sizes))

    def compute_output_spec(
        self,
        inputs: Tensor,
        context: Tensor,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        shape = (*inputs.shape[:1], self.num_heads, inputs.shape[1])
        return output, keras.KerasTensor(
            (*shape, *context.shape[1:-1]), dtype=self.compute_dtype
        )

    def compute_output_shape(self, inputs_shape: Shape, context_shape: Shape) -> Shape:
        return inputs_shape
