"""What the attention layers of a model look at."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_stt.composite import sublayers
from keras_stt.export import export
from keras_stt.layers import (
    CrossAttention,
    STTBlock,
    STTCrossAttention,
    SynthesizedAttention,
)
from keras_stt.mixers import AxialAttention, SelfAttention
from keras_stt.typing import Tensor

Array = npt.NDArray[np.floating]


@export
@dataclass(frozen=True)
class AttentionMaps:
    """The attention weights of one layer for a batch of images.

    Attributes:
        name: Path of the layer in the model, such as `"block_0/mixer"`.
        grid: Sizes of the grid `(n_1, …, n_M)` that is attended to.
        scores: The weights as the layer returns them: a tuple with an array per mode
            (all STT layers and `AxialAttention`), or one array.
        axes: For `STT`, `DepthwiseSTT` and `AxialAttention`, the modes of the `scores`,
            from 0.
    """

    name: str
    grid: tuple[int, ...]
    scores: tuple[Array, ...] | Array = field(repr=False)
    axes: tuple[int, ...] | None = None

    def heat_map(self, position: int | tuple[int, ...]) -> Array:
        """Returns what a position attends to: a share for each position of the grid.

        For `STT`, this is the outer product of the modes' rows (before a mask); for
        `MultiHeadAttention`, the position's row; for `AxialAttention`, the product of
        the matrices along the way, without the residual connections in between.

        Args:
            position: Index in `query_grid`: one integer per mode; in a cross-attention,
                the index in the text.

        Returns:
            Array `(B, num_heads, n_1, …, n_M)`, whose sum over the grid is 1 (0
            where nothing valid is left).

        Raises:
            ValueError: If there is no such position.
        """
        index = tuple(np.atleast_1d(position).tolist())
        queries = self.query_grid
        if len(index) != len(queries) or not all(
            isinstance(i, int) and 0 <= i < n
            for i, n in zip(index, queries, strict=True)
        ):
            raise ValueError(
                f"`position` must be an index of a grid {queries}. "
                f"Received: position={position} for {self.name}"
            )
        at_index: Any = (slice(None), slice(None), *index)
        if not isinstance(self.scores, tuple):
            return self.scores[at_index]
        if self.axes is None:  # One vector per mode.
            heat: Array = np.ones(self.scores[0].shape[:2])
            for score in self.scores:
                row = score[:, :, index[0]]
                heat = heat[..., None] * row.reshape(
                    (*row.shape[:2], *(1,) * (heat.ndim - 2), row.shape[-1])
                )
            return heat
        batch, heads = self.scores[0].shape[:2]
        heat = np.zeros((batch, heads, *self.grid))
        heat[at_index] = 1
        # From the output back: each mode spreads the weight along its axis.
        for axis, score in reversed([*zip(self.axes, self.scores, strict=True)]):
            if score.ndim == 4:  # The same matrix for all fibres.
                ones = (1,) * (len(self.grid) - 1)
                score = score.reshape(*score.shape[:2], *ones, *score.shape[2:])
            fibres = np.moveaxis(heat, axis + 2, -1)
            fibres = np.squeeze(fibres[..., None, :] @ score, -2)
            heat = np.moveaxis(fibres, -1, axis + 2)
        return heat

    @property
    def query_grid(self) -> tuple[int, ...]:
        """Sizes of the grid, or length of the text, whose positions attend."""
        if self.axes is not None:
            return self.grid
        if isinstance(self.scores, tuple):
            return self.scores[0].shape[2:3]
        return self.scores.shape[2 : self.scores.ndim - len(self.grid)]


@export
def attention_maps(model: keras.layers.Layer, inputs: Any) -> list[AttentionMaps]:
    """Returns the attention weights of all attention layers of a model.

    Finds every layer that can return its weights: `STT`, `STTCrossAttention`, and the
    layers around `MultiHeadAttention`, as well as `keras.layers.MultiHeadAttention`
    itself. The model may be a classifier, a captioner, or any model of your own. It
    runs once, without compilation. A warning lists the attention layers that are left
    out because the form of their weights is unknown.

    Args:
        model: A model, or a layer.
        inputs: Inputs of the model: for an `image_classifier`, images `(B, height,
            width, channels)`; for an `ImageCaptioner`, `{"image": …, "tokens": …}`.

    Returns:
        The maps in the order in which the layers were called.

    Raises:
        ValueError: If the model has no such layer.

    Example:

    >>> model = keras_stt.models.image_classifier(
    ...     (32, 32, 3), 10, mixer="stt-dense", depth=2
    ... )
    >>> maps = keras_stt.inspection.attention_maps(model, np.random.rand(5, 32, 32, 3))
    >>> [each.name for each in maps]
    ['block_0/mixer', 'block_1/mixer']
    >>> rows, columns = maps[0].scores
    >>> rows.shape
    (5, 4, 8, 8)
    >>> maps[0].heat_map((3, 4)).shape
    (5, 4, 8, 8)
    """
    if not model.built:
        model(inputs)  # Keras may run it twice now.
    maps: list[AttentionMaps] = []
    left_out: list[str] = []
    with ExitStack() as stack:
        for name, layer in _attention_layers(model):
            if _returns_scores(layer):
                recorder = _recorded(name, layer, maps, left_out)
                stack.enter_context(recorder)
            else:
                left_out.append(f"{name} ({type(layer).__name__})")
        model(inputs)
    if not maps:
        raise ValueError(
            "`model` must have an attention layer whose weights have a known form: an "
            "STT, an attention of keras_stt.mixers, or MultiHeadAttention. Received: "
            f"{model.name} with {', '.join(left_out) or 'no attention layer'}"
        )
    if left_out:
        warnings.warn(
            f"Attention layers without maps: {', '.join(left_out)}", stacklevel=2
        )
    return maps


def _returns_scores(layer: keras.layers.Layer) -> bool:
    """Whether the weights of an attention layer have a form that is known here."""
    return "return_attention_scores" in getattr(
        layer, "call_options", ()
    ) or isinstance(layer, keras.layers.MultiHeadAttention)


def _attention_layers(
    layer: keras.layers.Layer, path: str = "", seen: set[int] | None = None
) -> Iterator[tuple[str, keras.layers.Layer]]:
    """The attention layers of a model, once each, the outermost of nested ones."""
    seen = set() if seen is None else seen
    if id(layer) in seen:
        return
    seen.add(id(layer))
    # What a block returns are its mixer's, which has a map of its own.
    returned = "return_attention_scores" in inspect.signature(layer.call).parameters
    if _returns_scores(layer) or (returned and not isinstance(layer, STTBlock)):
        yield path or layer.name, layer
        return
    for part in sublayers(layer):
        yield from _attention_layers(part, f"{path}/{part.name}".lstrip("/"), seen)


@contextmanager
def _recorded(
    name: str,
    layer: keras.layers.Layer,
    maps: list[AttentionMaps],
    left_out: list[str],
) -> Iterator[None]:
    """Has a layer return its weights as well, and keeps their maps."""
    original = layer.call

    signature = inspect.signature(original)

    @functools.wraps(original)  # Callers look at its signature.
    def call(*args: Any, **kwargs: Any) -> Tensor:
        given = signature.bind(*args, **kwargs).arguments
        wanted = given.get("return_attention_scores")
        given["return_attention_scores"] = True
        output, scores = original(**given)
        made = _maps(name, layer, next(iter(given.values())), scores)
        if made is None:
            left_out.append(f"{name} ({type(layer).__name__})")
        else:
            maps.append(made)
        return (output, scores) if wanted else output

    layer.call = call
    try:
        yield
    finally:
        del layer.call


def _maps(name: str, layer: Any, inputs: Tensor, scores: Any) -> AttentionMaps | None:
    """The maps of a layer, from its first input; `None` for scores of another form."""
    scores = keras.tree.map_structure(
        lambda score: np.asarray(keras.ops.convert_to_numpy(score), np.float32), scores
    )
    if isinstance(layer, STTCrossAttention):
        return AttentionMaps(name, tuple(s.shape[-1] for s in scores), scores)
    if isinstance(layer, CrossAttention):
        return AttentionMaps(name, scores.shape[3:], scores)
    if isinstance(layer, (SynthesizedAttention, AxialAttention, SelfAttention)):
        grid = tuple(layer.channels_last_shape(inputs.shape)[1:-1])
        axes: tuple[int, ...] | None = None
        if isinstance(layer, SynthesizedAttention):
            axes = tuple(axis - 1 for axis in layer.modes(len(inputs.shape)))
        elif isinstance(layer, AxialAttention):
            axes = tuple(range(len(grid)))
        return AttentionMaps(name, grid, scores, axes)
    if not isinstance(layer, keras.layers.MultiHeadAttention):
        return None
    # (B, num_heads, T, S), or over several axes of a grid
    # (B, num_heads, n_1, …, n_M, n_1, …, n_M). Axes that are not attended to would come
    # before the heads.
    modes = len(inputs.shape) - 2
    if scores.ndim != 2 + 2 * modes:
        return None
    return AttentionMaps(name, scores.shape[2 + modes :], scores)
