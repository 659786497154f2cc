"""Keras's MultiHeadAttention along one axis of a grid after the other."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.layers import KerasAttention
from keras_stt.typing import Shape, Tensor


@export
class AxialAttention(KerasAttention):
    """Self-attention along each axis of a grid, one after the other.

    One `keras.layers.MultiHeadAttention` per mode, in which each fibre of the grid (a
    row, a column) is a sequence of its own. All but the last add their input to their
    output. It costs `4·M·N·C² + 2·N·C·Σ n_m` multiply-adds for `M` modes. This is the
    baseline for `STT` at comparable cost.

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
        return_attention_scores: Whether to return the weights too. Defaults to `False`.
        training: Whether dropout is active.

    Returns:
        output: Tensor of the shape of `inputs`.
        scores: With `return_attention_scores=True`, also a tuple with one tensor per
            mode `m`: a matrix for each fibre, `(B, num_heads, n_1, …, n_M, n_m, n_m)`
            without `n_m` among the `n_1, …, n_M`.

    Reference:
        - Ho et al., Axial Attention in Multidimensional Transformers,
          [arXiv 1912.12180](https://arxiv.org/abs/1912.12180).
    """

    call_options = ("return_attention_scores",)

    def build(self, input_shape: Shape) -> None:
        arguments.check_input_shape(input_shape, self.data_format)
        _, *sizes, channels = self.channels_last_shape(input_shape)
        fibres = [(None, size, channels) for size in sizes]
        self.attentions = [
            self._attention(fibre, fibre, f"attention_{axis}", axis)
            for axis, fibre in enumerate(fibres, start=1)
        ]

    def call(
        self,
        inputs: Tensor,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Tensor:
        arguments.flags(return_attention_scores=return_attention_scores)
        inputs = self.channels_last(inputs)
        all_scores = []
        # Fibres as sequences: Keras's fused attention takes no `attention_axes`.
        for axis, attention in enumerate(self.attentions, start=1):
            # (Not `moveaxis` to -2, of which ONNX files cannot be made.)
            grid = ops.moveaxis(inputs, axis, len(self.attentions))
            batch, *others, size, channels = ops.shape(grid)
            fibres = ops.reshape(grid, (-1, size, channels))
            fibres = attention(
                fibres,
                fibres,
                return_attention_scores=return_attention_scores,
                training=training,
            )
            if return_attention_scores:
                fibres, scores = fibres
                shape = (batch, *others, self.num_heads, size, size)
                all_scores.append(ops.moveaxis(ops.reshape(scores, shape), -3, 1))
            output = ops.moveaxis(
                ops.reshape(fibres, ops.shape(grid)), len(self.attentions), axis
            )
            # The last one's residual is the caller's, as with any mixer.
            last = axis == len(self.attentions)
            inputs = output if last else inputs + output
        output = self.as_given(inputs, modes=len(self.attentions))
        return (output, tuple(all_scores)) if return_attention_scores else output

    def compute_output_spec(
        self,
        inputs: Tensor,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        arguments.flags(return_attention_scores=return_attention_scores)
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        batch, *sizes, _ = self.channels_last_shape(inputs.shape)
        return output, tuple(
            keras.KerasTensor(
                (batch, self.num_heads, *sizes[:m], *sizes[m + 1 :], size, size),
                dtype=self.compute_dtype,
            )
            for m, size in enumerate(sizes)
        )

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example.

        `4·M·N·C² + 2·N·C·Σ n_m` by default, for `M` modes.
        """
        _, *sizes, channels = self.channels_last_shape(input_shape)
        positions = math.prod(sizes)
        return sum(self._multiply_adds(channels, positions, size) for size in sizes)
