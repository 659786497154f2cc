"""Keras's layer normalisation and GELU in forms that export to ONNX."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_stt.typing import Shape, Tensor


@keras.saving.register_keras_serializable("keras_stt")
class LayerNormalization(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization`, with the same numbers, weights and config.

    On PyTorch, Keras hands the kernel a size that it reads off the input. Where a file
    with open sizes is traced, that one is a tensor, which the exporter refuses. Here it
    is the number that the layer was built with.

    Args:
        **kwargs: As for `keras.layers.LayerNormalization`.
    """

    def build(self, input_shape: Shape) -> None:
        """Makes the weights, and notes the number of channels."""
        super().build(input_shape)
        last = self.axis in ([-1], [len(input_shape) - 1])
        self._channels = input_shape[-1] if last else None

    def call(self, inputs: Tensor) -> Tensor:
        """Normalises, in float32 at least."""
        torch = keras.backend.backend() == "torch"
        if not torch or self._channels is None or self.rms_scaling:
            return super().call(inputs)
        from torch.nn.functional import layer_norm

        # As `keras.ops.layer_normalization`, step by step.
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        x, gamma, beta = (
            None if value is None else ops.convert_to_tensor(value, dtype)
            for value in (inputs, self.gamma, self.beta)
        )
        outputs = layer_norm(x, (self._channels,), gamma, beta, self.epsilon)
        return ops.cast(ops.cast(outputs, inputs.dtype), self.compute_dtype)


def portable_activation(activation: Any) -> Any:
    """The activation to compute with: Keras's own, except for GELU on TensorFlow.

    Args:
        activation: A function or layer, or a name that Keras knows.
    """
    activation = keras.activations.get(activation)
    if keras.backend.backend() == "tensorflow" and activation is keras.activations.gelu:
        return _gelu
    return activation


@keras.saving.register_keras_serializable("keras_stt", "gelu")
def _gelu(x: Tensor) -> Tensor:
    """GELU by `erf`: TensorFlow takes `erfc`, which ONNX does not have."""
    if keras.backend.standardize_dtype(x.dtype) not in ("float32", "float64"):
        # In half precision, 1 + erf(x) would lose the small numbers. (Keras exports
        # ONNX files of float32 models alone.)
        return keras.activations.gelu(x)
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))
