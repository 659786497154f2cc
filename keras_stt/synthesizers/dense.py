"""The Dense synthesizer: logits from each position of the mode alone."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_stt import arguments
from keras_stt.composite import SizedWeight, sized_columns
from keras_stt.export import export
from keras_stt.portable import portable_activation
from keras_stt.synthesizers.synthesizer import Synthesizer
from keras_stt.typing import Shape, Tensor


@export
class Dense(Synthesizer):
    """Logits synthesised from the visual information: the basic STT.

    For a mode of size `n`, with `P = mean of X over the other modes`, `(B, n, C)`:

    `Z = act(P W_1 + b_1)`, `(B, n, r)`; `L[i, j] = Z[i] · W_2[:, j] + b_2[j]` per head.

    No position is compared with another: row `i` is computed from position `i` alone.
    With a single mode (text), nothing is averaged, and this is the Dense Synthesizer of
    Tay et al., equation 4.

    Args:
        hidden_dim: The hidden size `r`. Defaults to 32.
        activation: The activation `act`. Defaults to `"relu"`, as in Tay et al.
        bias_initializer: Initializer of `b_2`. Defaults to the normal distribution
            with standard deviation 1: with logits near 0, every attention matrix would
            start as a plain average, which blurs.
        **kwargs: As in `Synthesizer`.

    Reference:
        - Tay et al., Synthesizer, [arXiv 2005.00743](https://arxiv.org/abs/2005.00743),
          section 3.2. The mean over the other modes is this project's reading of the
          "tensor transformation" in
          [arXiv 2201.01410](https://arxiv.org/abs/2201.01410).
    """

    def __init__(
        self,
        hidden_dim: int = 32,
        activation: Any = "relu",
        bias_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = arguments.positive_integer("hidden_dim", hidden_dim)
        self.activation = arguments.activation("activation", activation)
        if bias_initializer is None:
            bias_initializer = keras.initializers.RandomNormal(stddev=1.0)
        self.bias_initializer = arguments.initializer(
            "bias_initializer", bias_initializer
        )

    def build(self, input_shape: Shape) -> None:
        size = self.mode_size(input_shape)
        self.hidden_dense = keras.layers.Dense(
            self.hidden_dim,
            activation=portable_activation(self.activation),
            dtype=self.policy_of("hidden"),
            name="hidden",
        )
        self.hidden_dense.build((input_shape[0], size, input_shape[-1]))
        self.logits_dense = keras.layers.Dense(
            self.num_heads * size,
            bias_initializer=arguments.fresh(self.bias_initializer),
            dtype=self.policy_of("logits"),
            name="logits",
        )
        self.logits_dense.build((input_shape[0], size, self.hidden_dim))

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        pooled = self.pool(inputs, mask)  # (B, n, C)
        size = self.logits_dense.units // self.num_heads
        # As one matrix, whose gradient XLA copies once (see `STT.call`).
        rows = ops.reshape(pooled, (-1, pooled.shape[-1]))
        hidden = self._output_of(self.hidden_dense, rows)
        logits = self._output_of(self.logits_dense, hidden)  # (B·n, h·n)
        logits = ops.reshape(logits, (-1, size, self.num_heads, size))
        return ops.transpose(logits, (0, 2, 1, 3))  # (B, h, n, n)

    def sized_weights(self) -> list[SizedWeight]:
        return sized_columns(self.logits_dense, self.num_heads)

    def multiply_adds(self, input_shape: Shape) -> int:
        size, channels = input_shape[self.axis], input_shape[-1]
        return size * self.hidden_dim * (channels + self.num_heads * size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_dim": self.hidden_dim,
            "activation": keras.activations.serialize(self.activation),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
