"""Keras's MultiHeadAttention from a text to all positions of a grid."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.layers.context_reader import ContextReader
from keras_stt.layers.keras_attention import KerasAttention
from keras_stt.typing import Shape, Tensor


@export
class CrossAttention(ContextReader, KerasAttention):
    """Cross-attention to a grid: `keras.layers.MultiHeadAttention`, flattened.

    Each position of the text compares its query with the keys of all `N = Π n_m`
    positions of the grid. This is the baseline for `STTCrossAttention`.

    Args:
        num_heads: Number of heads.
        key_dim: Size of a head. Defaults to the number of channels divided by the
            number of heads.
        dropout: Dropout rate of the attention weights. Defaults to 0.0.
        seed: Seed of the dropout.
        data_format: `"channels_last"` or `"channels_first"`, of the grid. Defaults to
            `None`: channels last, whatever Keras's global setting.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, T, C)`: the text.
        context: Tensor of shape `(B, n_1, …, n_M, C')`: the grid.
        context_mask: Optional boolean tensor of shape `(B, n_1, …, n_M)`, `True` for
            the positions that may be attended to. An implicit Keras mask of the
            context is used where none is given.
        inputs_mask: Optional boolean tensor of shape `(B, T)` of the text, whose
            masked positions are set to 0. Keras passes the implicit mask here.
        return_attention_scores: Whether to return the weights too. Defaults to `False`.
        training: Whether dropout is active.

    Returns:
        output: Tensor of the shape of `inputs`.
        scores: With `return_attention_scores=True`, also the weights of the grid's
            positions, `(B, num_heads, T, n_1, …, n_M)`.
    """

    def build(self, inputs_shape: Shape, context_shape: Shape) -> None:
        self._check_shapes(inputs_shape, context_shape)
        batch, *_, channels = self.channels_last_shape(context_shape)
        self.attention = self._attention(inputs_shape, (batch, None, channels))

    def call(
        self,
        inputs: Tensor,
        context: Tensor,
        context_mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Tensor:
        arguments.flags(return_attention_scores=return_attention_scores)
        inputs, context, context_mask = self._prepared(
            inputs, context, inputs_mask, context_mask
        )
        batch, *sizes, channels = ops.shape(context)
        positions = math.prod(sizes)
        if context_mask is not None:
            context_mask = ops.reshape(context_mask, (batch, 1, positions))
        output = self.attention(
            inputs,
            ops.reshape(context, (batch, positions, channels)),
            attention_mask=context_mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )
        if not return_attention_scores:
            return output
        output, scores = output
        return output, ops.reshape(scores, (*ops.shape(scores)[:3], *sizes))

    def compute_output_spec(
        self,
        inputs: Tensor,
        context: Tensor,
        context_mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        arguments.flags(return_attention_scores=return_attention_scores)
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        shape = (*inputs.shape[:1], self.num_heads, inputs.shape[1])
        return output, keras.KerasTensor(
            (*shape, *self.channels_last_shape(context.shape)[1:-1]),
            dtype=self.compute_dtype,
        )
