"""The Factorized Random synthesizer: learned logits of low rank."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_stt import arguments
from keras_stt.composite import SizedWeight
from keras_stt.export import export
from keras_stt.synthesizers.synthesizer import Synthesizer
from keras_stt.typing import Shape, Tensor


@export
class FactorizedRandom(Synthesizer):
    """Learned logits of low rank, the same for every input.

    `L = R_1 R_2ᵀ` with weights `R_1`, `R_2` of shape `(h, n, k)`: `2·h·n·k` parameters
    in place of `h·n²`.

    Args:
        rank: The rank `k`. Defaults to 8.
        initializer: Initializer of both factors. Defaults to the normal distribution
            with standard deviation `k^(-1/4)`, which gives logits of variance 1.
        **kwargs: As in `Synthesizer`; `trainable=False` freezes the logits permanently,
            even if the model is made trainable again.

    Reference:
        - Tay et al., Synthesizer, [arXiv 2005.00743](https://arxiv.org/abs/2005.00743),
          section 3.2 (Factorized Random Synthesizer).
    """

    input_dependent = False

    def __init__(self, rank: int = 8, initializer: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rank = arguments.positive_integer("rank", rank)
        if initializer is None:
            initializer = keras.initializers.RandomNormal(stddev=self.rank**-0.25)
        self.initializer = arguments.initializer("initializer", initializer)

    def build(self, input_shape: Shape) -> None:
        size = self.mode_size(input_shape)
        self.rows, self.columns = (
            self.add_weight(
                shape=(self.num_heads, size, self.rank),
                initializer=arguments.fresh(self.initializer),
                # Frozen for good: a model that thaws must not train it.
                trainable=self.trainable,
                name=name,
            )
            for name in ("rows", "columns")
        )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        rows, columns = ops.convert_to_tensor(self.rows), self.columns
        return ops.matmul(rows, ops.swapaxes(columns, -1, -2))[None]  # (1, h, n, n)

    def sized_weights(self) -> list[SizedWeight]:
        return [SizedWeight(w, w.shape, (1,)) for w in (self.rows, self.columns)]

    def multiply_adds(self, input_shape: Shape) -> int:
        return self.rank * self.num_heads * input_shape[self.axis] ** 2

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rank": self.rank,
            "initializer": keras.initializers.serialize(self.initializer),
        }
