"""Cross-attention to a grid by synthesised weights, one vector per mode."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_stt import arguments
from keras_stt import ops as stt_ops
from keras_stt.composite import SizedWeight, sized_columns
from keras_stt.export import export
from keras_stt.layers.context_reader import ContextReader
from keras_stt.portable import portable_activation
from keras_stt.typing import Shape, Tensor


@export
class STTCrossAttention(ContextReader):
    """Reads a grid with weights that each position of a text synthesises.

    The text `X` has shape `(B, T, C)`, the grid `G` `(B, n_1, …, n_M, C')`. With `h`
    heads of size `d`:

    1. value: `V = G W_V + b_V`, `(B, n_1, …, n_M, h, d)`;
    2. per mode `m`: `L_m = gelu(X W_1 + b_1) W_m + b_m`, `(B, h, T, n_m)`, with hidden
       features that the modes share; `A_m = softmax(L_m)` over the mode, in float32;
    3. `Y[t] = Σ A_1[t, i_1] ⋯ A_M[t, i_M] · V[i_1, …, i_M]` per head, one mode after
       the other;
    4. output: `O = Y W_O + b_O`, `(B, T, C)`.

    The grid is not flattened, and no query is compared with a key. The outer product of
    the weights, `A_1[t] ∘ ⋯ ∘ A_M[t]`, is the heat map of position `t`.

    Args:
        num_heads: Number of heads `h`.
        value_dim: Size `d` of a head. Defaults to `C / num_heads`.
        hidden_dim: Size of the hidden features. Defaults to 32.
        data_format: `"channels_last"` or `"channels_first"`, of the grid. Defaults to
            `None`: channels last, whatever Keras's global setting.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, T, C)`: the text.
        context: Tensor of shape `(B, n_1, …, n_M, C')`: the grid, of known sizes.
        context_mask: Optional boolean tensor of shape `(B, n_1, …, n_M)`, `True` for
            the positions that may be read. Any pattern is allowed, and masking is
            exact, as in `STT`. If no mask is given, the implicit Keras mask of the
            context is used.
        inputs_mask: Optional boolean tensor of shape `(B, T)` of the text, whose
            masked positions are set to 0. Keras passes the implicit mask here.
        return_attention_scores: Whether to return the weights too. Defaults to `False`.

    Returns:
        output: Tensor of the shape of `inputs`.
        scores: With `return_attention_scores=True`, also a tuple with one tensor `A_m`
            of shape `(B, num_heads, T, n_m)` per mode.

    Reference:
        This layer is the project's own. Its hidden layer is that of the Dense
        Synthesizer of Tay et al., [arXiv 2005.00743](https://arxiv.org/abs/2005.00743).
    """

    def __init__(
        self,
        num_heads: int,
        value_dim: int | None = None,
        hidden_dim: int = 32,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.num_heads = arguments.positive_integer("num_heads", num_heads)
        self.value_dim = arguments.optional_positive_integer("value_dim", value_dim)
        self.hidden_dim = arguments.positive_integer("hidden_dim", hidden_dim)

    def build(self, inputs_shape: Shape, context_shape: Shape) -> None:
        self._check_shapes(inputs_shape, context_shape)
        context_shape = self.channels_last_shape(context_shape)
        channels, sizes = inputs_shape[-1], context_shape[1:-1]
        if None in sizes:
            raise ValueError(
                "The grid's sizes must be known: there is a weight per position of "
                f"each mode. Received: context_shape={tuple(context_shape)}"
            )
        self._context_sizes = (None, *sizes, None)
        value_dim = self.value_dim or arguments.head_dim(
            channels, self.num_heads, "value_dim"
        )
        self.value_dense = self._dense(self.num_heads * value_dim, "value")
        self.value_dense.build(context_shape)
        self.hidden_dense = self._dense(self.hidden_dim, "hidden", "gelu")
        self.hidden_dense.build(inputs_shape)
        self.logits_denses = [
            self._dense(self.num_heads * size, f"logits_{axis}")
            for axis, size in enumerate(sizes, start=1)
        ]
        for dense in self.logits_denses:
            dense.build((*inputs_shape[:-1], self.hidden_dim))
        self.output_dense = self._dense(channels, "attention_output")
        self.output_dense.build((*inputs_shape[:-1], self.num_heads * value_dim))

    def _dense(
        self, units: int, name: str, activation: str | None = None
    ) -> keras.layers.Dense:
        return keras.layers.Dense(
            units,
            activation=portable_activation(activation),
            dtype=self.policy_of(name),
            name=name,
        )

    def call(
        self,
        inputs: Tensor,
        context: Tensor,
        context_mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> Tensor:
        arguments.flags(return_attention_scores=return_attention_scores)
        inputs, context, context_mask = self._prepared(
            inputs, context, inputs_mask, context_mask
        )
        arguments.check_sizes("context", context, self._context_sizes, self.name)
        hidden = self.hidden_dense(inputs)
        scores = [
            stt_ops.mode_weights(self._logits(dense(hidden)), axis, context_mask)
            for axis, dense in enumerate(self.logits_denses, start=1)
        ]
        value = self.value_dense(context)
        *outer, channels = ops.shape(value)
        value = ops.reshape(value, (*outer, self.num_heads, channels // self.num_heads))
        modes = len(scores)
        # (B, h, n_1, …, n_M, d)
        value = ops.transpose(value, (0, modes + 1, *range(1, modes + 1), modes + 2))
        output = _read(value, scores, context_mask, self.compute_dtype)
        output = ops.transpose(output, (0, 2, 1, 3))  # (B, T, h, d)
        output = self.output_dense(
            ops.reshape(output, (*ops.shape(output)[:2], channels))
        )
        if not return_attention_scores:
            return output
        return output, tuple(ops.cast(score, self.compute_dtype) for score in scores)

    def _logits(self, logits: Tensor) -> Tensor:
        """Logits of a mode, from `(B, T, h·n)` to `(B, h, T, n)`."""
        batch, length, columns = ops.shape(logits)
        size = columns // self.num_heads
        logits = ops.reshape(logits, (batch, length, self.num_heads, size))
        return ops.transpose(logits, (0, 2, 1, 3))

    def compute_output_spec(
        self,
        inputs: Tensor,
        context: Tensor,
        context_mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> Any:
        arguments.check_sizes("context", context, self._context_sizes, self.name)
        arguments.flags(return_attention_scores=return_attention_scores)
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        batch, length, _ = inputs.shape
        return output, tuple(
            keras.KerasTensor(
                (batch, self.num_heads, length, size), dtype=self.compute_dtype
            )
            for size in self.channels_last_shape(context.shape)[1:-1]
        )

    def sized_weights(self) -> list[SizedWeight]:
        return [
            weight
            for dense in self.logits_denses
            for weight in sized_columns(dense, self.num_heads)
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "value_dim": self.value_dim,
            "hidden_dim": self.hidden_dim,
        }


def _read(
    value: Tensor, scores: list[Tensor], mask: Tensor | None, dtype: str
) -> Tensor:
    """What each position of the text reads, `(B, h, T, d)`.

    Args:
        value: Tensor of shape `(B, h, n_1, …, n_M, d)`.
        scores: A tensor per mode, `(B, h, T, n_m)`, float32 at least.
        mask: Optional boolean tensor of shape `(B, n_1, …, n_M)`.
        dtype: Dtype of the result.
    """
    if mask is None or len(scores) == 1:
        return _weighted_sum(value, [ops.cast(score, dtype) for score in scores])
    # As in `masked_multi_mode_product`: the weights of the valid positions, divided by
    # their sum, which may be small.
    mask = ops.cast(ops.expand_dims(mask, axis=(1, -1)), scores[0].dtype)
    value = _weighted_sum(ops.cast(value, mask.dtype) * mask, scores)
    total = _weighted_sum(mask, scores)
    return ops.cast(stt_ops.share(value, total), dtype)


def _weighted_sum(value: Tensor, weights: list[Tensor]) -> Tensor:
    """Sums the modes of a tensor `(B, h, n_1, …, n_M, d)` with weights, one by one."""
    # The first mode gives its place to the text's positions: (B, h, T, n_2, …, d).
    value = stt_ops.mode_product(value, weights[0], 2)
    for weight in weights[1:]:
        # (B, h, T, 1, n_m) × (B, h, T, n_m, …, d): the mode goes.
        value = stt_ops.mode_product(value, ops.expand_dims(weight, 3), 3)
        value = ops.squeeze(value, axis=3)
    return value
