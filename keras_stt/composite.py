"""Layers that make other layers, which may be quantised or made for another size."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras

Policy = Any
"""A `keras.dtype_policies.DTypePolicy`."""


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
"""Where a layer on PyTorch, which is a module, keeps the hooks that users register."""


class SizedWeight(NamedTuple):
    """A weight with a number for each position of a mode, or each pair of them.

    Attributes:
        variable: The weight.
        shape: Its shape where heads and positions are axes of their own: `(r, h, n)`
            of a kernel `(r, h·n)`.
        axes: The axes of `shape` that have the size of a mode.
    """

    variable: keras.Variable
    shape: tuple[int, ...]
    axes: tuple[int, ...]


def sized_columns(dense: keras.layers.Dense, num_heads: int) -> list[SizedWeight]:
    """The weights of a dense layer that has a unit for each head and position."""
    columns = (num_heads, dense.units // num_heads)
    return [
        SizedWeight(dense.kernel, (dense.kernel.shape[0], *columns), (2,)),
        SizedWeight(dense.bias, columns, (1,)),
    ]


class Composite(keras.layers.Layer):
    """A layer whose config holds the dtype policies of the layers that it makes.

    `quantize` gives the sublayers policies of their own. A layer made from the config
    hands these to its sublayers, which then have the variables that a file holds.
    """

    def policy_of(self, name: str, of_keras: bool = False) -> Policy:
        """The dtype policy for a sublayer that is about to be made.

        Args:
            name: Name of the sublayer.
            of_keras: Whether it is a composite layer of Keras's own.
        """
        return sublayer_policy(self.dtype_policy, name, of_keras)

    def _output_of(
        self, sublayer: keras.layers.Layer, inputs: Any, **options: Any
    ) -> Any:
        """The output of a built sublayer, for inputs in the layer's compute dtype.

        By its `call` alone where `__call__` would change nothing: what Keras does
        around a call takes longer than a small product in eager PyTorch.
        """
        around = (
            sublayer.quantization_mode is not None
            or sublayer.activity_regularizer is not None
            or sublayer.compute_dtype != self.compute_dtype
            # A layout may say how the outputs of the sublayer are split.
            or keras.distribution.distribution() is not None
            or any(getattr(sublayer, hooks, None) for hooks in _HOOKS)
        )
        return (sublayer if around else sublayer.call)(inputs, **options)

    def sized_weights(self) -> list[SizedWeight]:
        """The layer's own weights that are tied to the size of the input.

        A model for another size gets them by interpolation. Those of sublayers that are
        composite layers do not belong here.
        """
        return []

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, with the policies of all sublayers."""
        return {**super().get_config(), "dtype": dtype_config(self)}

    def _post_build(self) -> None:
        super()._post_build()
        keep_frozen(self)


def sublayer_policy(policy: Policy, name: str, of_keras: bool = False) -> Policy:
    """The part of a layer's dtype policy that is for one of its sublayers.

    Args:
        policy: Policy of the layer: of a `DTypePolicyMap`, the keys are paths below it.
        name: Name of the sublayer.
        of_keras: Whether the sublayer is a composite layer of Keras's own, whose
            sublayers look for whole paths.

    Returns:
        A policy; a `DTypePolicyMap` for a sublayer that has sublayers in the map.
    """
    if not isinstance(policy, keras.dtype_policies.DTypePolicyMap):
        return policy
    prefix = f"{name}/"
    below = {
        key.removeprefix(prefix): each
        for key, each in policy.items()
        if key.startswith(prefix)
    }
    own = policy[name]
    if not below:
        return own
    if of_keras:
        start = f"(.*/)?{re.escape(prefix)}"
        below = {f"{start}{re.escape(key)}": each for key, each in below.items()}
    return keras.dtype_policies.DTypePolicyMap(own, below)


def dtype_config(layer: keras.layers.Layer) -> Any:
    """The dtype policy of a layer, and of the quantised ones below, for its config.

    Raises:
        ValueError: If a sublayer has quantizers that a policy cannot name.
    """
    own = _resolved(layer)
    below = {
        path: policy
        for path, sublayer in _leaves(layer)
        if (policy := _resolved(sublayer)).quantization_mode
    }
    for path, sublayer in _leaves(layer):
        if path in below:
            _check_quantizers(path, sublayer)
    if below:
        own = keras.dtype_policies.DTypePolicyMap(own, below)
    return keras.dtype_policies.serialize(own)


def _check_quantizers(path: str, layer: keras.layers.Layer) -> None:
    """Raises a `ValueError` for quantizers other than those of the mode.

    A policy names the mode alone: the layer would load with the default quantizers, and
    compute other numbers without a word.
    """
    config = getattr(layer, "quantization_config", None)
    if config is None:
        return
    default = type(config)()
    changed = [
        name
        for name in ("weight_quantizer", "activation_quantizer")
        if _described(getattr(config, name)) != _described(getattr(default, name))
    ]
    if changed:
        raise ValueError(
            "A layer inside another one must be quantised with the default quantizers "
            "to be saved or copied: `quantize` with a mode, or with a config that "
            f"leaves them alone. Received: another {', '.join(changed)} in {path}"
        )


def _described(quantizer: Any) -> Any:
    """A quantizer's class and arguments, as lists where they may be tuples.

    Not as Keras serialises it, which marks an object that it meets a second time.
    """
    if quantizer is None:
        return None
    return type(quantizer).__name__, json.loads(json.dumps(quantizer.get_config()))


def settle_policies(layer: keras.layers.Layer) -> None:
    """Gives each sublayer of a composite layer of Keras's own its policy for a map.

    Keras saves a quantised layer by its own policy, and fails where that is a map.
    """
    for _, sublayer in _leaves(layer):
        # Keras's setter would write into the map.
        sublayer._dtype_policy = _resolved(sublayer)


def _resolved(layer: keras.layers.Layer) -> Policy:
    """The policy of a layer itself, where it has a map for those below it."""
    policy = layer.dtype_policy
    if isinstance(policy, keras.dtype_policies.DTypePolicyMap):
        return policy[layer.path] if layer.path else policy.default_policy
    return policy


def part_config(part: keras.layers.Layer | None) -> Any:
    """The config of a layer that another one was given, as part of that one's config.

    Without the shape that it was built for: what builds the outer layer builds the
    part, and for another shape if it is called with one.
    """
    config = keras.saving.serialize_keras_object(part)
    if config is not None:
        config.pop("build_config", None)
    return config


def part_from(config: Any) -> Any:
    """The part of a config, or what is a part already."""
    if isinstance(config, dict):
        return keras.saving.deserialize_keras_object(config)
    return config


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers that a layer or model consists of, once each."""
    if isinstance(layer, keras.Model):
        return list(dict.fromkeys(layer.layers))
    values = keras.tree.flatten([*vars(layer).values()])
    layers = [value for value in values if isinstance(value, keras.layers.Layer)]
    return list(dict.fromkeys(layers))


def _leaves(layer: keras.layers.Layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers below a layer that have none below them, with their paths."""
    for part in sublayers(layer):
        below = [(f"{part.name}/{path}", each) for path, each in _leaves(part)]
        yield from below or [(part.name, part)]


def keep_frozen(layer: keras.layers.Layer) -> None:
    """Freezes what is below frozen layers.

    A layer that is loaded as frozen makes its sublayers later, in `build`, and Keras
    leaves these trainable.
    """
    for part in sublayers(layer):
        keep_frozen(part)
    if not layer.trainable:
        # On TensorFlow, to set an attribute to what it is has no effect.
        layer.trainable = True
        layer.trainable = False


@contextmanager
def uncompiled(model: keras.Model) -> Iterator[None]:
    """Has Keras serialise or clone a model without how it is compiled.

    A copy would fail for a loss or metric that is not registered.
    """
    compiled = [each for each in (model, *_models_in(model)) if each.compiled]
    for each in compiled:
        each.compiled = False
    try:
        yield
    finally:
        for each in compiled:
            each.compiled = True


def _models_in(model: keras.Model) -> Iterator[keras.Model]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield layer
            yield from _models_in(layer)
