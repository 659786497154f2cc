"""The dot-product synthesizer: the reference that STT does without."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.synthesizers.synthesizer import Synthesizer
from keras_stt.typing import Shape, Tensor


@export
class DotProduct(Synthesizer):
    """Logits that compare positions: pooled queries times pooled keys.

    For a mode of size `n`, with `P = mean of X over the other modes`, `(B, n, C)`:
    `L[i, j] = (P W_Q + b_Q)[i] · (P W_K)[j] / √d` per head. It serves as a part of
    mixtures (random + dot product was the best in Tay et al.) and as a baseline. No
    weight is tied to the mode's size, so it works on inputs of any size.

    Args:
        key_dim: The size `d` of a head's queries and keys. Defaults to the number of
            channels divided by the number of heads, and to 1 at least.
        **kwargs: As in `Synthesizer`.

    Reference:
        - Omranpour et al., Higher-Order Transformers,
          [arXiv 2412.02919](https://arxiv.org/abs/2412.02919): attention per mode on
          pooled queries and keys.
    """

    def __init__(self, key_dim: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.key_dim = arguments.optional_positive_integer("key_dim", key_dim)

    def build(self, input_shape: Shape) -> None:
        channels = input_shape[-1]
        key_dim = self._head_dim(channels)
        self.query_dense, self.key_dense = (
            keras.layers.Dense(
                self.num_heads * key_dim,
                # A bias of the keys adds the same to a whole row: the softmax drops it.
                use_bias=name == "query",
                dtype=self.policy_of(name),
                name=name,
            )
            for name in ("query", "key")
        )
        for dense in (self.query_dense, self.key_dense):
            dense.build((input_shape[0], input_shape[self.axis], channels))

    def _head_dim(self, channels: int) -> int:
        if self.key_dim is not None:
            return self.key_dim
        if self.num_heads > channels:
            return 1
        return arguments.head_dim(channels, self.num_heads, "key_dim")

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        pooled = self.pool(inputs, mask)  # (B, n, C)
        key_dim = self.query_dense.units // self.num_heads
        shape = (-1, ops.shape(pooled)[1], self.num_heads, key_dim)
        # In float32: a sum of products may leave the range of float16 on its way.
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        query, key = (
            ops.reshape(ops.cast(dense(pooled), dtype), shape)
            for dense in (self.query_dense, self.key_dense)
        )
        query = ops.transpose(query, (0, 2, 1, 3)) / key_dim**0.5  # (B, h, n, d)
        logits = ops.matmul(query, ops.transpose(key, (0, 2, 3, 1)))  # (B, h, n, n)
        return ops.cast(logits, self.compute_dtype)

    def multiply_adds(self, input_shape: Shape) -> int:
        size, channels = input_shape[self.axis], input_shape[-1]
        products = size * (2 * channels + size)
        return self.num_heads * self._head_dim(channels) * products

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "key_dim": self.key_dim}
