"""The base class of the synthesizers."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from keras_stt import arguments
from keras_stt import ops as stt_ops
from keras_stt.composite import Composite
from keras_stt.export import export
from keras_stt.typing import Shape, Tensor


@export
class Synthesizer(Composite):
    """Base of the synthesizers, which compute the attention logits of one mode.

    `L = S(X)`, of shape `(B, h, n, n)` or, where it does not depend on the input,
    `(1, h, n, n)`: the logit of output position `i` for input position `j` of the
    mode, for each head. The layer that uses it applies masks, softmax and dropout.

    An instance that is passed to a layer serves as a template: the layer makes a fresh
    copy for each mode with `for_mode`. The same template can therefore be passed to any
    number of layers, which share no weights.

    To write your own, subclass it: create the weights in `build`, return the logits
    from `call`, and add your arguments to `get_config`. The logit `[i, j]` may depend
    on the input only at positions `i` and `j` of the mode; this makes causal masks
    exact. A masked position must not influence the logits of a valid one: `pool`
    ensures this for the other modes.

    Args:
        num_heads: Number of heads `h`. Set by the layer that uses the synthesizer.
        axis: The mode: an axis of the input between batch and channels. Set by the
            layer that uses the synthesizer.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, n_1, …, n_M, C)`.
        mask: Optional boolean tensor of shape `(B, n_1, …, n_M)`, `True` for the
            valid positions.

    Returns:
        Logits of shape `(B, h, n, n)` or `(1, h, n, n)` in the compute dtype.

    Example:

    A synthesizer whose logits depend on nothing but the distance `i - j`:

    ```python
    import keras
    import keras_stt
    import numpy as np

    @keras.saving.register_keras_serializable("my_package")
    class Relative(keras_stt.synthesizers.Synthesizer):
        input_dependent = False

        def __init__(self, stddev=1.0, **kwargs):
            super().__init__(**kwargs)
            self.stddev = stddev

        def build(self, input_shape):
            size = self.mode_size(input_shape)
            self.offsets = np.arange(size)[:, None] - np.arange(size) + size - 1
            self.distance = self.add_weight(
                shape=(self.num_heads, 2 * size - 1),
                initializer=keras.initializers.RandomNormal(stddev=self.stddev),
                name="distance",
            )

        def call(self, inputs, mask=None):
            return keras.ops.take(self.distance, self.offsets, axis=-1)[None]

        def get_config(self):
            return {**super().get_config(), "stddev": self.stddev}

    layer = keras_stt.layers.STT(num_heads=4, synthesizer=Relative())
    ```
    """

    #: Whether the logits depend on the input. Where they do not, `call` returns one
    #: set for the whole batch, and causal masks are possible along other modes too.
    input_dependent = True

    def __init__(self, num_heads: int = 1, axis: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = arguments.positive_integer("num_heads", num_heads)
        self.axis = arguments.positive_integer("axis", axis)
        self.supports_masking = True
        self.takes_training = "training" in inspect.signature(self.call).parameters

    def for_mode(self, axis: int, num_heads: int, **kwargs: Any) -> Synthesizer:
        """Makes a fresh copy for one mode, which shares no weights with this one.

        Args:
            axis: The mode's axis.
            num_heads: Number of heads.
            **kwargs: Further constructor arguments to replace (`name`, `dtype`).

        Returns:
            A new synthesizer of the same class.

        Raises:
            ValueError: If `get_config` leaves out an argument of the constructor, which
                the copy would lack.
        """
        config = self.get_config()
        named = (
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
        )
        missing = [
            name
            for name, parameter in inspect.signature(type(self)).parameters.items()
            if parameter.kind in named and name not in config
        ]
        if missing:
            raise ValueError(
                f"`{type(self).__name__}.get_config` must return every argument of the "
                "constructor: each mode gets a copy that is made from them. "
                f"Received: a config without {', '.join(missing)}"
            )
        config |= {"axis": axis, "num_heads": num_heads, **kwargs}
        return type(self).from_config(config)

    def check_axis(self, input_shape: Shape) -> None:
        """Raises a `ValueError` unless the synthesizer's mode is one of the input.

        Args:
            input_shape: Shape of the input, `(B, n_1, …, n_M, C)`.
        """
        if self.axis >= len(input_shape) - 1:
            raise ValueError(
                "`axis` must lie between the batch axis and the channels. Received: "
                f"axis={self.axis}, input_shape={tuple(input_shape)}"
            )

    def mode_size(self, input_shape: Shape) -> int:
        """Returns the size of the mode, for weights that are tied to it.

        After this call, the synthesizer accepts only inputs of that size.

        Args:
            input_shape: Shape of the input, `(B, n_1, …, n_M, C)`.

        Returns:
            The size `n` of the synthesizer's mode.

        Raises:
            ValueError: If the size is not known, or 0.
        """
        self.check_axis(input_shape)
        size = input_shape[self.axis]
        if size is None:
            raise ValueError(
                f"{type(self).__name__} has weights tied to the size of axis "
                f"{self.axis}, which must be known when the layer is built: give it in "
                "`keras.Input`, or use the synthesizer 'gaussian' or 'dot_product', "
                "which work at any size. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        if size < 1:
            raise ValueError(
                f"`input_shape` must have a size of at least 1 along axis {self.axis}. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.input_spec = keras.InputSpec(ndim=len(input_shape), axes={self.axis: size})
        return size

    def pool(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Averages over the valid positions of the other modes.

        Args:
            inputs: Tensor of shape `(B, n_1, …, n_M, C)`.
            mask: Optional boolean tensor of shape `(B, n_1, …, n_M)`.

        Returns:
            Tensor of shape `(B, n, C)`, in the compute dtype; 0 where nothing is valid.
        """
        # Keras casts floats by itself, but a mean of integers is no integer.
        inputs = keras.ops.cast(inputs, self.compute_dtype)
        others = [a for a in range(1, len(inputs.shape) - 1) if a != self.axis]
        if not others:
            return inputs if mask is None else stt_ops.zero_masked(inputs, mask)
        if mask is not None:
            mask = keras.ops.expand_dims(mask, axis=-1)
        return stt_ops.masked_mean(inputs, others, mask)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> None:
        """Logits carry no mask: their axes are not the input's."""
        return None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        size = input_shape[self.axis]
        batch = input_shape[0] if self.input_dependent else 1
        return (batch, self.num_heads, size, size)

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds of the logits for one example, forward.

        Args:
            input_shape: Shape of the input, `(B, n_1, …, n_M, C)`.

        Returns:
            The number of multiply-adds of matrix products: 0 unless overridden.
        """
        return 0

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "num_heads": self.num_heads, "axis": self.axis}
