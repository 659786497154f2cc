"""Mixtures of synthesizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_stt import ops as stt_ops
from keras_stt.export import export
from keras_stt.synthesizers.registry import get, serialize
from keras_stt.synthesizers.synthesizer import Synthesizer
from keras_stt.typing import Shape, Tensor
from keras_stt.untracked import Untracked


@export
class Mixture(Synthesizer):
    """A learned weighted sum of the logits of several synthesizers.

    `L = Σ_s softmax(α)_s · S_s(X)`, with one learned `α_s` per synthesizer that starts
    at 0 (equal shares). The logits are mixed before a single softmax is applied.

    Args:
        synthesizers: At least two synthesizers: names, instances or config dicts.
        **kwargs: As in `Synthesizer`.

    Example:

    ```python
    mixture = keras_stt.synthesizers.Mixture(["random", "dot_product"])
    layer = keras_stt.layers.STT(num_heads=4, synthesizer=mixture)
    ```

    Reference:
        - Tay et al., Synthesizer, [arXiv 2005.00743](https://arxiv.org/abs/2005.00743),
          section 3.4 (Mixture of Synthesizers).
    """

    def __init__(self, synthesizers: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(synthesizers, (list, tuple)) or len(synthesizers) < 2:
            raise ValueError(
                "`synthesizers` must be a list of two synthesizers at least. "
                f"Received: synthesizers={synthesizers}"
            )
        templates = [get(synthesizer, "synthesizers") for synthesizer in synthesizers]
        self.input_dependent = any(t.input_dependent for t in templates)
        self._templates = Untracked(templates)

    @property
    def synthesizers(self) -> list[Synthesizer]:
        """The synthesizers that are mixed, as they were given."""
        return list(self._templates.content)

    def build(self, input_shape: Shape) -> None:
        self.components = [
            template.for_mode(
                self.axis,
                self.num_heads,
                name=f"component_{index}",
                dtype=self.policy_of(f"component_{index}"),
            )
            for index, template in enumerate(self.synthesizers)
        ]
        for component in self.components:
            component.build(input_shape)
            self.input_spec = component.input_spec or self.input_spec
        self.mixing_logits = self.add_weight(
            shape=(len(self.components),), initializer="zeros", name="mixing_logits"
        )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        shares = stt_ops.masked_softmax(ops.convert_to_tensor(self.mixing_logits))
        # In float32, and finite: of two that overflow half precision, one may be inf
        # and the other -inf.
        logits = sum(
            shares[index] * stt_ops.finite(component(inputs, mask=mask))
            for index, component in enumerate(self.components)
        )
        return ops.cast(logits, self.compute_dtype)

    def multiply_adds(self, input_shape: Shape) -> int:
        return sum(
            template.for_mode(self.axis, self.num_heads).multiply_adds(input_shape)
            for template in self.synthesizers
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "synthesizers": [serialize(s) for s in self.synthesizers],
        }
