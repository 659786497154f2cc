"""The pre-norm residual block around a token mixer."""

from __future__ import annotations

import weakref
from typing import Any

import keras

from keras_stt import arguments
from keras_stt import ops as stt_ops
from keras_stt.composite import part_config, part_from
from keras_stt.export import export
from keras_stt.layers.grid_layer import GridLayer
from keras_stt.layers.stt import STT
from keras_stt.portable import LayerNormalization, portable_activation
from keras_stt.typing import Shape, Tensor

_TWO_TENSORS = (
    keras.layers.AdditiveAttention,
    keras.layers.Attention,
    keras.layers.GroupQueryAttention,
    keras.layers.MultiHeadAttention,
)

#: The block of every mixer and cross-attention that has one.
_OWNERS: weakref.WeakKeyDictionary[keras.layers.Layer, weakref.ref[STTBlock]]
_OWNERS = weakref.WeakKeyDictionary()


@export
class STTBlock(GridLayer):
    """A pre-norm residual block whose token mixer is any layer, STT by default.

    `X' = X + mixer(norm(X))`, `Y = X' + MLP(norm(X'))` with
    `MLP(x) = W_2 gelu(W_1 x + b_1) + b_2`. In a comparison, models differ in the mixer
    only. With a cross-attention, this is the block of a decoder, with
    `X'' = X' + cross_attention(norm(X'), context)` between the two steps.

    Args:
        mixer: A layer that keeps the shape of its input and is not part of any other
            block, or the config dict of such a layer, from which each block makes its
            own. The layer's attribute `call_options` lists the call arguments of the
            block that it accepts. Defaults to `None`: `STT(num_heads=4)`.
        mlp_ratio: Size of the MLP's hidden layer, as a multiple of the number of
            channels. Defaults to 4.
        dropout: Dropout rate after the mixer, the cross-attention and the MLP.
            Defaults to 0.0.
        stochastic_depth: Probability that an example skips the mixer (and,
            independently, the cross-attention and the MLP) in training. Defaults to
            0.0.
        activation: Activation of the MLP. Defaults to `"gelu"`.
        epsilon: Epsilon of the layer normalisations. Defaults to 1e-6.
        seed: Seed of dropout and stochastic depth.
        cross_attention: A layer that is called with the input and `context` and keeps
            the shape of the input. Defaults to `None`: no cross-attention.
        layer_scale: Initial value, such as 1e-4, of a learned factor per channel. The
            outputs of mixer, cross-attention and MLP are multiplied by it before they
            are added. The block then starts close to the identity, which helps in deep
            models and in blocks inserted into trained models. Defaults to `None`: no
            such factor.
        data_format: `"channels_last"` or `"channels_first"`, of the input. The mixer
            gets channels last in either case. Defaults to `None`: channels last,
            whatever Keras's global setting.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`. If `dtype` is
            given, it also applies to a mixer and a cross-attention made without one.

    Call arguments:
        inputs: Tensor of shape `(B, n_1, …, n_M, C)`.
        context: The tensor that the cross-attention reads. Required with a
            cross-attention, and not allowed without one.
        mask: Optional boolean tensor of shape `(B, n_1, …, n_M)` for the mixer. It is
            an error if the mixer mixes positions but takes no mask. If none is given,
            the implicit Keras mask of the input is used.
        inputs_mask: If there is a context, Keras passes the implicit mask of the input
            under this name.
        context_mask: Optional mask for the cross-attention; by default the implicit
            Keras mask of the context.
        use_causal_mask: For the mixer. Defaults to `False`.
        return_attention_scores: Whether to also return the mixer's scores, in the form
            that the mixer returns. Defaults to `False`.
        training: Whether dropout and stochastic depth are active.

    Returns:
        output: Tensor of the shape of `inputs`.
        scores: With `return_attention_scores=True`, also the scores of the mixer.

    Example:

    >>> block = keras_stt.layers.STTBlock(keras_stt.layers.STT(2, synthesizer="random"))
    >>> block(np.zeros((1, 5, 7, 16))).shape
    (1, 5, 7, 16)

    Reference:
        - Touvron et al., Going deeper with image transformers,
          [arXiv 2103.17239](https://arxiv.org/abs/2103.17239), section 2, for
          `layer_scale`.
    """

    #: Optional call arguments that a block or a model may pass.
    call_options = ("mask", "use_causal_mask")

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
        layer_scale: float | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        if mixer is None:
            mixer = STT(num_heads=4, dtype=self.dtype_policy, name="mixer")
        self.mixer = mixer = self._part("mixer", mixer)
        self.cross_attention = None
        if cross_attention is not None:
            self.cross_attention = self._part("cross_attention", cross_attention)
        if isinstance(mixer, _TWO_TENSORS):
            raise ValueError(
                "`mixer` must be called with one tensor; instead of MultiHeadAttention "
                "pass `keras_stt.mixers.SelfAttention`. "
                f"Received: mixer={mixer!r}"
            )
        if getattr(mixer, "data_format", "channels_last") != "channels_last":
            raise ValueError(
                "`mixer` must take channels last: that is what a block passes to its "
                "mixer, whatever its own `data_format`. "
                f"Received: mixer={mixer!r} with data_format={mixer.data_format}"
            )
        if kwargs.get("dtype") is not None:
            self._share_policy()
        self.mlp_ratio = arguments.positive_number("mlp_ratio", mlp_ratio)
        self.dropout = arguments.rate("dropout", dropout)
        self.stochastic_depth = arguments.rate("stochastic_depth", stochastic_depth)
        self.activation = arguments.activation("activation", activation)
        self.epsilon = arguments.positive_number("epsilon", epsilon)
        self.seed = arguments.optional_seed("seed", seed)
        self.layer_scale = None
        if layer_scale is not None:
            self.layer_scale = arguments.non_negative_number("layer_scale", layer_scale)
        # Last: a block that could not be made owns nothing.
        for part in filter(None, (self.mixer, self.cross_attention)):
            _OWNERS[part] = weakref.ref(self)

    def _part(self, name: str, layer: Any) -> keras.layers.Layer:
        """The mixer or cross-attention of this block and of no other."""
        if isinstance(layer, dict):
            layer = keras.saving.deserialize_keras_object(layer)
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(
                f"`{name}` must be a Keras layer or `None`. Received: {name}={layer!r}"
            )
        owner = _OWNERS.get(layer)
        if owner is not None and owner() is not None:
            raise ValueError(
                f"`{name}` must be a layer that no other block has: each block needs "
                f"its own. Received: {name}={layer!r}, which {owner()!r} has"
            )
        return layer

    def _share_policy(self) -> None:
        """Gives the block's dtype policy to parts that were made without their own."""
        for part in filter(None, (self.mixer, self.cross_attention)):
            if not part.built and part.dtype_policy == keras.config.dtype_policy():
                part.dtype_policy = self.policy_of(part.name)

    def build(self, inputs_shape: Shape, context_shape: Shape | None = None) -> None:
        arguments.check_input_shape(inputs_shape, self.data_format)
        shape = self.channels_last_shape(inputs_shape)
        *outer, channels = shape
        self.mixer_norm = self._norm("mixer_norm", shape)
        if self.cross_attention is not None:
            self.cross_norm = self._norm("cross_norm", shape)
            if context_shape is None:
                raise ValueError(
                    "`context` must be given to a block with a cross-attention. "
                    "Received: context_shape=None"
                )
            if not self.cross_attention.built:
                self.cross_attention.build(shape, context_shape)
        self.mlp_norm = self._norm("mlp_norm", shape)
        if not self.mixer.built:
            self.mixer.build(shape)
        mixed_shape = self.mixer.compute_output_shape(shape)
        if tuple(mixed_shape) != tuple(shape):
            raise ValueError(
                "`mixer` must keep the shape of its input. Received: a mixer from "
                f"{tuple(shape)} to {tuple(mixed_shape)}"
            )
        hidden = max(1, round(channels * self.mlp_ratio))
        self.expand = keras.layers.Dense(
            hidden,
            activation=portable_activation(self.activation),
            dtype=self.policy_of("expand"),
            name="expand",
        )
        self.expand.build(shape)
        self.project = keras.layers.Dense(
            channels, dtype=self.policy_of("project"), name="project"
        )
        self.project.build((*outer, hidden))
        self.scales = {}
        if self.layer_scale is not None:
            branches = ["mixer", "mlp"]
            if self.cross_attention is not None:
                branches.append("cross")
            for branch in branches:
                self.scales[branch] = self.add_weight(
                    shape=(channels,),
                    initializer=keras.initializers.Constant(self.layer_scale),
                    name=f"{branch}_scale",
                )
        # Only those that do something: under `keras.RematScope`, a layer with a seed
        # cannot be traced on JAX.
        self.regularizers = []
        if self.dropout:
            self.regularizers.append(self._dropout("dropout", self.dropout, 0))
        if self.stochastic_depth:
            # One draw per example: the branch as a whole is kept or left out.
            self.regularizers.append(
                self._dropout(
                    "stochastic_depth",
                    self.stochastic_depth,
                    1,
                    noise_shape=(None,) + (1,) * (len(shape) - 1),
                )
            )

    def _norm(self, name: str, shape: Shape) -> keras.layers.Layer:
        norm = LayerNormalization(
            epsilon=self.epsilon, dtype=self.policy_of(name), name=name
        )
        norm.build(shape)
        return norm

    def _dropout(
        self, name: str, rate: float, index: int, **options: Any
    ) -> keras.layers.Dropout:
        seed = None if self.seed is None else self.seed + index
        return keras.layers.Dropout(
            rate, seed=seed, dtype=self.policy_of(name), name=name, **options
        )

    def call(
        self,
        inputs: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        self._check_context(context)
        inputs = self.channels_last(inputs)
        mask, mixer_options = self._mixer_options(
            inputs,
            inputs_mask if mask is None else mask,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
        )
        if mask is not None:
            inputs = stt_ops.zero_masked(inputs, mask)
        mixed = self.mixer(self.mixer_norm(inputs), **mixer_options)
        scores = None
        if return_attention_scores:
            mixed, scores = mixed
        hidden = inputs + self._branch("mixer", mixed, training)
        if self.cross_attention is not None:
            options = self._options("cross_attention", context_mask=context_mask)
            read = self.cross_attention(self.cross_norm(hidden), context, **options)
            hidden = hidden + self._branch("cross", read, training)
        mlp = self.project(self.expand(self.mlp_norm(hidden)))
        output = hidden + self._branch("mlp", mlp, training)
        output = self.as_given(output, modes=len(output.shape) - 2)
        return (output, scores) if return_attention_scores else output

    def compute_output_spec(
        self,
        inputs: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        self._check_context(context)
        normed = keras.KerasTensor(
            self.channels_last_shape(inputs.shape), dtype=self.compute_dtype
        )
        _, options = self._mixer_options(
            normed,
            inputs_mask if mask is None else mask,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
        )
        if self.cross_attention is not None:
            self._options("cross_attention", context_mask=context_mask)
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not options:
            return output
        mixed = self.mixer.compute_output_spec(normed, **options)
        return (output, mixed[1]) if return_attention_scores else output

    def _check_context(self, context: Tensor | None) -> None:
        if (context is None) != (self.cross_attention is None):
            raise ValueError(
                "`context` must be given with a cross-attention, and only then. "
                f"Received: {'no' if context is None else 'a'} context, "
                f"cross_attention={self.cross_attention}"
            )

    def _mixer_options(
        self, inputs: Tensor, mask: Tensor | None, **flags: bool
    ) -> tuple[Tensor | None, dict[str, Any]]:
        """The mask of inputs with the channels last, and how to call the mixer."""
        if mask is not None:
            mask = stt_ops.grid_mask(mask, inputs)
        return mask, self._options("mixer", mask=mask, **flags)

    def _options(self, name: str, **options: Any) -> dict[str, Any]:
        """Call arguments for a part of the block; an error where it does not take one.

        Args:
            name: `"mixer"` or `"cross_attention"`.
            **options: The arguments; `None` and `False` stand for none.
        """
        part = getattr(self, name)
        for flag in ("use_causal_mask", "return_attention_scores"):
            if flag in options:
                options[flag] = arguments.boolean(flag, options[flag])
        given = {
            option: value
            for option, value in options.items()
            if value is not None and value is not False
        }
        missing = [o for o in given if o not in getattr(part, "call_options", ())]
        if missing == ["mask"] and part.supports_masking:
            # So Keras marks layers, such as Dense, that treat each position alone.
            del given["mask"]
        elif missing:
            raise ValueError(
                f"`{missing[0]}` needs a {name} that lists it in `call_options`, as "
                "STT and SelfAttention do: leave it out, or choose another. (A mask "
                "may come with the inputs, from `Embedding` or `Masking`.) "
                f"Received: {missing[0]} for {type(part).__name__}"
            )
        return given

    def _branch(self, name: str, branch: Tensor, training: bool | None) -> Tensor:
        """What a branch adds: scaled, and with dropout and stochastic depth."""
        if name in self.scales:
            branch = branch * self.scales[name]
        for layer in self.regularizers:
            branch = layer(branch, training=training)
        return branch

    def compute_output_shape(
        self, inputs_shape: Shape, context_shape: Shape | None = None
    ) -> Shape:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "mixer": part_config(self.mixer),
            "mlp_ratio": self.mlp_ratio,
            "dropout": self.dropout,
            "stochastic_depth": self.stochastic_depth,
            "activation": keras.activations.serialize(self.activation),
            "epsilon": self.epsilon,
            "seed": self.seed,
            "cross_attention": part_config(self.cross_attention),
            "layer_scale": self.layer_scale,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> STTBlock:
        parts = {name: part_from(config[name]) for name in ("mixer", "cross_attention")}
        unbuilt = [part for part in parts.values() if part and not part.built]
        policies = [part.dtype_policy for part in unbuilt]
        block = cls(**{**config, **parts})
        # Theirs are known here, also where they are the default.
        for part, policy in zip(unbuilt, policies, strict=True):
            part.dtype_policy = policy
        return block
