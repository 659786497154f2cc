"""Synthesizing Tensor Transformations: attention without query-key dot products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_stt import arguments
from keras_stt import ops as stt_ops
from keras_stt.export import export
from keras_stt.layers.synthesized_attention import SynthesizedAttention
from keras_stt.typing import Shape, Tensor

#: Share of the negative identity, and of the noise. Not tuned.
_MIMETIC = 0.4


@export
class STT(SynthesizedAttention):
    """Self-attention for image tensors by synthesised mode transformations.

    `X` has shape `(B, n_1, …, n_M, C)`: a batch of tensors with `M` modes (spatial,
    temporal or text axes), channels last. With `h` heads of size `d`:

    1. value: `V = X W_V + b_V`, `(B, n_1, …, n_M, h, d)`;
    2. per mode `m`, a synthesizer gives logits `L_m = S_m(X)`, `(B, h, n_m, n_m)`, or
       `(1, h, n_m, n_m)` where they do not depend on the input;
    3. `A_m = softmax_j(L_m)`, in float32 whatever the dtype policy;
    4. `Y = V ×_1 A_1 ×_2 A_2 … ×_M A_M` per head: mode products. The tensor is never
       flattened, and the N×N matrix (`N = Π n_m`) is never formed;
    5. output: `O = Y W_O + b_O`, `(B, n_1, …, n_M, C_out)`.

    Cost: `N·C·h·d + N·h·d·C_out + N·h·d·Σ n_m` multiply-adds and the synthesis, against
    `4·N·C² + 2·N²·C` for `keras.layers.MultiHeadAttention`.

    The weights of a mode are shared across the other modes: all columns of an image
    use the same `A_1`. A mode that is not in `attention_axes` is not transformed, but
    the synthesizers still average over it.

    Args:
        num_heads: Number of heads `h`.
        value_dim: Size `d` of a head. Defaults to `C / num_heads`.
        synthesizer: Where the logits come from: `"dense"` (the basic STT), `"random"`,
            `"factorized_dense"`, `"factorized_random"`, `"gaussian"`,
            `"dot_product"`, a `keras_stt.synthesizers.Synthesizer`, or its config dict.
            An instance serves as a template: each mode of each layer gets its own copy,
            with the layer's dtype policy. Defaults to `"dense"`.
        attention_axes: The axes to transform: one integer or several, which may be
            negative. Defaults to `None`: all axes except batch and channels.
        causal_axes: The attention axes along which `use_causal_mask` acts: one integer
            or several. Defaults to `None`: all attention axes. For an axis to be
            causal, the weights of all *other* attention axes must not depend on the
            input, since they would leak the future.
        dropout: Dropout rate of the attention weights of each mode: with `M` modes, a
            position is kept with probability `(1 - dropout)^M`. Defaults to 0.0.
        use_bias: Whether value and output projection have biases. Defaults to `True`.
        output_shape: Shape of a position's output, an integer or several. Defaults to
            `None`: the number of input channels.
        kernel_initializer: Initializer of the kernels of the value and output
            projections; the synthesizers have their own. Defaults to
            `"glorot_uniform"`.
        bias_initializer: Initializer of the biases. Defaults to `"zeros"`.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        activity_regularizer: Regularizer of the activity of the value and output
            projections.
        kernel_constraint: Constraint on the kernels.
        bias_constraint: Constraint on the biases.
        mimetic: Whether to initialise the two projections so that their product is
            close to a negative identity, as in trained attention: `W_V` is orthogonal
            and `W_O = 0.4·(noise - W_V^T)`, with noise from `kernel_initializer`. The
            layer then starts as a filter that subtracts the neighbourhood, whereas two
            random projections would only blur. With random synthesizers this is worth
            five points on CIFAR-10 (`docs/results/depthwise`). The output must have as
            many features as the input. Defaults to `False`.
        seed: Seed of the dropout.
        data_format: `"channels_last"` or `"channels_first"`, `(B, C, n_1, …, n_M)`.
            Defaults to `None`: channels last, whatever Keras's global setting. Masks
            have no channel axis; axis numbers refer to the input as it is passed in.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, n_1, …, n_M, C)`: rank 3 (text), 4 (images), 5
            (video, volumes). The batch may be empty.
        mask: Boolean tensor of shape `(B, n_1, …, n_M)` (or with sizes 1, which
            broadcast), `True` for the positions that may be attended to. Any pattern is
            allowed, and masking is exact: the content of a masked position never
            affects the output. (Where all valid positions together weigh less than the
            smallest float32, 1e-38, the layer attends to nothing.) If no mask is given,
            the implicit Keras mask is used; either is passed on.
        use_causal_mask: Whether position `i` attends to positions `≤ i` only, along
            each of the `causal_axes`. Defaults to `False`.
        return_attention_scores: Whether to return the weights too. Defaults to `False`.
        training: Whether dropout is active.

    Returns:
        output: Tensor of shape `(B, n_1, …, n_M, C_out)`, in the compute dtype.
        scores: With `return_attention_scores=True`, also a tuple with one tensor
            `A_m` of shape `(B, num_heads, n_m, n_m)` per attention axis, in the
            compute dtype, before dropout. Rows sum to 1 (0 where nothing is valid).
            With a mask, the weight of a position is the product of its modes' weights
            times the mask, renormalised.

    Raises:
        ValueError: If an argument, a shape or a mask is invalid.

    Example:

    >>> images = np.random.rand(2, 8, 6, 16)
    >>> layer = keras_stt.layers.STT(num_heads=4)
    >>> output, (rows, columns) = layer(images, return_attention_scores=True)
    >>> [tuple(tensor.shape) for tensor in (output, rows, columns)]
    [(2, 8, 6, 16), (2, 4, 8, 8), (2, 4, 6, 6)]

    Masks for text, images and video, `True` for the positions that may be attended to:

    >>> text = np.random.rand(2, 7, 16)
    >>> lengths = np.array([7, 4])
    >>> padded = np.arange(7) < lengths[:, None]  # (B, T)
    >>> output = keras_stt.layers.STT(num_heads=4)(text, mask=padded)
    >>> widths = np.array([6, 5])
    >>> cropped = np.arange(6) < widths[:, None, None]  # (B, 1, W), for every row
    >>> output = layer(images, mask=cropped)
    >>> video = np.random.rand(2, 3, 8, 6, 16)
    >>> frames = np.array([3, 2])
    >>> present = np.arange(3) < frames[:, None]  # (B, D)
    >>> present = present[:, :, None, None]  # (B, D, 1, 1), for every pixel
    >>> output = keras_stt.layers.STT(num_heads=4)(video, mask=present)

    Reference:
        - [arXiv 2201.01410](https://arxiv.org/abs/2201.01410) (Synthesizing Tensor
          Transformations): the idea. The equations are this project's reading of its
          abstract; they combine the synthesizers of Tay et al. with mode products.
        - Tay et al., Synthesizer,
          [arXiv 2005.00743](https://arxiv.org/abs/2005.00743).
        - Trockman and Kolter, Mimetic initialization of self-attention layers,
          [arXiv 2305.09828](https://arxiv.org/abs/2305.09828).
    """

    def __init__(
        self,
        num_heads: int,
        value_dim: int | None = None,
        synthesizer: Any = "dense",
        attention_axes: int | Sequence[int] | None = None,
        causal_axes: int | Sequence[int] | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        mimetic: bool = False,
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
        self.num_heads = arguments.positive_integer("num_heads", num_heads)
        self.value_dim = arguments.optional_positive_integer("value_dim", value_dim)
        self.use_bias = arguments.boolean("use_bias", use_bias)
        # Not `output_shape`: `model.summary()` would take it for the layer's own.
        self._output_shape = arguments.integers("output_shape", output_shape)
        for size in self._output_shape or ():
            arguments.positive_integer("output_shape", size)
        self._set_weight_options(
            "kernel", kernel_initializer, kernel_regularizer, kernel_constraint
        )
        self._set_weight_options(
            "bias", bias_initializer, bias_regularizer, bias_constraint
        )
        # Not `activity_regularizer`: it acts in the projections, as in Keras's
        # MultiHeadAttention, and not on what the layer returns as well.
        self._activity_regularizer = arguments.regularizer(
            "activity_regularizer", activity_regularizer
        )
        self.mimetic = arguments.boolean("mimetic", mimetic)

    def build(self, input_shape: Shape) -> None:
        arguments.check_input_shape(input_shape, self.data_format)
        *outer, channels = self.channels_last_shape(input_shape)
        self._build_synthesizers(input_shape, self.num_heads)
        values = self.num_heads * self._head_dim(channels)
        features = math.prod(self._features(channels))
        starts: tuple[Any, Any] = (None, None)
        if self.mimetic:
            if features != channels:
                raise ValueError(
                    "`mimetic=True` needs an output with as many features as the input "
                    f"has channels. Received: {features} features, {channels} channels"
                )
            starts = _mimetic(self.kernel_initializer)
        self.value_dense = self._projection(values, "value", starts[0])
        self.value_dense.build((*outer, channels))
        self.output_dense = self._projection(features, "attention_output", starts[1])
        self.output_dense.build((*outer, values))

    def _head_dim(self, channels: int) -> int:
        if self.value_dim is not None:
            return self.value_dim
        return arguments.head_dim(channels, self.num_heads, "value_dim")

    def _features(self, channels: int) -> tuple[int, ...]:
        """Shape of a position's output."""
        return self._output_shape or (channels,)

    def _projection(self, units: int, name: str, start: Any) -> keras.layers.Dense:
        kernel = self._weight_options("kernel", prefix="kernel_")
        if start is not None:
            kernel["kernel_initializer"] = start
        return keras.layers.Dense(
            units,
            use_bias=self.use_bias,
            activity_regularizer=self._activity_regularizer,
            **kernel,
            **self._weight_options("bias", prefix="bias_"),
            dtype=self.policy_of(name),
            name=name,
        )

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Tensor:
        self._check_call(use_causal_mask, return_attention_scores)
        inputs = self.channels_last(inputs)
        if mask is not None:
            mask = stt_ops.grid_mask(mask, inputs)
            inputs = stt_ops.zero_masked(inputs, mask)
        found = self._mode_weights(inputs, mask, use_causal_mask, training)
        # Positions as the rows of a matrix: of a product with a tensor, XLA copies the
        # gradient three times, once for the kernel, the bias and the input each.
        *sizes, channels = ops.shape(inputs)
        rows = ops.reshape(inputs, (-1, channels))
        output = stt_ops.tensor_transformation(
            self._projected(self.value_dense, rows, sizes),
            sizes,
            found.weights,
            self._modes,
            self.num_heads,
            mask=mask,
            normalizers=found.scores,
            shared=found.shared,
        )
        output = self._projected(self.output_dense, output, sizes)
        output = ops.reshape(output, (*sizes, *self._features(channels)))
        output = self.as_given(output, modes=len(sizes) - 1)
        if not return_attention_scores:
            return output
        return output, self._returned_scores(found.scores, sizes[0])

    def _projected(
        self, dense: keras.layers.Dense, rows: Tensor, sizes: Sequence[Any]
    ) -> Tensor:
        """The positions after one of the two projections, as the rows of a matrix."""
        if self._activity_regularizer is None:
            return self._output_of(dense, rows)
        # Keras divides the loss by the size of the first axis: that of the batch.
        tensor = dense(ops.reshape(rows, (*sizes, rows.shape[-1])))
        return ops.reshape(tensor, (-1, dense.units))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, *sizes, channels = self.channels_last_shape(input_shape)
        features = self._features(channels)
        if self.channels_first:
            return (batch, *features, *sizes)
        return (batch, *sizes, *features)

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example, forward.

        The projections, the mode products, and the products of the synthesizers.

        Args:
            input_shape: Shape of the input, with known sizes.
        """
        arguments.check_known_sizes(input_shape)
        _, *sizes, channels = shape = self.channels_last_shape(input_shape)
        modes = self.modes(len(shape))
        synthesis = sum(
            self.synthesizer.for_mode(axis, self.num_heads).multiply_adds(shape)
            for axis in modes
        )
        values = math.prod(sizes) * self.num_heads * self._head_dim(channels)
        features = math.prod(self._features(channels))
        products = sum(shape[axis] for axis in modes)
        return values * (channels + products + features) + synthesis

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "value_dim": self.value_dim,
            "use_bias": self.use_bias,
            "output_shape": self._output_shape,
            "mimetic": self.mimetic,
            "activity_regularizer": keras.regularizers.serialize(
                self._activity_regularizer
            ),
        }


def _mimetic(noise: Any) -> tuple[Any, Any]:
    """Initializers of two kernels whose product is close to a negative identity."""
    orthogonal = keras.initializers.Orthogonal()
    noise = arguments.fresh(noise)

    def value(shape: Shape, dtype: Any = None) -> Tensor:
        # In float32 at least: half precision has no QR decomposition everywhere.
        dtype = dtype or keras.config.floatx()
        exact = keras.backend.result_type(dtype, "float32")
        return ops.cast(orthogonal(shape, dtype=exact), dtype)

    def output(shape: Shape, dtype: Any = None) -> Tensor:
        # The seed is fixed: of the same shape, it is the value projection's kernel.
        negative = ops.transpose(value(shape[::-1], dtype))
        return _MIMETIC * (noise(shape, dtype=dtype) - negative)

    return value, output
