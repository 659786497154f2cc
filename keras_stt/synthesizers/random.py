"""The Random synthesizer: logits that are weights."""

from __future__ import annotations

from typing import Any

import keras

from keras_stt import arguments
from keras_stt.composite import SizedWeight
from keras_stt.export import export
from keras_stt.synthesizers.synthesizer import Synthesizer
from keras_stt.typing import Shape, Tensor


@export
class Random(Synthesizer):
    """Logits that are learned directly and are the same for every input.

    `L = R`, a weight of shape `(h, n, n)`. With `trainable=False`, it keeps its random
    initial values. Over several modes, the layer equals the Random Synthesizer on the
    flattened tensor with the Kronecker sum `R_1 ⊕ R_2 …` as its N×N logits.

    Args:
        initializer: Initializer of `R`. Defaults to the normal distribution with
            standard deviation 1: with logits near 0, every attention matrix would start
            as a plain average, which blurs.
        **kwargs: As in `Synthesizer`; `trainable=False` freezes the logits permanently,
            even if the model is made trainable again.

    Reference:
        - Tay et al., Synthesizer, [arXiv 2005.00743](https://arxiv.org/abs/2005.00743),
          section 3.2, equation 7.
    """

    input_dependent = False

    def __init__(self, initializer: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if initializer is None:
            initializer = keras.initializers.RandomNormal(stddev=1.0)
        self.initializer = arguments.initializer("initializer", initializer)

    def build(self, input_shape: Shape) -> None:
        size = self.mode_size(input_shape)
        self.logits = self.add_weight(
            shape=(self.num_heads, size, size),
            initializer=arguments.fresh(self.initializer),
            # Frozen for good: a model that thaws must not train it.
            trainable=self.trainable,
            name="logits",
        )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        return keras.ops.expand_dims(self.logits, axis=0)  # (1, h, n, n)

    def sized_weights(self) -> list[SizedWeight]:
        return [SizedWeight(self.logits, self.logits.shape, (1, 2))]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initializer": keras.initializers.serialize(self.initializer),
        }
