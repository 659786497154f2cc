"""Attention along modes with synthesised weights: what STT and its variants share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_stt import arguments, synthesizers
from keras_stt import ops as stt_ops
from keras_stt.export import export
from keras_stt.layers.grid_layer import GridLayer
from keras_stt.typing import Shape, Tensor
from keras_stt.untracked import Untracked

#: What a constructor says of a kind of weight, and how a config holds it.
_SERIALIZE = {
    "initializer": keras.initializers.serialize,
    "regularizer": keras.regularizers.serialize,
    "constraint": keras.constraints.serialize,
}

_ONE_INPUT = "it attends within one tensor, its first argument"
_POSITIONS = "give `mask`, one boolean per position"

#: What those who come from MultiHeadAttention may give, and what to do instead.
_FOREIGN = {
    "key_dim": "there are no keys, so leave it out",
    "flash_attention": "there are no dot products to fuse, so leave it out",
    **dict.fromkeys(("query", "value", "key"), _ONE_INPUT),
    **dict.fromkeys(("attention_mask", "query_mask", "value_mask"), _POSITIONS),
    "key_mask": _POSITIONS,
}


@dataclass(frozen=True)
class ModeWeights:
    """The attention weights of a call, one tensor per attention axis.

    Attributes:
        scores: `(B or 1, h, n_m, n_m)`, float32 at least, before dropout.
        weights: What is applied: the scores after dropout.
        shared: Whether the whole batch has the same weights.
    """

    scores: list[Tensor]
    weights: list[Tensor]
    shared: bool


@export
class SynthesizedAttention(GridLayer):
    """Base of layers whose attention weights come from a synthesizer per mode.

    Args:
        synthesizer: Where the logits come from: a name, a
            `keras_stt.synthesizers.Synthesizer` as a template, or its config dict.
        attention_axes: The axes that are transformed: an integer or several, which may
            be negative. Defaults to `None`: all axes but batch and channels.
        causal_axes: The attention axes along which `use_causal_mask` acts. Defaults to
            `None`: all of them.
        dropout: Dropout rate of the attention weights of each mode. Defaults to 0.0.
        seed: Seed of the dropout.
        data_format: As in `GridLayer`.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.
    """

    #: Optional call arguments that a block or a model may pass.
    call_options = ("mask", "use_causal_mask", "return_attention_scores")

    def __init__(
        self,
        synthesizer: Any,
        attention_axes: int | Sequence[int] | None = None,
        causal_axes: int | Sequence[int] | None = None,
        dropout: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._refuse(kwargs)
        super().__init__(data_format=data_format, **kwargs)
        self._template = Untracked(synthesizers.get(synthesizer))
        self.attention_axes = arguments.integers("attention_axes", attention_axes)
        self.causal_axes = arguments.integers("causal_axes", causal_axes)
        self.dropout = arguments.rate("dropout", dropout)
        self.seed = arguments.optional_seed("seed", seed)
        self._weight_kinds: tuple[str, ...] = ()
        self.dropout_layer = keras.layers.Dropout(
            self.dropout,
            seed=self.seed,
            # That of the scores: with a mask, both are divided by each other.
            dtype=keras.backend.result_type(self.compute_dtype, "float32"),
            name="dropout",
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse(kwargs)
        return super().__call__(*args, **kwargs)

    def _refuse(self, given: dict[str, Any]) -> None:
        """An error for an argument of MultiHeadAttention that has no counterpart."""
        for name in given:
            if name in _FOREIGN:
                raise ValueError(
                    f"`{name}` is an argument of MultiHeadAttention, not of "
                    f"{type(self).__name__}: {_FOREIGN[name]}. Received: "
                    f"arguments {[*given]}"
                )

    def _set_weight_options(
        self, name: str, initializer: Any, regularizer: Any, constraint: Any
    ) -> None:
        """Stores the constructor's options for a kind of weight, such as `"kernel"`.

        As in Keras's layers, attributes such as `kernel_initializer` hold them.
        """
        values = (initializer, regularizer, constraint)
        for kind, value in zip(_SERIALIZE, values, strict=True):
            argument = f"{name}_{kind}"
            setattr(self, argument, getattr(arguments, kind)(argument, value))
        self._weight_kinds += (name,)

    def _weight_options(self, name: str, prefix: str = "") -> dict[str, Any]:
        """The same as arguments of `add_weight`, or with a prefix, of a layer."""
        return {
            f"{prefix}initializer": arguments.fresh(
                getattr(self, f"{name}_initializer")
            ),
            f"{prefix}regularizer": getattr(self, f"{name}_regularizer"),
            f"{prefix}constraint": getattr(self, f"{name}_constraint"),
        }

    @property
    def synthesizer(self) -> synthesizers.Synthesizer:
        """The synthesizer as it was given; `synthesizers` holds its copies per mode."""
        return self._template.content

    def modes(self, rank: int) -> tuple[int, ...]:
        """The attention axes of an input, counted from 1 with the channels last.

        Args:
            rank: Rank of the input.
        """
        return arguments.resolve_modes(
            "attention_axes", self.attention_axes, rank, self.data_format
        )

    def _build_synthesizers(self, input_shape: Shape, num_heads: int) -> None:
        """Makes a synthesizer per mode, and the spec of the inputs that they allow."""
        rank = len(input_shape)
        self._modes = self._causal_modes = self.modes(rank)
        if self.causal_axes is not None:
            self._causal_modes = arguments.resolve_modes(
                "causal_axes", self.causal_axes, rank, self.data_format
            )
        if not set(self._causal_modes) <= set(self._modes):
            raise ValueError(
                "`causal_axes` must be among the attention axes. Received: "
                f"causal_axes={self.causal_axes}, attention_axes={self.attention_axes}"
            )
        self.synthesizers = [
            self.synthesizer.for_mode(
                axis,
                num_heads,
                name=f"synthesizer_{axis}",
                dtype=self.policy_of(f"synthesizer_{axis}"),
            )
            for axis in self._modes
        ]
        shape = self.channels_last_shape(input_shape)
        axes: dict[int, int] = {}
        for synthesizer in self.synthesizers:
            synthesizer.build(shape)
            if synthesizer.input_spec:
                axes |= synthesizer.input_spec.axes
        moved = int(self.channels_first)
        axes = {axis + moved: size for axis, size in axes.items()}
        if axes:
            self._sizes = tuple(axes.get(axis) for axis in range(rank))
        axes[1 if self.channels_first else -1] = shape[-1]
        self.input_spec = keras.InputSpec(ndim=rank, axes=axes)

    def _mode_weights(
        self,
        inputs: Tensor,
        mask: Tensor | None,
        use_causal_mask: bool,
        training: bool | None,
    ) -> ModeWeights:
        """The weights of every mode, for inputs with the channels last."""
        scores = []
        for axis, synthesizer in zip(self._modes, self.synthesizers, strict=True):
            logits = self._logits(synthesizer, inputs, mask)
            _check_logits(synthesizer, logits, inputs.shape[axis])
            causal = use_causal_mask and axis in self._causal_modes
            scores.append(stt_ops.mode_weights(logits, axis, mask, causal=causal))
        # In this order: under `keras.RematScope`, `training` may be a traced value.
        if self.dropout and training:
            batch = ops.shape(inputs)[0]
            weights = [
                self.dropout_layer(_repeat(score, batch), training=training)
                for score in scores
            ]
            return ModeWeights(scores, weights, shared=False)
        # Not by the batch size of the weights: it is 1 for one example, and while a
        # graph is traced. With a mask, every example has weights of its own.
        dependent = any(s.input_dependent for s in self.synthesizers)
        return ModeWeights(scores, scores, shared=mask is None and not dependent)

    def _logits(
        self, synthesizer: synthesizers.Synthesizer, inputs: Tensor, mask: Any
    ) -> Tensor:
        """The logits of a mode."""
        # Keras's `__call__` says whether it is training.
        if synthesizer.takes_training:
            return synthesizer(inputs, mask=mask)
        return self._output_of(synthesizer, inputs, mask=mask)

    def compute_output_spec(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        self._check_call(use_causal_mask, return_attention_scores)
        if mask is not None:
            shape = self.channels_last_shape(inputs.shape)
            stt_ops.grid_mask(mask, keras.KerasTensor(shape))
        output = keras.KerasTensor(
            self.compute_output_shape(inputs.shape), dtype=self.compute_dtype
        )
        if not return_attention_scores:
            return output
        return output, self._score_specs(inputs.shape)

    def _returned_scores(self, scores: Sequence[Tensor], batch: Any) -> Any:
        """The scores as a call returns them: for every example, in its dtype."""
        return tuple(
            ops.cast(_repeat(score, batch), self.compute_dtype) for score in scores
        )

    def _score_specs(self, input_shape: Shape) -> Any:
        """What `_returned_scores` returns, symbolically."""
        num_heads = self.synthesizers[0].num_heads
        shape = self.channels_last_shape(input_shape)
        return tuple(
            keras.KerasTensor(
                (shape[0], num_heads, shape[axis], shape[axis]),
                dtype=self.compute_dtype,
            )
            for axis in self._modes
        )

    def _check_call(self, use_causal_mask: bool, return_attention_scores: bool) -> None:
        """An error for a call that is not possible: where a mode leaks the future."""
        arguments.boolean("return_attention_scores", return_attention_scores)
        if not arguments.boolean("use_causal_mask", use_causal_mask):
            return
        moved = int(self.channels_first)
        for axis in self._causal_modes:
            for other, synthesizer in zip(self._modes, self.synthesizers, strict=True):
                if other != axis and synthesizer.input_dependent:
                    raise ValueError(
                        f"`use_causal_mask` is not possible along axis {axis + moved}: "
                        f"the weights of axis {other + moved} are synthesised from the "
                        "input, averaged over that axis, and would carry the future "
                        "into the past. Use a synthesizer that does not depend on the "
                        "input ('random', 'factorized_random', 'gaussian') or set "
                        f"attention_axes={axis + moved}. "
                        "Received: use_causal_mask=True, "
                        f"synthesizer={type(self.synthesizer).__name__}"
                    )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "synthesizer": synthesizers.serialize(self.synthesizer),
            "attention_axes": self.attention_axes,
            "causal_axes": self.causal_axes,
            "dropout": self.dropout,
            "seed": self.seed,
            **{
                f"{name}_{kind}": serialize(getattr(self, f"{name}_{kind}"))
                for name in self._weight_kinds
                for kind, serialize in _SERIALIZE.items()
            },
        }


def _check_logits(
    synthesizer: synthesizers.Synthesizer, logits: Tensor, size: int | None
) -> None:
    """Raises a `ValueError` for logits that are not those of the mode."""
    heads, size = synthesizer.num_heads, size or logits.shape[-1]
    shared = not synthesizer.input_dependent
    if logits.shape[1:] != (heads, size, size) or (shared and logits.shape[0] != 1):
        batch = "1" if shared else "B or 1"
        raise ValueError(
            f"`{type(synthesizer).__name__}.call` must return logits of shape "
            f"({batch}, num_heads, n, n), here ({batch}, {heads}, {size}, {size}). "
            f"Received: shape {tuple(logits.shape)}"
        )


def _repeat(score: Tensor, batch: Any) -> Tensor:
    """Scores that the whole batch shares, once per example."""
    return ops.broadcast_to(score, (batch, *ops.shape(score)[1:]))
