"""What layers on a grid share: the place of the channels, and the mask."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_stt import arguments
from keras_stt import ops as stt_ops
from keras_stt.composite import Composite
from keras_stt.export import export
from keras_stt.typing import Shape, Tensor


@export
class GridLayer(Composite):
    """Base of layers on a grid: computes channels last, whatever the input's format.

    Args:
        data_format: `"channels_last"`, `(B, n_1, …, n_M, C)`, or `"channels_first"`,
            `(B, C, n_1, …, n_M)`. Defaults to `None`: channels last, whatever Keras's
            global setting.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = arguments.data_format(data_format)
        #: Shape of the inputs, with a number where weights are tied to it.
        self._sizes: Shape = ()
        self.supports_masking = True

    @property
    def channels_first(self) -> bool:
        """Whether the channels come before the modes."""
        return self.data_format == "channels_first"

    def channels_last_shape(self, shape: Shape) -> Shape:
        """The shape of an input with its channels last."""
        return (shape[0], *shape[2:], shape[1]) if self.channels_first else shape

    def channels_last(self, inputs: Tensor) -> Tensor:
        """An input with its channels last."""
        return ops.moveaxis(inputs, 1, -1) if self.channels_first else inputs

    def as_given(self, outputs: Tensor, modes: int) -> Tensor:
        """An output `(B, n_1, …, n_M, features…)` in the format of the inputs.

        Args:
            outputs: Tensor with the features last, on one axis or several.
            modes: Number of modes `M`.
        """
        if not self.channels_first:
            return outputs
        features = range(modes + 1, len(outputs.shape))
        return ops.transpose(outputs, (0, *features, *range(1, modes + 1)))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs = args[0] if args else kwargs.get("inputs")
        arguments.check_sizes("inputs", inputs, self._sizes, self.name)
        return super().__call__(*args, **kwargs)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> Any:
        # An explicit mask may have sizes of 1, which other layers do not take.
        if previous_mask is None:
            return None
        return stt_ops.grid_mask(previous_mask, self.channels_last(inputs))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}
