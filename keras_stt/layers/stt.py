"""Synthesizing Tensor Transformations: attention without query-key dot products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_stt import ops as stt_ops
from keras_stt import synthesizers
from keras_stt.arguments import (
    as_integers,
    check_positive,
    head_dim,
    resolve_modes,
)
from keras_stt.export import export
from keras_stt.typing import Shape, Tensor
from keras_stt.untracked import Untracked


@export
class STT(keras.layers.Layer):
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

    Weights are shared along the modes: `A_1` is the same for all columns of an image.
    So a mode that is not in `attention_axes` stays as it is, but the synthesizers
    still average over it.

    Args:
        num_heads: Number of heads `h`.
        value_dim: Size `d` of a head. Defaults to `C / num_heads`.
        synthesizer: Where the logits come from: `"dense"` (the basic STT), `"random"`,
            `"factorized_dense"`, `"factorized_random"`, `"dot_product"`, a
            `keras_stt.synthesizers.Synthesizer`, or its config dict. An instance is a
            template: each mode of each layer gets a copy of its own, with the layer's
            dtype policy. Defaults to `"dense"`.
        attention_axes: The axes that are transformed: an integer or several, which may
            be negative. Defaults to `None`: all axes but batch and channels.
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
        activity_regularizer: Regularizer of the activity of value and output
            projection.
        kernel_constraint: Constraint on the kernels.
        bias_constraint: Constraint on the biases.
        seed: Seed of the dropout.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, n_1, …, n_M, C)`: rank 3 (text), 4 (images), 5
            (video, volumes).
        mask: Boolean tensor of shape `(B, n_1, …, n_M)` (or with sizes 1, which
            broadcast), `True` for the positions that may be attended to. Of any form,
            and exact: a masked position influences no output but its own. (Where all
            valid positions together weigh less than the smallest float32, 1e-38, the
            layer attends to nothing.) An implicit Keras mask is used where none is
            given; either is passed on.
        use_causal_mask: `True`: along each attention axis, position `i` attends to
            positions `≤ i` only. An axis or several: along those (1 is the first
            mode, not `True`). Along an axis `m`
            it needs weights that do not depend on the input for all *other* attention
            axes, since they would carry the future. Defaults to `False`.
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
        ValueError: For arguments, shapes or masks that do not fit.

    Example:

    >>> images = np.random.rand(2, 8, 6, 16)
    >>> layer = keras_stt.layers.STT(num_heads=4)
    >>> output, (rows, columns) = layer(images, return_attention_scores=True)
    >>> [tuple(tensor.shape) for tensor in (output, rows, columns)]
    [(2, 8, 6, 16), (2, 4, 8, 8), (2, 4, 6, 6)]

    A mask per shape of input, `True` for the positions that may be attended to:

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
          abstract, built from
        - Tay et al., Synthesizer,
          [arXiv 2005.00743](https://arxiv.org/abs/2005.00743), and mode products.
    """

    #: Optional call arguments that a block or a model may pass.
    call_options = ("mask", "use_causal_mask", "return_attention_scores")

    def __init__(
        self,
        num_heads: int,
        value_dim: int | None = None,
        synthesizer: Any = "dense",
        attention_axes: int | Sequence[int] | None = None,
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
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive("num_heads", num_heads)
        if value_dim is not None:
            check_positive("value_dim", value_dim)
        self.num_heads = num_heads
        self.value_dim = value_dim
        self._template = Untracked(synthesizers.get(synthesizer))
        self.attention_axes = as_integers("attention_axes", attention_axes)
        self.dropout = dropout
        self.use_bias = use_bias
        # Not `output_shape`: `model.summary()` would take it for the layer's own.
        self._output_shape = as_integers("output_shape", output_shape)
        for size in self._output_shape or ():
            check_positive("output_shape", size)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        # Not `activity_regularizer`: it acts in the projections, as in Keras's
        # MultiHeadAttention, and not on what the layer returns as well.
        self._activity_regularizer = keras.regularizers.get(activity_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.seed = seed
        self.dropout_layer = keras.layers.Dropout(
            dropout,
            seed=seed,
            # That of the scores: with a mask, both are divided by each other.
            dtype=keras.backend.result_type(self.compute_dtype, "float32"),
            name="dropout",
        )
        self.supports_masking = True

    @property
    def synthesizer(self) -> synthesizers.Synthesizer:
        """The synthesizer as it was given; `synthesizers` holds its copies per mode."""
        return self._template.content

    def build(self, input_shape: Shape) -> None:
        rank, channels = len(input_shape), input_shape[-1]
        if rank < 3 or channels is None:
            raise ValueError(
                "The input must have shape (batch, n_1, …, n_M, channels) with one "
                "mode at least and a known number of channels. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        value_dim = self.value_dim or head_dim(channels, self.num_heads, "value_dim")
        self._axes = resolve_modes(self.attention_axes, rank)
        self.synthesizers = [
            self.synthesizer.for_mode(
                axis,
                self.num_heads,
                name=f"synthesizer_{axis}",
                dtype=self.dtype_policy,
            )
            for axis in self._axes
        ]
        sizes: dict[int, int] = {}
        for synthesizer in self.synthesizers:
            synthesizer.build(input_shape)
            sizes |= synthesizer.input_spec.axes if synthesizer.input_spec else {}
        self.input_spec = keras.InputSpec(ndim=rank, axes={**sizes, -1: channels})
        self.value_dense = self._projection(self.num_heads * value_dim, "value")
        self.value_dense.build(input_shape)
        self.output_dense = self._projection(
            math.prod(self._output_shape or (channels,)), "attention_output"
        )
        self.output_dense.build((*input_shape[:-1], self.num_heads * value_dim))

    def _projection(self, units: int, name: str) -> keras.layers.Dense:
        return keras.layers.Dense(
            units,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer.clone(),
            bias_initializer=self.bias_initializer.clone(),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            activity_regularizer=self._activity_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
            name=name,
        )

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        use_causal_mask: bool | int | Sequence[int] = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Tensor:
        causal_axes = self._causal_axes(use_causal_mask, len(inputs.shape))
        if mask is not None:
            mask = stt_ops.grid_mask(mask, inputs)
        scores = self._attention_scores(inputs, mask, causal_axes)
        weights = scores
        # In this order: under `keras.RematScope`, `training` may be a traced value.
        if self.dropout and training:
            batch = ops.shape(inputs)[0]
            weights = [
                self.dropout_layer(_repeat(score, batch), training=training)
                for score in scores
            ]

        # Positions as the rows of a matrix: of a product with a tensor, XLA copies the
        # gradient three times, once for the kernel, the bias and the input each.
        *sizes, channels = ops.shape(inputs)
        value = self.value_dense(ops.reshape(inputs, (-1, channels)))
        output = self.output_dense(self._transform(value, sizes, weights, scores, mask))
        output = ops.reshape(output, (*sizes, *(self._output_shape or (channels,))))
        if not return_attention_scores:
            return output
        batch = ops.shape(inputs)[0]
        return output, tuple(
            ops.cast(_repeat(score, batch), self.compute_dtype) for score in scores
        )

    def _attention_scores(
        self, inputs: Tensor, mask: Tensor | None, causal_axes: Sequence[int]
    ) -> list[Tensor]:
        """The weights `A_m`, float32, `(B or 1, h, n_m, n_m)` per attention axis."""
        scores = []
        for axis, synthesizer in zip(self._axes, self.synthesizers, strict=True):
            logits = synthesizer(inputs, mask=mask)
            size = inputs.shape[axis]
            if size is not None and logits.shape[1:] != (self.num_heads, size, size):
                raise ValueError(
                    "A synthesizer must return logits of shape (B or 1, num_heads, n, "
                    f"n), here (B or 1, {self.num_heads}, {size}, {size}). Received: "
                    f"shape {tuple(logits.shape)} from {type(synthesizer).__name__}"
                )
            valid = None if mask is None else stt_ops.mode_mask(mask, axis)
            if axis in causal_axes:
                causal = stt_ops.causal_mask(ops.shape(inputs)[axis])
                valid = causal if valid is None else ops.logical_and(valid, causal)
            scores.append(stt_ops.masked_softmax(logits, valid))
        return scores

    def _transform(
        self,
        rows: Tensor,
        sizes: Sequence[Any],
        weights: list[Tensor],
        scores: list[Tensor],
        mask: Tensor | None,
    ) -> Tensor:
        """The mode products of the values with the weights.

        Args:
            rows: The values, `(B·n_1·…·n_M, h·d)`.
            sizes: `(B, n_1, …, n_M)`.
            weights: One tensor per attention axis, `(B or 1, h, n_m, n_m)`.
            scores: The weights before dropout, which divide where there is a mask.
            mask: Optional boolean tensor `(B, n_1, …, n_M)`.

        Returns:
            Tensor of the shape of `rows`, in the compute dtype.
        """
        # By what is static: a batch of one example is not told from larger ones.
        shared = not any(s.input_dependent for s in self.synthesizers) and all(
            weight.shape[0] == 1 for weight in weights
        )
        layout = stt_ops.plan_heads(len(sizes) - 1, shared)
        # The last mode first: XLA writes its product faster where another follows.
        axes = [layout.axis(axis) for axis in reversed(self._axes)]
        matrices = [layout.matrix(weight) for weight in reversed(weights)]
        value = layout.split(rows, sizes, self.num_heads)
        if mask is not None:
            mask = layout.split(ops.reshape(mask, (-1, 1)), sizes, num_heads=1)
        if mask is None or len(sizes) == 2:
            if mask is not None:
                # With one mode, the softmax has left the masked positions out already,
                # but 0 times what stands there may be NaN.
                value = ops.where(mask, value, 0.0)
            matrices = [ops.cast(matrix, value.dtype) for matrix in matrices]
            return layout.merge(stt_ops.multi_mode_product(value, matrices, axes))
        value = stt_ops.masked_multi_mode_product(
            # In float32: the shares of the valid positions may be small.
            ops.cast(value, scores[0].dtype),
            matrices,
            axes,
            mask=mask,
            normalizers=[layout.matrix(score) for score in reversed(scores)],
        )
        return ops.cast(layout.merge(value), self.compute_dtype)

    def _causal_axes(
        self, use_causal_mask: bool | int | Sequence[int], rank: int
    ) -> tuple[int, ...]:
        """The axes with a causal mask; an error where another mode leaks the future."""
        # 0 is no axis of a mode either.
        if use_causal_mask is None or (
            not isinstance(use_causal_mask, (list, tuple)) and not use_causal_mask
        ):
            return ()
        requested = None if use_causal_mask is True else use_causal_mask
        causal_axes = (
            self._axes
            if requested is None
            else resolve_modes(as_integers("use_causal_mask", requested), rank)
        )
        if not set(causal_axes) <= set(self._axes):
            raise ValueError(
                f"`use_causal_mask` must name attention axes, among {self._axes}. "
                f"Received: use_causal_mask={use_causal_mask}"
            )
        for axis in causal_axes:
            for other, synthesizer in zip(self._axes, self.synthesizers, strict=True):
                if other != axis and synthesizer.input_dependent:
                    raise ValueError(
                        f"A causal mask along axis {axis} is not possible here: the "
                        f"weights of axis {other} are synthesised from the input, "
                        f"averaged over axis {axis}, and would carry the future into "
                        "the past. Use a synthesizer that does not depend on the input "
                        "('random', 'factorized_random') or set attention_axes="
                        f"{axis}. Received: use_causal_mask={use_causal_mask}, "
                        f"synthesizer={type(self.synthesizer).__name__}"
                    )
        return causal_axes

    def compute_output_spec(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        use_causal_mask: bool | int | Sequence[int] = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        self._causal_axes(use_causal_mask, len(inputs.shape))
        if mask is not None:
            stt_ops.check_mask_shape(mask.shape, inputs.shape)
        output = keras.KerasTensor(
            self.compute_output_shape(inputs.shape), dtype=self.compute_dtype
        )
        if not return_attention_scores:
            return output
        sizes = (inputs.shape[axis] for axis in self._axes)
        return output, tuple(
            keras.KerasTensor(
                (inputs.shape[0], self.num_heads, size, size), dtype=self.compute_dtype
            )
            for size in sizes
        )

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> Any:
        # An explicit mask may have sizes of 1 still, which other layers take amiss.
        return (
            None if previous_mask is None else stt_ops.grid_mask(previous_mask, inputs)
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], *(self._output_shape or input_shape[-1:]))

    def multiply_adds(self, input_shape: Shape) -> int:
        """Counts the multiply-adds for one example, forward.

        The projections, the mode products, and the products of the synthesizers.

        Args:
            input_shape: Shape of the input, `(B, n_1, …, n_M, C)`.
        """
        channels, positions = input_shape[-1], math.prod(input_shape[1:-1])
        value_dim = self.value_dim or head_dim(channels, self.num_heads, "value_dim")
        values = self.num_heads * value_dim
        outputs = math.prod(self._output_shape or (channels,))
        axes = resolve_modes(self.attention_axes, len(input_shape))
        synthesis = sum(
            self.synthesizer.for_mode(axis, self.num_heads).multiply_adds(input_shape)
            for axis in axes
        )
        sizes = sum(input_shape[axis] for axis in axes)
        return positions * values * (channels + outputs + sizes) + synthesis

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "value_dim": self.value_dim,
            "synthesizer": synthesizers.serialize(self.synthesizer),
            "attention_axes": self.attention_axes,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "output_shape": self._output_shape,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(
                self._activity_regularizer
            ),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "seed": self.seed,
        }


def _repeat(score: Tensor, batch: Any) -> Tensor:
    """Scores that the whole batch shares, once per example."""
    return ops.broadcast_to(score, (batch, *ops.shape(score)[1:]))
