"""STT in place of MultiHeadAttention in a trained model."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_stt import inspection
from keras_stt.composite import sublayers
from keras_stt.export import export
from keras_stt.layers import STT, STTBlock
from keras_stt.mixers import GridAttention, SelfAttention
from keras_stt.surgery.copies import (
    check_functional,
    copy_model,
    copy_of,
    copy_state,
)
from keras_stt.typing import Layer

_MHA = keras.layers.MultiHeadAttention

#: The smallest weight whose logarithm becomes a logit.
_SMALLEST = 1e-6

#: Inputs per call where maps are averaged.
_BATCH = 16


@export
def replace_attention(
    model: keras.Model,
    mixer: Layer | Callable[[], Layer] | None = None,
    inputs: Any = None,
) -> keras.Model:
    """Replaces the self-attention of a trained model with STT.

    This covers every `keras.layers.MultiHeadAttention` of the model that is called with
    the same tensor as query and value, and the full attention of every `STTBlock`
    (`SelfAttention`, `GridAttention`). All other weights are kept. Cross-attention is
    left alone, and so is attention that other layers call in their own code.

    By default, an `STT` with learned logits takes over the number of heads and the
    value and output projections. With `inputs`, the weights `A_m` of each mode start as
    the marginals of each head's mean attention map over these inputs: their Kronecker
    product `A_1 ⊗ … ⊗ A_M` is the one nearest to that map in Kullback-Leibler
    divergence. If the maps are such a product and the same for all inputs, the model
    computes the same as before. Otherwise accuracy drops, since positions are not
    compared any more: fine-tune the model.

    Args:
        model: A functional or `Sequential` model, such as an `image_classifier` with
            the mixer `"mha"`. It is left unchanged.
        mixer: What to put in place of the attention: a layer as a template, or a
            function that makes a layer. It gets the attention's name and input, and is
            called with `use_causal_mask` wherever the attention was. Defaults to
            `None`: `STT`, as described.
        inputs: A few dozen inputs of the model, without padding, to initialise the
            default mixer with. Defaults to `None`: the logits start as in a new layer.

    Returns:
        A new model, not compiled. Layers that are frozen in `model` are frozen in it;
        the new ones are not.

    Raises:
        ValueError: If there is no such attention, or it is called in a way that STT
            does not support, such as with an `attention_mask`.

    Example:

    >>> model = keras_stt.models.image_classifier((32, 32, 3), 10, mixer="mha")
    >>> images = np.random.rand(16, 32, 32, 3)
    >>> faster = keras_stt.surgery.replace_attention(model, inputs=images)
    >>> [type(faster.get_layer(f"block_{i}").mixer).__name__ for i in range(2)]
    ['STT', 'STT']
    """
    check_functional(model)
    if inputs is not None and (mixer is not None or not _count(inputs)):
        raise ValueError(
            "`inputs` must be arrays of at least one input, and go with the default "
            "mixer: any other mixer has its own initialisation. "
            f"Received: {_count(inputs)} inputs, mixer={mixer}"
        )
    replaced: dict[int, tuple[Layer, Layer]] = {}
    crossed: set[int] = set()

    def clone(layer: Layer) -> Layer:
        if not _has_attention(layer):
            return copy_of(layer)
        new = _new_mixer(mixer, layer.mixer)
        return type(layer).from_config({**layer.get_config(), "mixer": new})

    def call(original: Layer, copy: Layer, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(original, _MHA):
            return copy(*args, **kwargs)
        given = inspect.signature(original.call).bind(*args, **kwargs).arguments
        query, *others = (given.pop(name, None) for name in ("query", "value", "key"))
        if any(other is not None and other is not query for other in others):
            crossed.add(id(original))
            return copy(*args, **kwargs)
        options = _call_options(original, given)
        if id(original) not in replaced:
            replaced[id(original)] = original, _new_mixer(mixer, original)
        return replaced[id(original)][1](query, **options)

    new_model, pairs = copy_model(model, clone, call)
    for original, copy in pairs:
        if id(original) in replaced and id(original) in crossed:
            raise ValueError(
                "`model` must not call one MultiHeadAttention as self-attention and as "
                f"cross-attention. Received: {original.name}, which it calls as both"
            )
        if _has_attention(original):
            replaced[id(original.mixer)] = original.mixer, copy.mixer
            copy_state(original, copy, exclude=(original.mixer, copy.mixer))
        elif id(original) not in replaced:
            copy_state(original, copy)
    if not replaced:
        raise ValueError(
            "`model` must have a MultiHeadAttention that is called with one tensor as "
            "query and value, or an STTBlock with full attention. "
            f"Received: model={model!r}"
        )
    if mixer is None:
        for attention, stt in replaced.values():
            _copy_projections(attention, stt)
        if inputs is not None:
            _fit_weights(model, [*replaced.values()], inputs)
    return new_model


def _count(inputs: Any) -> int:
    """The number of inputs; 0 for what are none."""
    first = keras.tree.flatten(inputs)[0]
    return len(first) if hasattr(first, "shape") else 0


def _has_attention(layer: Layer) -> bool:
    return isinstance(layer, STTBlock) and isinstance(
        layer.mixer, (SelfAttention, GridAttention)
    )


def _new_mixer(mixer: Any, attention: Layer) -> Layer:
    """What replaces an attention, and has its name."""
    if mixer is None:
        return _stt(attention)
    layer = mixer
    if callable(mixer) and not isinstance(mixer, (keras.layers.Layer, type)):
        layer = mixer()
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(
            "`mixer` must be a layer, or a function without arguments that makes one. "
            f"Received: mixer={mixer!r}"
        )
    return type(layer).from_config({**layer.get_config(), "name": attention.name})


def _stt(attention: Layer) -> STT:
    """An STT with the sizes of an attention."""
    config = _inner(attention).get_config()
    if config.get("use_gate"):
        raise ValueError(
            "`model` must have attention without a gate, which STT does not support: "
            f"pass your own `mixer`. Received: {attention.name} with use_gate=True"
        )
    same = (
        *("num_heads", "value_dim", "dropout", "use_bias", "seed"),
        *("kernel_initializer", "kernel_regularizer", "kernel_constraint"),
        *("bias_initializer", "bias_regularizer", "bias_constraint"),
        *("activity_regularizer", "output_shape"),
    )
    # That of a mixer are all axes, which are the default.
    axes = config["attention_axes"] if attention is _inner(attention) else None
    return STT(
        **{name: config[name] for name in same},
        synthesizer="random",
        attention_axes=axes,
        name=attention.name,
        dtype=attention.dtype_policy,
    )


def _inner(attention: Layer) -> keras.layers.MultiHeadAttention:
    """The MultiHeadAttention of a mixer, or itself."""
    return attention if isinstance(attention, _MHA) else attention.attention


def _call_options(attention: Layer, given: dict[str, Any]) -> dict[str, Any]:
    """The call arguments of an attention as those of what replaces it."""
    given = {
        name: value
        for name, value in given.items()
        if value is not None and (value is not False or name == "training")
    }
    for name in given:
        if name not in ("use_causal_mask", "training"):
            raise ValueError(
                f"`{name}` of {attention.name} has no counterpart in STT, so this "
                "attention cannot be replaced. (With a mask that comes with the input, "
                "from Embedding or Masking, it can.) "
                f"Received: a model that calls it with {name}"
            )
    return given


def _copy_projections(attention: Layer, stt: STT) -> None:
    """Value and output projection of an attention, with the heads side by side."""
    inner = _inner(attention)
    for source, target in (
        (inner.value_dense, stt.value_dense),
        (inner.output_dense, stt.output_dense),
    ):
        old, new = source.weights, target.weights
        if [np.prod(w.shape) for w in old] != [np.prod(w.shape) for w in new]:
            raise ValueError(
                "`model` must have attention that is neither quantised nor adapted: "
                "quantise a model, or enable LoRA, afterwards. Received: "
                f"{attention.name} with {[w.path for w in old]}"
            )
        for weight, other in zip(old, new, strict=True):
            other.assign(np.reshape(ops.convert_to_numpy(weight.value), other.shape))


def _fit_weights(
    model: keras.Model, pairs: list[tuple[Layer, STT]], inputs: Any
) -> None:
    """Has each STT start with the marginals of an attention's mean map."""
    for attention, stt in pairs:
        if len(stt.synthesizers) != stt.input_spec.ndim - 2:
            raise ValueError(
                "`inputs` can be used where attention is over all axes between batch "
                f"and channels. Received: {attention.name} with attention_axes="
                f"{_inner(attention).attention_axes}"
            )
    totals: dict[str, Any] = {}
    for start in range(0, _count(inputs), _BATCH):
        batch = keras.tree.map_structure(
            lambda values: values[start : start + _BATCH],  # noqa: B023
            inputs,
        )
        with warnings.catch_warnings():
            # Of layers without maps, which are none of those that are replaced.
            warnings.simplefilter("ignore")
            found = inspection.attention_maps(model, batch)
        for maps in found:
            total = np.sum(maps.scores, axis=0, dtype="float64")
            totals[maps.name] = totals.get(maps.name, 0) + total
    names: dict[int, str] = {}
    for path, layer in _paths(model):
        names.setdefault(id(layer), path)
    for attention, stt in pairs:
        name = names[id(attention)]
        if name not in totals:
            name = names[id(_inner(attention))]
        for synthesizer, weights in zip(
            stt.synthesizers, _marginals(totals[name]), strict=True
        ):
            synthesizer.logits.assign(np.log(np.maximum(weights, _SMALLEST)))


def _marginals(total: np.ndarray) -> Iterator[np.ndarray]:
    """The mean map of each mode, `(h, n_m, n_m)`, of maps that were summed.

    Args:
        total: `(h, n_1, …, n_M, n_1, …, n_M)`, any multiple of a mean.
    """
    modes = (total.ndim - 1) // 2
    for mode in range(modes):
        others = [m for m in range(modes) if m != mode]
        axes = (*(1 + m for m in others), *(1 + modes + m for m in others))
        weights = total.sum(axis=axes)
        mass = weights.sum(axis=-1, keepdims=True)
        # A row without weights is one of padding.
        yield np.where(mass > 0, weights / np.where(mass > 0, mass, 1), 1)


def _paths(layer: Layer, path: str = "") -> Iterator[tuple[str, Layer]]:
    """All layers below a layer, with the names on the way to each."""
    for part in sublayers(layer):
        below = f"{path}/{part.name}".lstrip("/")
        yield below, part
        yield from _paths(part, below)
