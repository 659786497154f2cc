"""Keras's MultiHeadAttention with the axes of a grid as `attention_axes`."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_stt import ops as stt_ops
from keras_stt.export import export
from keras_stt.layers import KerasAttention
from keras_stt.mixers.grid_mixer import grid_shape
from keras_stt.typing import Shape, Tensor


@export
class GridAttention(KerasAttention):
    """Full self-attention on a grid: `MultiHeadAttention(attention_axes=(1, 2))`.

    Every position attends to all `N = H·W` positions, as with `SelfAttention`, and the
    numbers are the same:

    `Y = Σ_a softmax(Q_a K_aᵀ / √d) V_a W_a`, over both axes of the grid, with queries,
    keys and values of shape `(B, H, W, num_heads, d)`.

    It costs `4·N·C² + 2·N²·C` multiply-adds. This is how Keras documents attention over
    several axes. In this form, Keras does not use the fused attention of the backends,
    which accepts sequences only.

    Args:
        num_heads: Number of heads.
        key_dim: Size of a head, `d`. Defaults to the number of channels divided by the
            number of heads.
        dropout: Dropout rate of the attention weights. Defaults to 0.0.
        seed: Seed of the dropout.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `None`:
            channels last, whatever Keras's global setting.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, H, W, C)`.
        mask: Optional boolean tensor of shape `(B, H, W)`, `True` for the positions
            that may be attended to. An implicit Keras mask is used where none is given.
        training: Whether dropout is active.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If the input is not of rank 4, or if its channels are not a multiple
            of `num_heads` where `key_dim` is not given.

    Reference:
        - Vaswani et al., Attention Is All You Need,
          [arXiv 1706.03762](https://arxiv.org/abs/1706.03762).
    """

    call_options = ("mask",)

    def build(self, input_shape: Shape) -> None:
        shape = self.channels_last_shape(input_shape)
        grid_shape(shape)  # an error unless it is one
        self.attention = self._attention(shape, shape, attention_axes=(1, 2))

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        inputs = self.channels_last(inputs)
        if mask is not None:
            mask = stt_ops.grid_mask(mask, inputs)
            # This also drops the implicit mask, of which Keras makes an error here.
            inputs = stt_ops.zero_masked(inputs, mask)
            mask = ops.expand_dims(mask, axis=(1, 2))
        output = self.attention(inputs, inputs, attention_mask=mask, training=training)
        return self.as_given(output, modes=2)

    def compute_output_spec(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Any:
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example: `4·N·C² + 2·N²·C` by default."""
        height, width, channels = grid_shape(self.channels_last_shape(input_shape))
        return self._multiply_adds(channels, height * width, height * width)
