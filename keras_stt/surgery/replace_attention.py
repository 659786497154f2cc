"""STT in the place of MultiHeadAttention in a trained model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_stt import inspection
from keras_stt.composite import parts
from keras_stt.export import export
from keras_stt.layers import STT, STTBlock
from keras_stt.mixers import GridAttention, SelfAttention
from keras_stt.surgery.copies import copy_model, copy_of, copy_weights
from keras_stt.typing import Layer

_MHA = keras.layers.MultiHeadAttention

#: The smallest weight whose logarithm becomes a logit.
_SMALLEST = 1e-6

#: Images per call where maps are averaged.
_BATCH = 16


@export
def replace_attention(
    model: keras.Model,
    mixer: Layer | Callable[[], Layer] | None = None,
    inputs: Any = None,
) -> keras.Model:
    """Puts STT in the place of the self-attention of a trained model.

    Every `keras.layers.MultiHeadAttention` of the model that is called with one tensor
    as query and value is replaced, and the attention of every `STTBlock`; all other
    weights are kept. Cross-attention stays. So does attention inside other layers than
    `STTBlock`, whose code calls it.

    By default, a layer `STT` with learned logits takes the place: with the heads of the
    attention, and its value and output projections. With `inputs`, its weights `A_m` of
    each mode start as the attention's mean over them: of the Kronecker products `A_1 ⊗
    … ⊗ A_M`, the one nearest in Kullback-Leibler divergence to the mean attention map
    of each head, whose rows are its marginals. Where the maps are the same for all
    images and are such a product, the model computes the same as before. Else accuracy
    drops, since what compared positions compares none any more; train it on for some
    epochs.

    Args:
        model: A functional or Sequential model, such as an `image_classifier` with the
            mixer `"mha"`. It stays as it is.
        mixer: What takes the place: a layer as a template, of which each attention gets
            a copy, or a function that makes a layer. It is called with the attention's
            input, and a causal mask where there is one. Defaults to `None`: `STT`, as
            described.
        inputs: Some dozens of inputs of the model, for the start of the default mixer.
            Defaults to `None`: it has the start of a new layer.

    Returns:
        A new model. It is compiled if `model` is, with an optimizer that starts anew.

    Raises:
        ValueError: If there is no such attention, or it is called in a way that STT has
            no form for, such as with an `attention_mask`.

    Example:

    >>> model = keras_stt.models.image_classifier((32, 32, 3), 10, mixer="mha")
    >>> images = np.random.rand(16, 32, 32, 3)
    >>> faster = keras_stt.surgery.replace_attention(model, inputs=images)
    >>> [type(faster.get_layer(f"block_{i}").mixer).__name__ for i in range(2)]
    ['STT', 'STT']
    """
    found: dict[int, tuple[Layer, Layer]] = {}

    def clone(layer: Layer) -> Layer:
        if not _has_attention(layer):
            return copy_of(layer)
        new = keras.saving.serialize_keras_object(_made(mixer, layer.mixer))
        return STTBlock.from_config({**layer.get_config(), "mixer": new})

    def call(original: Layer, copy: Layer, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(original, _MHA):
            return copy(*args, **kwargs)
        given = inspect.signature(original.call).bind(*args, **kwargs).arguments
        query = given.pop("query")
        if any(given.pop(name, query) is not query for name in ("value", "key")):
            return copy(*args, **kwargs)
        options = _call_options(original, given)
        if id(original) not in found:
            found[id(original)] = original, _made(mixer, original)
        return found[id(original)][1](query, **options)

    new_model, copies = copy_model(model, clone, call)
    for original, copy in copies:
        if _has_attention(original):
            found[id(original.mixer)] = original.mixer, copy.mixer
            copy_weights(original, copy, but=(original.mixer, copy.mixer))
        elif id(original) not in found:
            copy_weights(original, copy)
    if not found:
        raise ValueError(
            "`model` must have a MultiHeadAttention that is called with one tensor as "
            "query and value, or an STTBlock with attention. "
            f"Received: model={model!r}"
        )
    if mixer is None:
        for attention, stt in found.values():
            _copy_projections(attention, stt)
        if inputs is not None:
            _fit_weights(model, [*found.values()], inputs)
    return new_model


def _has_attention(layer: Layer) -> bool:
    return isinstance(layer, STTBlock) and isinstance(
        layer.mixer, (SelfAttention, GridAttention)
    )


def _made(mixer: Any, attention: Layer) -> Layer:
    """What takes the place of an attention, and its name."""
    if mixer is None:
        return _stt(attention)
    layer = mixer
    if callable(mixer) and not isinstance(mixer, keras.layers.Layer):
        layer = mixer()
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(
            "`mixer` must be a layer, or a function without arguments that makes one. "
            f"Received: mixer={mixer!r}"
        )
    return type(layer).from_config({**layer.get_config(), "name": attention.name})


def _stt(attention: Layer) -> STT:
    """An STT with the sizes of an attention."""
    inner = _inner(attention)
    config = inner.get_config()
    if config.get("use_gate"):
        raise ValueError(
            "`model` must have attention without a gate, which STT has no form for: "
            f"give a `mixer` of your own. Received: {attention.name} with use_gate=True"
        )
    same = (
        *("num_heads", "value_dim", "dropout", "use_bias", "seed"),
        *("kernel_initializer", "kernel_regularizer", "kernel_constraint"),
        *("bias_initializer", "bias_regularizer", "bias_constraint"),
    )
    outer = attention is inner
    return STT(
        **{name: config[name] for name in same},
        synthesizer="random",
        output_shape=config["output_shape"],
        attention_axes=config["attention_axes"] if outer else None,
        data_format=None if outer else attention.data_format,
        name=attention.name,
        dtype=attention.dtype_policy,
    )


def _inner(attention: Layer) -> keras.layers.MultiHeadAttention:
    """The MultiHeadAttention of a mixer, or itself."""
    return attention if isinstance(attention, _MHA) else attention.attention


def _call_options(attention: Layer, given: dict[str, Any]) -> dict[str, Any]:
    """The call arguments of an attention as those of what takes its place."""
    options = {}
    for name, value in given.items():
        if name == "use_causal_mask" and value:
            options[name] = value
        elif name != "training" and value is not None and value is not False:
            raise ValueError(
                f"`{name}` of {attention.name} has no counterpart in STT, so that it "
                "cannot be replaced. (A mask that comes with the input, from Embedding "
                f"or Masking, can.) Received: a model that calls it with {name}"
            )
    return options


def _copy_projections(attention: Layer, stt: STT) -> None:
    """Value and output projection of an attention, with the heads side by side."""
    inner = _inner(attention)
    for source, target in (
        (inner.value_dense, stt.value_dense),
        (inner.output_dense, stt.output_dense),
    ):
        for old, new in zip(source.weights, target.weights, strict=True):
            new.assign(np.reshape(ops.convert_to_numpy(old.value), new.shape))


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
    count = len(keras.tree.flatten(inputs)[0])
    for start in range(0, count, _BATCH):
        batch = keras.tree.map_structure(
            lambda values: values[start : start + _BATCH],  # noqa: B023
            inputs,
        )
        for maps in inspection.attention_maps(model, batch):
            total = np.sum(maps.scores, axis=0, dtype="float64")
            totals[maps.name] = totals.get(maps.name, 0) + total
    names = {id(layer): path for path, layer in _paths(model)}
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
        yield weights / weights.sum(axis=-1, keepdims=True)


def _paths(layer: Layer, path: str = "") -> Iterator[tuple[str, Layer]]:
    """All layers below a layer, with the names on the way to each."""
    for part in parts(layer):
        below = f"{path}/{part.name}".lstrip("/")
        yield below, part
        yield from _paths(part, below)
