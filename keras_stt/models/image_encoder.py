"""From an image to a grid of features: what the models have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import keras

from keras_stt import arguments
from keras_stt.composite import keep_frozen, sublayer_policy
from keras_stt.layers import PositionEmbedding, STTBlock
from keras_stt.mixers import MIXERS
from keras_stt.models.image_model import PixelRange
from keras_stt.portable import LayerNormalization

MixerChoice: TypeAlias = Any
"""A name in `MIXERS`, a layer as a template, or a function that makes a layer."""

StemChoice: TypeAlias = Any
"""A name in `STEMS`, or a Keras model from images to a feature map."""

STEMS = ("convolution", "patch")
"""The stems that have a name."""


def encode(
    images: keras.KerasTensor,
    mixer: MixerChoice,
    grid: tuple[int, int] | None,
    width: int,
    depth: int,
    num_heads: int,
    mlp_ratio: float,
    stem: StemChoice,
    dropout: float,
    stochastic_depth: float = 0.0,
    dtype: Any = None,
) -> keras.KerasTensor:
    """Stem, position embedding, blocks and layer normalisation.

    From symbolic float32 images in [0, 1], `(B, height, width, channels)`. All other
    arguments are those of `keras_stt.models.image_classifier`.

    Returns:
        Symbolic features, `(B, rows, columns, width)`.

    Raises:
        ValueError: For an unknown mixer or stem, or a grid that does not fit.
    """
    width = arguments.positive_integer("width", width)
    depth = arguments.positive_integer("depth", depth)
    stochastic_depth = arguments.rate("stochastic_depth", stochastic_depth)
    policy = keras.dtype_policies.get(dtype)

    # The stem may be a part of a model of this package, with layers of the same names.
    prefix = "encoder_" if isinstance(stem, keras.Model) else ""

    def named(name: str) -> dict[str, Any]:
        name = f"{prefix}{name}"
        return {"name": name, "dtype": sublayer_policy(policy, name)}

    num_heads = arguments.positive_integer("num_heads", num_heads)
    make_mixer = mixer_factory(mixer, width, num_heads)
    grid = None if grid is None else check_grid(grid)
    images = PixelRange(**named("pixels"))(images)
    if isinstance(stem, keras.Model):
        x = _feature_map(stem, images, grid)
        x = keras.layers.Dense(width, **named("project"))(x)
    elif stem in STEMS:
        patch = _patch_size(images.shape[1:], grid or (8, 8))
        x = keras.layers.Rescaling(2.0, offset=-1.0, **named("rescaling"))(images)
        make_stem = _convolution_stem if stem == "convolution" else _patch_stem
        x = make_stem(x, width, patch, named)
    else:
        raise ValueError(
            f"`stem` must be {', '.join(map(repr, STEMS))}, or a Keras model from "
            f"images to a feature map. Received: stem={stem!r}"
        )
    x = PositionEmbedding(**named("position"))(x)
    for index in range(depth):
        x = STTBlock(
            make_mixer(),
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            stochastic_depth=stochastic_depth * index / max(1, depth - 1),
            **named(f"block_{index}"),
        )(x)
    return LayerNormalization(epsilon=1e-6, **named("norm"))(x)


def mixer_factory(
    mixer: MixerChoice, width: int, num_heads: int, name: str = "mixer"
) -> Callable[[], keras.layers.Layer]:
    """The function that makes the mixer of each block.

    Raises:
        ValueError: If there is no such mixer.
    """
    if isinstance(mixer, str) and mixer in MIXERS:
        return lambda: MIXERS[mixer].build(width, num_heads)
    if isinstance(mixer, keras.layers.Layer):
        config = {**mixer.get_config(), "name": "mixer"}
        return lambda: type(mixer).from_config(config)
    if callable(mixer) and not isinstance(mixer, type):
        return lambda: _made_by(mixer)
    raise ValueError(
        f"`{name}` must be one of {', '.join(MIXERS)}, a layer, or a function without "
        f"arguments that makes one. Received: {name}={mixer!r}"
        f"{arguments.hint(mixer, MIXERS)}"
    )


def _made_by(make: Callable[[], keras.layers.Layer]) -> keras.layers.Layer:
    """A layer that a function of the user's made."""
    layer = make()
    if not isinstance(layer, keras.layers.Layer) or layer.built:
        raise ValueError(
            "`mixer` must be a function that makes a new layer with every call. "
            f"Received: {make!r}, which returned {layer!r}"
        )
    return layer


def check_image_shape(name: str, shape: Any) -> tuple[int, int, int]:
    """The shape of an image, `(height, width, channels)`.

    Raises:
        ValueError: If it is anything else. Its sizes must be known.
    """
    expected = (
        "(height, width, channels), three positive integers: the blocks work on a grid "
        "of fixed size"
    )
    height, width, channels = _positive_integers(name, shape, 3, expected)
    return height, width, channels


def check_grid(grid: Any) -> tuple[int, int]:
    """The grid, `(rows, columns)`.

    Raises:
        ValueError: If it is anything else.
    """
    expected = "two positive integers, rows and columns"
    rows, columns = _positive_integers("grid", grid, 2, expected)
    return rows, columns


def _positive_integers(name: str, value: Any, count: int, expected: str) -> list[int]:
    sizes = [*value] if isinstance(value, Iterable) else []
    if len(sizes) != count or any(not arguments.is_integer(s) or s < 1 for s in sizes):
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}")
    return [int(size) for size in sizes]


def _patch_size(
    image_shape: tuple[int, int, int], grid: tuple[int, int]
) -> tuple[int, int]:
    sizes = tuple(image_shape[:2])
    if any(size % cells for size, cells in zip(sizes, grid, strict=True)):
        raise ValueError(
            "The image's height and width must be multiples of the grid's rows and "
            f"columns. Received: images of {sizes} pixels, grid={tuple(grid)}"
        )
    return sizes[0] // grid[0], sizes[1] // grid[1]


def _feature_map(
    stem: keras.Model, images: keras.KerasTensor, grid: tuple[int, int] | None
) -> keras.KerasTensor:
    """What a stem of the user's makes of the images.

    Raises:
        ValueError: If it doesn't take them, or makes anything but a grid of features.
    """
    taken: Any = getattr(stem, "inputs", None) or ()
    if any(keras.backend.is_int_dtype(each.dtype) for each in taken):
        raise ValueError(
            "`stem` must take float images, in [0, 1]. "
            f"Received: stem={stem!r}, which takes {taken[0].dtype}"
        )
    try:
        x = stem(images)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`stem` must take images of shape {images.shape[1:]}; if it was made for "
            "another size, try `keras_stt.surgery.resize_model`. "
            f"Received: stem={stem!r} ({error})"
        ) from error
    keep_frozen(stem)
    shape = getattr(x, "shape", ())
    if len(shape) != 4 or None in shape[1:]:
        raise ValueError(
            "`stem` must make a feature map (B, rows, columns, channels) of known "
            f"size, as backbones do without their head. Received: stem={stem!r}, "
            f"which makes {tuple(shape) or x}"
        )
    if math.prod(shape[1:3]) == 1:
        raise ValueError(
            "`stem` must leave more than one position to mix: take larger images, or "
            f"an earlier feature map. Received: stem={stem!r}, which makes {shape} of "
            f"images {images.shape[1:]}"
        )
    if grid not in (None, shape[1:3]):
        raise ValueError(
            "`grid` must be left out, or be that of the stem's feature map, "
            f"{shape[1:3]}. Received: grid={grid}"
        )
    return x


def _patch_stem(
    x: keras.KerasTensor,
    width: int,
    patch: tuple[int, int],
    named: Callable[[str], dict[str, Any]],
) -> keras.KerasTensor:
    """Takes each patch to the channels of its cell."""
    return keras.layers.Conv2D(
        width, patch, strides=patch, data_format="channels_last", **named("patches")
    )(x)


def _convolution_stem(
    x: keras.KerasTensor,
    width: int,
    patch: tuple[int, int],
    named: Callable[[str], dict[str, Any]],
) -> keras.KerasTensor:
    """Halves height and width until the grid is reached, doubling the channels."""
    steps = int(math.log2(patch[0]))
    if patch[0] != patch[1] or 2**steps != patch[0] or steps < 1:
        raise ValueError(
            "The convolution stem needs square cells whose side is a power of 2 and at "
            f"least 2; use stem='patch'. Received: a grid of cells of {patch} pixels"
        )
    for step in reversed(range(steps)):
        x = keras.layers.Conv2D(
            max(1, width // 2**step),
            3,
            strides=2,
            padding="same",
            use_bias=False,
            data_format="channels_last",
            **named(f"stem_{steps - step}"),
        )(x)
        # Keras's momentum of 0.99 lags behind in runs of a few hundred steps.
        x = keras.layers.BatchNormalization(
            momentum=0.9, **named(f"stem_norm_{steps - step}")
        )(x)
        x = keras.layers.ReLU(**named(f"stem_relu_{steps - step}"))(x)
    return x
