"""Keras's MultiHeadAttention over all positions of a grid."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_stt import arguments
from keras_stt import ops as stt_ops
from keras_stt.export import export
from keras_stt.layers import KerasAttention
from keras_stt.typing import Shape, Tensor


@export
class SelfAttention(KerasAttention):
    """Full self-attention on a grid: `keras.layers.MultiHeadAttention`, flattened.

    The `N = Π n_m` positions become one sequence, which lets Keras use its fused
    attention where the backend has one; the grid is restored afterwards. It costs
    `4·N·C² + 2·N²·C` multiply-adds. This is the baseline for `STT`.

    Args:
        num_heads: Number of heads.
        key_dim: Size of a head. Defaults to the number of channels divided by the
            number of heads.
        dropout: Dropout rate of the attention weights. Defaults to 0.0.
        seed: Seed of the dropout.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `None`:
            channels last, whatever Keras's global setting.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, n_1, …, n_M, C)`.
        mask: Optional boolean tensor of shape `(B, n_1, …, n_M)`, `True` for the
            positions that may be attended to. An implicit Keras mask is used where
            none is given.
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
        arguments.check_input_shape(input_shape, self.data_format)
        batch, *_, channels = self.channels_last_shape(input_shape)
        sequence = (batch, None, channels)
        self.attention = self._attention(sequence, sequence)

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Tensor:
        _check_call(inputs, use_causal_mask, return_attention_scores)
        inputs = self.channels_last(inputs)
        batch, *sizes, channels = ops.shape(inputs)
        positions = math.prod(sizes)
        if mask is not None:
            mask = stt_ops.grid_mask(mask, inputs)
            # This also drops the implicit mask, which an explicit one replaces.
            inputs = stt_ops.zero_masked(inputs, mask)
            mask = ops.reshape(mask, (batch, 1, positions))
        sequence = ops.reshape(inputs, (batch, positions, channels))
        output = self.attention(
            sequence,
            sequence,
            attention_mask=mask,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )
        if return_attention_scores:
            output, scores = output
        output = ops.reshape(output, (batch, *sizes, channels))
        output = self.as_given(output, modes=len(sizes))
        if not return_attention_scores:
            return output
        return output, ops.reshape(scores, (batch, self.num_heads, *sizes, *sizes))

    def compute_output_spec(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        _check_call(inputs, use_causal_mask, return_attention_scores)
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        batch, *sizes, _ = self.channels_last_shape(inputs.shape)
        return output, keras.KerasTensor(
            (batch, self.num_heads, *sizes, *sizes), dtype=self.compute_dtype
        )

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example: `4·N·C² + 2·N²·C` by default."""
        _, *sizes, channels = self.channels_last_shape(input_shape)
        positions = math.prod(sizes)
        return self._multiply_adds(channels, positions, positions)


def _check_call(
    inputs: Tensor, use_causal_mask: bool, return_attention_scores: bool
) -> None:
    arguments.flags(
        use_causal_mask=use_causal_mask,
        return_attention_scores=return_attention_scores,
    )
    if use_causal_mask and len(inputs.shape) != 3:
        raise ValueError(
            "A causal mask needs an input of shape (B, T, C): a grid has no order. "
            f"Received: inputs.shape={tuple(inputs.shape)}"
        )
