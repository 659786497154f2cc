"""Depthwise STT: mode transformations of every channel by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_stt import arguments
from keras_stt import ops as stt_ops
from keras_stt.export import export
from keras_stt.layers.synthesized_attention import ModeWeights, SynthesizedAttention
from keras_stt.portable import portable_activation
from keras_stt.typing import Shape, Tensor

AMPLITUDES = ("learned", "synthesized")

# At 1, in Adam's equal steps, a kernel of many inputs moves an amplitude far faster
# than its own weight does, and photographs are learned worse.
_SYNTHESIS_SCALE = 0.1


@export
class DepthwiseSTT(SynthesizedAttention):
    """Depthwise attention along modes: a signed sum of synthesised transformations.

    `X` has shape `(B, n_1, …, n_M, C)`, channels last. Every channel `c` has its own
    attention matrices, one set for each of `K` terms, and channels are never mixed:

    `Y_c = Σ_k a_kc · (X_c ×_1 A_1kc … ×_M A_Mkc) + b_c · X_c + bias_c`

    Each `A` is a softmax, so its entries are still attention weights; signs come only
    from the amplitudes `a`. A sum of such terms can subtract, as an edge detector does,
    whereas a single softmax can only average. `STT` is to this layer what
    `keras.layers.SeparableConv2D` is to `keras.layers.DepthwiseConv2D`: use it in a
    block with an MLP, `STTBlock(DepthwiseSTT())`, which mixes the channels.

    Cost: `K·N·C·Σ n_m` multiply-adds for `N = Π n_m` positions, and the synthesis.

    Args:
        num_terms: Number of terms `K`. Defaults to 2.
        synthesizer: Where the logits come from, as in `STT`, with a head for every term
            and channel. Defaults to `"gaussian"`, which works at any size.
        attention_axes: The axes to transform: one integer or several, which may be
            negative. Defaults to `None`: all axes except batch and channels.
        causal_axes: The attention axes along which `use_causal_mask` acts, as in `STT`.
            Defaults to `None`: all of them.
        dropout: Dropout rate of the attention weights of each mode. During training,
            every example then has its own weights. Defaults to 0.0.
        use_bias: Whether there is a bias. Defaults to `True`.
        amplitude: `"learned"` or `"synthesized"`. Synthesised amplitudes are the
            learned ones plus a linear map of `m`, the mean of the image over the
            positions: `a_kc + 0.1·(W m)_kc`, where `W` starts at 0. Each image can then
            choose among the terms, and the features of a position are multiplied by
            those of the whole image, as comparing positions requires. Defaults to
            `"learned"`.
        bounded: Whether to divide the amplitudes so that `Σ_k |a_kc| + |b_c|` is at
            most 1. With a synthesizer that does not depend on the input, no output then
            changes by more than the largest change of the inputs (dropout, gate and
            synthesised amplitudes aside). Defaults to `False`.
        gate: Optional activation `g`: the output is multiplied by `g(X W_g)`, which
            mixes the channels. Defaults to `None`.
        amplitude_initializer: Initializer of the learned amplitudes, `(C, K)`. Defaults
            to `None`: 1/√K with random signs.
        kernel_initializer: Initializer of the gate's kernel. Defaults to
            `"glorot_uniform"`.
        bias_initializer: Initializer of the bias. Defaults to `"zeros"`.
        amplitude_regularizer: Regularizer of the learned amplitudes.
        kernel_regularizer: Regularizer of the gate's kernel.
        bias_regularizer: Regularizer of the bias.
        amplitude_constraint: Constraint on the learned amplitudes.
        kernel_constraint: Constraint on the gate's kernel.
        bias_constraint: Constraint on the bias.
        seed: Seed of the dropout.
        data_format: As in `STT`.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, n_1, …, n_M, C)`: rank 3 (text), 4 (images), 5
            (video, volumes).
        mask: Boolean tensor of shape `(B, n_1, …, n_M)` (or with sizes 1, which
            broadcast), `True` for the positions that may be attended to; exact in every
            term. (Where all valid positions together weigh less than the smallest
            float32, 1e-38, a term is 0; see `Gaussian`.) An implicit Keras mask is used
            where none is given.
        use_causal_mask: Whether position `i` attends to positions `≤ i` only, along
            each of the `causal_axes`. Defaults to `False`.
        return_attention_scores: Whether to return the weights too. Defaults to `False`.
        training: Whether dropout is active.

    Returns:
        output: Tensor of the shape of `inputs`, in the compute dtype.
        scores: With `return_attention_scores=True`, also a tuple with one tensor
            `A_m` of shape `(B, C·K, n_m, n_m)` per attention axis: the first `K` are
            those of the first channel.

    Raises:
        ValueError: If an argument, a shape or a mask is invalid.

    Example:

    >>> images = np.random.rand(2, 8, 6, 16)
    >>> layer = keras_stt.layers.DepthwiseSTT()
    >>> output, (rows, columns) = layer(images, return_attention_scores=True)
    >>> [tuple(tensor.shape) for tensor in (output, rows, columns)]
    [(2, 8, 6, 16), (2, 32, 8, 8), (2, 32, 6, 6)]

    Reference:
        - [arXiv 2201.01410](https://arxiv.org/abs/2201.01410) (Synthesizing Tensor
          Transformations): synthesised mode transformations. A matrix per channel, the
          signs, and leaving out the projections are this project's own choices.
        - Cordonnier et al., [arXiv 1911.03584](https://arxiv.org/abs/1911.03584):
          attention that can express a convolution.
    """

    def __init__(
        self,
        num_terms: int = 2,
        synthesizer: Any = "gaussian",
        attention_axes: int | Sequence[int] | None = None,
        causal_axes: int | Sequence[int] | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        amplitude: str = "learned",
        bounded: bool = False,
        gate: Any = None,
        amplitude_initializer: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        amplitude_regularizer: Any = None,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        amplitude_constraint: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            synthesizer=synthesizer,
            attention_axes=attention_axes,
            causal_axes=causal_axes,
            dropout=dropout,
            seed=seed,
            data_format=data_format,
            **kwargs,
        )
        self.num_terms = arguments.positive_integer("num_terms", num_terms)
        self.use_bias = arguments.boolean("use_bias", use_bias)
        if amplitude not in AMPLITUDES:
            raise ValueError(
                f"`amplitude` must be one of {AMPLITUDES}. "
                f"Received: amplitude={amplitude!r}"
            )
        self.amplitude = amplitude
        self.bounded = arguments.boolean("bounded", bounded)
        # `keras.activations.get` would make a linear one of `None`.
        self.gate = None if gate is None else arguments.activation("gate", gate)
        self._set_weight_options(
            "amplitude",
            amplitude_initializer,
            amplitude_regularizer,
            amplitude_constraint,
        )
        self._set_weight_options(
            "kernel", kernel_initializer, kernel_regularizer, kernel_constraint
        )
        self._set_weight_options(
            "bias", bias_initializer, bias_regularizer, bias_constraint
        )

    def build(self, input_shape: Shape) -> None:
        arguments.check_input_shape(input_shape, self.data_format)
        batch, *_, channels = shape = self.channels_last_shape(input_shape)
        # The terms of a channel are neighbours, so that they start differently.
        self._build_synthesizers(input_shape, channels * self.num_terms)
        options = self._weight_options("amplitude")
        self.amplitudes = self.add_weight(
            shape=(channels, self.num_terms),
            name="amplitudes",
            **{**options, "initializer": options["initializer"] or _signs},
        )
        self.skip = self.add_weight(shape=(channels,), initializer="zeros", name="skip")
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(channels,), name="bias", **self._weight_options("bias")
            )
        if self.amplitude == "synthesized":
            self.amplitude_dense = keras.layers.Dense(
                self.num_terms * channels,
                use_bias=False,
                kernel_initializer="zeros",
                dtype=self.policy_of("amplitude"),
                name="amplitude",
            )
            self.amplitude_dense.build((batch, channels))
        if self.gate is not None:
            self.gate_dense = keras.layers.Dense(
                channels,
                activation=portable_activation(self.gate),
                **self._weight_options("kernel", prefix="kernel_"),
                dtype=self.policy_of("gate"),
                name="gate",
            )
            self.gate_dense.build(shape)

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Tensor:
        self._check_call(use_causal_mask, return_attention_scores)
        inputs = ops.cast(self.channels_last(inputs), self.compute_dtype)
        if mask is not None:
            mask = stt_ops.grid_mask(mask, inputs)
            inputs = stt_ops.zero_masked(inputs, mask)
        weights = self._mode_weights(inputs, mask, use_causal_mask, training)
        amplitudes, skip = self._amplitudes(inputs, mask)
        if mask is None or len(mask.shape) == 2:
            # With one mode, the softmax has left the masked positions out already.
            output = stt_ops.depthwise_transformation(
                inputs, weights.weights, self._modes, amplitudes, weights.shared
            )
        else:
            output = self._masked(inputs, mask, weights, amplitudes)
        output = output + skip * inputs
        if self.bias is not None:
            output = output + self.bias
        if self.gate is not None:
            output = output * self._output_of(self.gate_dense, inputs)
        batch = ops.shape(inputs)[0]
        output = self.as_given(output, modes=len(inputs.shape) - 2)
        if not return_attention_scores:
            return output
        return output, self._returned_scores(weights.scores, batch)

    def _masked(
        self, inputs: Tensor, mask: Tensor, weights: ModeWeights, amplitudes: Tensor
    ) -> Tensor:
        """The sum of the terms over the valid positions, with a quotient per term."""
        *sizes, channels = ops.shape(inputs)
        terms = stt_ops.tensor_transformation(
            ops.repeat(ops.reshape(inputs, (-1, channels)), self.num_terms, axis=-1),
            sizes,
            weights.weights,
            self._modes,
            self.num_terms * channels,
            mask=mask,
            normalizers=weights.scores,
            shared=weights.shared,
        )
        terms = ops.reshape(terms, (*sizes, channels, self.num_terms))
        if len(amplitudes.shape) == 3:
            axes = [*range(1, len(sizes))]
            amplitudes = ops.expand_dims(amplitudes, axis=axes)
        return ops.sum(terms * amplitudes, axis=-1)

    def _amplitudes(self, inputs: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The amplitudes of the terms, `(C, K)` or `(B, C, K)`, and of the input."""
        amplitudes = ops.convert_to_tensor(self.amplitudes)
        skip = ops.convert_to_tensor(self.skip)
        if self.bounded:
            total = ops.sum(ops.abs(amplitudes), axis=-1) + ops.abs(skip)
            factor = 1.0 / ops.maximum(total, 1.0)
            amplitudes = amplitudes * ops.expand_dims(factor, -1)
            skip = skip * factor
        if self.amplitude == "synthesized":
            positions = range(1, len(inputs.shape) - 1)
            valid = None if mask is None else ops.expand_dims(mask, axis=-1)
            mean = stt_ops.masked_mean(inputs, [*positions], valid)
            mean = ops.reshape(mean, (-1, inputs.shape[-1]))
            change = self._output_of(self.amplitude_dense, mean)
            change = ops.reshape(change, (-1, *amplitudes.shape))
            # In this order: Keras's `add` on TensorFlow takes a second operand of one
            # channel and an empty batch for a bias.
            amplitudes = _SYNTHESIS_SCALE * change + amplitudes
        return amplitudes, skip

    def _check_call(self, use_causal_mask: bool, return_attention_scores: bool) -> None:
        super()._check_call(use_causal_mask, return_attention_scores)
        if self.amplitude == "synthesized" and bool(use_causal_mask):
            raise ValueError(
                "`use_causal_mask` is not possible with synthesised amplitudes, which "
                "are those of the whole input and would carry the future into the "
                "past: use amplitude='learned'. Received: use_causal_mask=True, "
                f"amplitude={self.amplitude!r}"
            )

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example, forward.

        The mode products, the products of the synthesizers, gate and amplitudes.

        Args:
            input_shape: Shape of the input, with known sizes.
        """
        arguments.check_known_sizes(input_shape)
        _, *sizes, channels = shape = self.channels_last_shape(input_shape)
        modes, heads = self.modes(len(shape)), self.num_terms * channels
        synthesis = sum(
            self.synthesizer.for_mode(axis, heads).multiply_adds(shape)
            for axis in modes
        )
        if self.amplitude == "synthesized":
            synthesis += channels * heads
        values = math.prod(sizes) * channels
        gate = 0 if self.gate is None else values * channels
        products = values * self.num_terms * sum(shape[axis] for axis in modes)
        return products + gate + synthesis

    def get_config(self) -> dict[str, Any]:
        gate = self.gate and keras.activations.serialize(self.gate)
        return {
            **super().get_config(),
            "num_terms": self.num_terms,
            "use_bias": self.use_bias,
            "amplitude": self.amplitude,
            "bounded": self.bounded,
            "gate": gate,
        }


def _signs(shape: Shape, dtype: Any = None) -> Tensor:
    """Amplitudes with random signs, whose squares sum to 1 over the terms."""
    draws = keras.initializers.RandomUniform(-1, 1)(shape, "float32")
    # Not `sign`, which may be 0.
    signs = ops.cast(ops.where(draws < 0, -1.0, 1.0), dtype or keras.config.floatx())
    return signs / math.sqrt(shape[-1])
