"""The pre-norm residual block around a token mixer."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import keras

from keras_stt import ops as stt_ops
from keras_stt.export import export
from keras_stt.layers.stt import STT
from keras_stt.typing import Shape, Tensor


@export
class STTBlock(keras.layers.Layer):
    """A pre-norm residual block whose token mixer is any layer, STT by default.

    `X' = X + mixer(norm(X))`, `Y = X' + MLP(norm(X'))` with
    `MLP(x) = W_2 gelu(W_1 x + b_1) + b_2`: only the mixer differs between the models of
    a comparison. With a cross-attention, the block of a decoder: between the two,
    `X'' = X' + cross_attention(norm(X'), context)`.

    Args:
        mixer: A layer that keeps the shape of its input. Defaults to `None`:
            `STT(num_heads=4)`.
        mlp_ratio: Size of the MLP's hidden layer, in channels of the input. Defaults
            to 4.
        dropout: Dropout rate behind the mixer, the cross-attention and the MLP.
            Defaults to 0.0.
        stochastic_depth: Probability that an example skips the mixer (and,
            independently, the cross-attention and the MLP) in training. Defaults to
            0.0.
        activation: Activation of the MLP. Defaults to `"gelu"`.
        epsilon: Epsilon of the layer normalisations. Defaults to 1e-6.
        seed: Seed of dropout and stochastic depth.
        cross_attention: A layer that is called with the input and `context` and keeps
            the shape of the input. Defaults to `None`: there is none.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of shape `(B, n_1, …, n_M, C)`.
        context: What the cross-attention reads. Needed if there is one, and only then.
        mask: Optional boolean tensor of shape `(B, n_1, …, n_M)`, handed to a mixer
            that takes a mask; an error with one that mixes positions and does not.
        use_causal_mask: Handed to a mixer that takes it. Defaults to `False`.
        training: Whether dropout and stochastic depth are active.

    Returns:
        Tensor of the shape of `inputs`.

    Example:

    >>> block = keras_stt.layers.STTBlock(keras_stt.layers.STT(2, synthesizer="random"))
    >>> block(np.zeros((1, 5, 7, 16))).shape
    (1, 5, 7, 16)
    """

    def __init__(
        self,
        mixer: keras.layers.Layer | None = None,
        mlp_ratio: float = 4,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
        activation: Any = "gelu",
        epsilon: float = 1e-6,
        seed: int | None = None,
        cross_attention: keras.layers.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if mixer is None:
            mixer = STT(num_heads=4, dtype=self.dtype_policy, name="mixer")
        if not isinstance(mixer, keras.layers.Layer):
            raise ValueError(
                f"`mixer` must be a Keras layer or `None`. Received: mixer={mixer!r}"
            )
        _, *more = inspect.signature(mixer.call).parameters.values()
        needed = [
            parameter.name
            for parameter in more
            if parameter.default is parameter.empty
            and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        if needed:
            raise ValueError(
                "`mixer` must be called with one tensor; for MultiHeadAttention take "
                "`keras_stt.mixers.SelfAttention`. "
                f"Received: mixer={mixer!r}, which also needs {', '.join(needed)}"
            )
        if not isinstance(cross_attention, (keras.layers.Layer, type(None))):
            raise ValueError(
                "`cross_attention` must be a Keras layer or `None`. "
                f"Received: cross_attention={cross_attention!r}"
            )
        if mlp_ratio <= 0:
            raise ValueError(
                f"`mlp_ratio` must be positive. Received: mlp_ratio={mlp_ratio}"
            )
        if not 0 <= stochastic_depth < 1:
            raise ValueError(
                "`stochastic_depth` must lie in [0, 1). "
                f"Received: stochastic_depth={stochastic_depth}"
            )
        self.mixer = mixer
        self.mlp_ratio = mlp_ratio
        self.dropout = dropout
        self.stochastic_depth = stochastic_depth
        self.activation = keras.activations.get(activation)
        self.epsilon = epsilon
        self.seed = seed
        self.cross_attention = cross_attention
        self.supports_masking = True

    def build(self, inputs_shape: Shape, context_shape: Shape | None = None) -> None:
        input_shape, dtype = inputs_shape, self.dtype_policy
        channels = input_shape[-1]
        hidden = max(1, round(channels * self.mlp_ratio))
        self.mixer_norm = self._norm("mixer_norm", input_shape)
        if self.cross_attention is not None:
            self.cross_norm = self._norm("cross_norm", input_shape)
            if context_shape is None:
                raise ValueError(
                    "A block with a cross-attention must be built with the shape of "
                    "the context. Received: context_shape=None"
                )
            if not self.cross_attention.built:
                self.cross_attention.build(input_shape, context_shape)
        self.mlp_norm = self._norm("mlp_norm", input_shape)
        self.expand = keras.layers.Dense(
            hidden, activation=self.activation, dtype=dtype, name="expand"
        )
        self.project = keras.layers.Dense(channels, dtype=dtype, name="project")
        self.dropout_layer = keras.layers.Dropout(
            self.dropout, seed=self.seed, dtype=dtype, name="dropout"
        )
        # One draw per example: the branch as a whole is kept or left out.
        self.skip_layer = keras.layers.Dropout(
            self.stochastic_depth,
            noise_shape=(None,) + (1,) * (len(input_shape) - 1),
            seed=None if self.seed is None else self.seed + 1,
            dtype=dtype,
            name="stochastic_depth",
        )
        if not self.mixer.built:
            self.mixer.build(input_shape)
        mixed_shape = self.mixer.compute_output_shape(input_shape)
        if tuple(mixed_shape) != tuple(input_shape):
            raise ValueError(
                "`mixer` must keep the shape of its input. Received: a mixer from "
                f"{tuple(input_shape)} to {tuple(mixed_shape)}"
            )
        self.expand.build(input_shape)
        self.project.build((*input_shape[:-1], hidden))
        for layer in (self.dropout_layer, self.skip_layer):
            layer.build(input_shape)

    def _norm(self, name: str, shape: Shape) -> keras.layers.Layer:
        norm = keras.layers.LayerNormalization(
            epsilon=self.epsilon, dtype=self.dtype_policy, name=name
        )
        norm.build(shape)
        return norm

    def call(
        self,
        inputs: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        use_causal_mask: bool | int | Sequence[int] = False,
        training: bool | None = None,
    ) -> Tensor:
        if (context is None) != (self.cross_attention is None):
            raise ValueError(
                "`context` must be given with a cross-attention, and only then. "
                f"Received: {'no' if context is None else 'a'} context, "
                f"cross_attention={self.cross_attention}"
            )
        masks = self._mixer_masks(mask, use_causal_mask)
        mixed = self.mixer(self.mixer_norm(inputs), **masks)
        hidden = inputs + self._regularize(mixed, training)
        if self.cross_attention is not None:
            read = self.cross_attention(self.cross_norm(hidden), context)
            hidden = hidden + self._regularize(read, training)
        mlp = self.project(self.expand(self.mlp_norm(hidden)))
        return hidden + self._regularize(mlp, training)

    def _mixer_masks(
        self, mask: Tensor | None, use_causal_mask: bool | int | Sequence[int]
    ) -> dict[str, Any]:
        """The masks as call arguments of the mixer; an error where it has none."""
        masks: dict[str, Any] = {}
        if mask is not None:
            masks["mask"] = mask
        if use_causal_mask:
            masks["use_causal_mask"] = use_causal_mask
        accepted = inspect.signature(self.mixer.call).parameters
        missing = [name for name in masks if name not in accepted]
        if missing == ["mask"] and self.mixer.supports_masking:
            # Keras's word for layers, such as Dense, that treat each position alone.
            del masks["mask"]
        elif missing:
            raise ValueError(
                f"The mixer must take the call argument `{missing[0]}` where one is "
                "given: leave it out, or take a mixer that has it, as STT and "
                "SelfAttention do. "
                f"Received: {missing[0]} for {type(self.mixer).__name__}"
            )
        return masks

    def _regularize(self, branch: Tensor, training: bool | None) -> Tensor:
        branch = self.dropout_layer(branch, training=training)
        return self.skip_layer(branch, training=training)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> Any:
        return (
            None if previous_mask is None else stt_ops.grid_mask(previous_mask, inputs)
        )

    def compute_output_shape(
        self, inputs_shape: Shape, context_shape: Shape | None = None
    ) -> Shape:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "mixer": keras.saving.serialize_keras_object(self.mixer),
            "mlp_ratio": self.mlp_ratio,
            "dropout": self.dropout,
            "stochastic_depth": self.stochastic_depth,
            "activation": keras.activations.serialize(self.activation),
            "epsilon": self.epsilon,
            "seed": self.seed,
            "cross_attention": keras.saving.serialize_keras_object(
                self.cross_attention
            ),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> STTBlock:
        layers = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("mixer", "cross_attention")
        }
        return cls(**{**config, **layers})
