"""The Factorized Dense synthesizer: logits as products of two short rows."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.synthesizers.synthesizer import Synthesizer
from keras_stt.typing import Shape, Tensor


@export
class FactorizedDense(Synthesizer):
    """Logits synthesised from the visual information in two short factors.

    For a mode of size `n = a·b`, with `P = mean of X over the other modes`,
    `(B, n, C)`:

    `F_a = P W_a + b_a`, `(B, n, a)`; `F_b = P W_b + b_b`, `(B, n, b)`, per head;
    `L[i] = repeat(F_a[i], b) * tile(F_b[i], a)`, so `L[i, j] = F_a[i, j // b] ·
    F_b[i, j % b]`: one factor repeats and the other tiles, and every column has its own
    pair.

    Args:
        factors: The two sizes `(a, b)`, `a·b = n`. Defaults to the pair of divisors
            closest to each other, `a ≤ b`; for a prime `n` that is `(1, n)`.
        bias_initializer: Initializer of `b_a` and `b_b`. Defaults to the normal
            distribution with standard deviation 1, which gives logits of variance 1.
        **kwargs: As in `Synthesizer`.

    Reference:
        - Tay et al., Synthesizer, [arXiv 2005.00743](https://arxiv.org/abs/2005.00743),
          section 3.2 (Factorized Dense Synthesizer). The mean over the other modes is
          this project's reading of [arXiv 2201.01410](https://arxiv.org/abs/2201.01410).
    """

    def __init__(
        self,
        factors: tuple[int, int] | None = None,
        bias_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.factors = arguments.integers("factors", factors)
        if bias_initializer is None:
            bias_initializer = keras.initializers.RandomNormal(stddev=1.0)
        self.bias_initializer = arguments.initializer(
            "bias_initializer", bias_initializer
        )

    def build(self, input_shape: Shape) -> None:
        size = self.mode_size(input_shape)
        factors = self.factors or closest_factors(size)
        if len(factors) != 2 or min(factors) < 1 or math.prod(factors) != size:
            raise ValueError(
                "`factors` must be two positive integers whose product is the size of "
                f"axis {self.axis}, {size}. Received: factors={self.factors}"
            )
        self.repeated_dense, self.tiled_dense = (
            keras.layers.Dense(
                self.num_heads * units,
                bias_initializer=arguments.fresh(self.bias_initializer),
                dtype=self.policy_of(name),
                name=name,
            )
            for name, units in zip(("repeated", "tiled"), factors, strict=True)
        )
        for dense in (self.repeated_dense, self.tiled_dense):
            dense.build((input_shape[0], size, input_shape[-1]))

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        pooled = self.pool(inputs, mask)  # (B, n, C)
        size, heads = pooled.shape[1], self.num_heads
        repeated = ops.reshape(
            self.repeated_dense(pooled),
            (-1, size, heads, self.repeated_dense.units // heads, 1),
        )
        tiled = ops.reshape(
            self.tiled_dense(pooled),
            (-1, size, heads, 1, self.tiled_dense.units // heads),
        )
        logits = ops.reshape(repeated * tiled, (-1, size, heads, size))
        return ops.transpose(logits, (0, 2, 1, 3))  # (B, h, n, n)

    def multiply_adds(self, input_shape: Shape) -> int:
        size, channels = input_shape[self.axis], input_shape[-1]
        factors = self.factors or closest_factors(size)
        return size * channels * self.num_heads * sum(factors)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "factors": self.factors,
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def closest_factors(size: int) -> tuple[int, int]:
    """The pair of divisors `(a, b)` of `size`, `a ≤ b`, closest to each other."""
    a = next(a for a in range(math.isqrt(size), 0, -1) if size % a == 0)
    return a, size // a
