"""The image classifier of the comparisons."""

from __future__ import annotations

from typing import Any

import keras

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.models.image_encoder import (
    MixerChoice,
    StemChoice,
    check_image_shape,
    encode,
)
from keras_stt.models.image_model import ImageModel


@export
def image_classifier(
    input_shape: tuple[int, int, int],
    num_classes: int,
    mixer: MixerChoice = "stt-depthwise-synthesized",
    grid: tuple[int, int] | None = None,
    width: int = 64,
    depth: int = 4,
    num_heads: int = 4,
    mlp_ratio: float = 2,
    stem: StemChoice = "convolution",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    name: str | None = None,
    dtype: Any = None,
) -> keras.Model:
    """Builds an image classifier with a token mixer of your choice.

    Stem to a grid of `width` channels, `PositionEmbedding`, `depth` blocks
    (`STTBlock`), layer normalisation, mean over the grid, dense layer to the logits.
    Between blocks the grid stays a grid; some mixers, such as `"mha"`, flatten it.

    Args:
        input_shape: Shape of an image, `(height, width, channels)`.
        num_classes: Number of classes.
        mixer: A name in `keras_stt.mixers.MIXERS`; a layer that serves as a template,
            of which each block gets its own copy; or a function without arguments that
            makes a new layer for each block. Defaults to
            `"stt-depthwise-synthesized"`, the best mixer measured on photographs.
        grid: Grid `(rows, columns)` on which the blocks work; the image's height and
            width must be multiples of it. Defaults to `(8, 8)`, or to that of the
            stem's feature map.
        width: Number of channels. Defaults to 64.
        depth: Number of blocks. Defaults to 4.
        num_heads: Number of heads, for mixers that have this setting, such as
            `"stt-dense"` and `"mha"`; the default mixer has one per channel. Defaults
            to 4.
        mlp_ratio: Hidden size of the MLPs, as a multiple of `width`. Defaults to 2.
        stem: `"convolution"`: 3×3 convolutions with stride 2, each with batch
            normalisation and ReLU (the cells of the grid must be square, with a side
            that is a power of 2); `"patch"`: one convolution of the patch size. Or a
            Keras model from images in [0, 1] to a feature map,
            `(B, rows, columns, channels)`, such as a pretrained backbone without its
            head, with its preprocessing in front. It becomes part of the new model
            unchanged, with its weights and frozen layers, and a dense layer maps its
            channels to `width`. Defaults to `"convolution"`.
        dropout: Dropout rate in the blocks. Defaults to 0.0.
        stochastic_depth: Stochastic depth of the last block; it rises linearly from
            0 at the first. Defaults to 0.0.
        name: Name of the model.
        dtype: Dtype policy of the layers, except for the logits, which are float32.
            Defaults to Keras's global policy.

    Returns:
        A `keras.Model` from images, `(B, height, width, channels)`, floats in [0, 1] or
        integers in 0 … 255, to logits, `(B, num_classes)`.

    Raises:
        ValueError: If the mixer or stem is unknown, or the grid does not fit.

    Example:

    >>> model = keras_stt.models.image_classifier((32, 32, 3), 10, mixer="stt-random")
    >>> model.output_shape
    (None, 10)
    """
    inputs = keras.Input(check_image_shape("input_shape", input_shape), name="image")
    num_classes = arguments.positive_integer("num_classes", num_classes)
    x = encode(
        inputs,
        mixer=mixer,
        grid=grid,
        width=width,
        depth=depth,
        num_heads=num_heads,
        mlp_ratio=mlp_ratio,
        stem=stem,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        dtype=dtype,
    )
    x = keras.layers.GlobalAveragePooling2D(
        data_format="channels_last", dtype=x.dtype, name="mean"
    )(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return ImageModel(inputs, logits, name=name)
