"""What the cross-attentions share: a text that reads a grid."""

from __future__ import annotations

from typing import Any

from keras_stt import arguments
from keras_stt import ops as stt_ops
from keras_stt.export import export
from keras_stt.layers.grid_layer import GridLayer
from keras_stt.typing import Shape, Tensor


@export
class ContextReader(GridLayer):
    """Base of layers that are called with a text `(B, T, C)` and a grid, the context.

    Args:
        data_format: As in `GridLayer`.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.
    """

    #: Optional call arguments that a block or a model may pass.
    call_options: tuple[str, ...] = ("context_mask", "return_attention_scores")

    def _check_shapes(self, inputs_shape: Shape, context_shape: Shape) -> None:
        if len(inputs_shape) != 3 or not inputs_shape[-1]:
            raise ValueError(
                "`inputs` must have shape (batch, length, channels), with a known "
                "number of channels above 0. "
                f"Received: inputs.shape={tuple(inputs_shape)}"
            )
        arguments.check_input_shape(context_shape, self.data_format, "context")

    def _prepared(
        self,
        inputs: Tensor,
        context: Tensor,
        inputs_mask: Tensor | None,
        context_mask: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The text, the context with its channels last, and the context's mask.

        What is masked is set to 0, so that nothing beneath reaches a gradient. This
        also drops the implicit mask, which an explicit one replaces.
        """
        if inputs_mask is not None:
            inputs_mask = stt_ops.grid_mask(inputs_mask, inputs, "inputs_mask")
            inputs = stt_ops.zero_masked(inputs, inputs_mask)
        context = self.channels_last(context)
        if context_mask is not None:
            context_mask = stt_ops.grid_mask(context_mask, context, "context_mask")
            context = stt_ops.zero_masked(context, context_mask)
        return inputs, context, context_mask

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> Any:
        return previous_mask

    def compute_output_shape(  # type: ignore[override]
        self, inputs_shape: Shape, context_shape: Shape
    ) -> Shape:
        return inputs_shape
