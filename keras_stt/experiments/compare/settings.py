"""What a comparison is."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import keras
from cyclopts import Parameter

from keras_stt import __version__
from keras_stt.arguments import positive_integer, positive_number, rate
from keras_stt.experiments.compare.stem import check_stem, stem_identity, stem_name
from keras_stt.experiments.data.source import name_of, path_of
from keras_stt.experiments.errors import UserError, user_errors
from keras_stt.experiments.options import (
    Grid,
    Heads,
    Mixers,
    check_distinct,
    check_known,
)
from keras_stt.experiments.training.recipe import Recipe
from keras_stt.mixers import MIXERS
from keras_stt.models import CROSS_ATTENTIONS, STEMS

#: The mixers of a comparison that names none: STT's own, attention, and the simplest.
DEFAULT_MIXERS = (
    *("stt-depthwise-synthesized", "stt-depthwise", "stt-dense", "stt-random"),
    *("mha", "axial-mha", "depthwise-conv", "depthwise-conv-5", "none"),
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all comparisons have in common. The command line's help comes from here.

    Attributes:
        dataset: Name of a data set in TensorFlow Datasets, or scenes, which needs no
            network. Or files of your own. For classification: a folder with one
            subfolder of images per class, or with such folders in train/ and test/
            (without them, a fifth of the images is kept for testing); or an .npz file
            with uint8 images and integer labels in x_train, y_train, x_test and y_test.
            For captions: a folder with images/, captions.json and splits.json.
        seeds: Seeds of the training runs; every variant is trained once with each.
        train_images: Number of training images; all by default.
        validation_images: Number of images that learning rates are compared on. They
            come from a folder's split val, or are held out of the training images.
        test_images: Number of test images; all by default.
        image_size: Height and width to resize images to; by default they keep their
            size.
        grid: Rows and columns of the grid that the blocks work on. Leave it out with a
            stem from a file, whose feature map sets the grid.
        width: Number of channels.
        num_heads: Number of heads.
        mlp_ratio: Hidden size of the MLPs, as a multiple of the width.
        stem: Layers from the image to the grid: convolution, patch, or a Keras file of
            a model from images in [0, 1] to a feature map, such as a pretrained
            backbone without its head, with its preprocessing in front.
        learning_rates: Peak learning rate. With several, each variant gets the rate
            with the best validation accuracy.
        search_epochs: Epochs of the runs that compare learning rates; by default as
            many as in training.
        epochs: Passes over the training images.
        batch_size: Images per step.
        warmup: Share of the steps in which the learning rate rises from 0.
        weight_decay: Decoupled weight decay.
        flip: Mirror half of the training images.
        shift: Largest random translation of training images, in pixels.
        quarter_turns: Rotate training images by random multiples of 90°, as for aerial
            photographs.
    """

    dataset: str = "scenes"
    seeds: tuple[int, ...] = (0,)
    train_images: int | None = None
    validation_images: int = 0
    test_images: int | None = None
    image_size: int | None = None
    grid: Grid | None = None
    width: int = 64
    num_heads: Heads = 4
    mlp_ratio: float = 2.0
    stem: Annotated[str, Parameter(metavar="convolution|patch|FILE.keras")] = (
        "convolution"
    )
    learning_rates: Annotated[tuple[float, ...], Parameter(name="--learning-rate")] = (
        2e-3,
    )
    search_epochs: int | None = None
    epochs: int = Recipe.epochs
    batch_size: int = Recipe.batch_size
    warmup: float = Recipe.warmup
    weight_decay: float = Recipe.weight_decay
    flip: bool = Recipe.flip
    shift: int = Recipe.shift
    quarter_turns: bool = Recipe.quarter_turns

    #: Name of the task.
    task: ClassVar[str]
    #: Name of the field that lists the variants.
    variants_field: ClassVar[str]

    @property
    def dataset_name(self) -> str:
        """The data set; of a folder only its name, since its path is private."""
        path = path_of(self.dataset)
        return self.dataset if path is None else name_of(path)

    @property
    def variant_names(self) -> tuple[str, ...]:
        """The variants that are compared."""
        return getattr(self, self.variants_field)

    def __post_init__(self) -> None:
        check_stem(self.stem)
        if self.grid is None and self.stem in STEMS:
            object.__setattr__(self, "grid", (8, 8))
        check_distinct(self, self.variants_field, "seeds", "learning_rates")
        if min(self.seeds) < 0 or max(self.seeds) >= 2**32:
            raise UserError(
                "`seeds` must be at least 0 and below 2^32. "
                f"Received: seeds={self.seeds}"
            )
        if len(self.learning_rates) > 1 and self.validation_images < 1:
            raise UserError(
                "Several learning rates are compared on validation images: "
                "`validation_images` must be at least 1. "
                f"Received: validation_images={self.validation_images}"
            )
        if len(self.learning_rates) == 1 and self.search_epochs is not None:
            raise UserError(
                "`search_epochs` needs several learning rates to compare. "
                f"Received: search_epochs={self.search_epochs}, "
                f"learning_rates={self.learning_rates}"
            )
        with user_errors():
            for size in self.grid or ():
                positive_integer("grid", size)
            positive_integer("width", self.width)
            positive_integer("num_heads", self.num_heads)
            positive_number("mlp_ratio", self.mlp_ratio)
            for learning_rate in self.learning_rates:
                positive_number("learning_rates", learning_rate)
                self.recipe(learning_rate)
            if self.search_epochs is not None:
                positive_integer("search_epochs", self.search_epochs)

    def recipe(self, learning_rate: float, epochs: int | None = None) -> Recipe:
        """The training recipe at a learning rate."""
        return Recipe(
            epochs=self.epochs if epochs is None else epochs,
            batch_size=self.batch_size,
            learning_rate=learning_rate,
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            flip=self.flip,
            shift=self.shift,
            quarter_turns=self.quarter_turns,
        )


@dataclass(frozen=True, kw_only=True)
class ClassifySettings(Settings):
    """A comparison of token mixers in classification.

    Attributes:
        mixers: Token mixers to compare.
        depth: Number of blocks.
        robustness: What the trained models are tested with: standard is noise and one
            gradient step; full adds corruptions, attacks with and without gradients,
            shifts, hidden patches, other sizes and calibration, minutes per run.
    """

    mixers: Mixers = DEFAULT_MIXERS
    depth: int = 4
    robustness: Literal["standard", "full"] = "standard"

    task: ClassVar[str] = "classify"
    variants_field: ClassVar[str] = "mixers"

    def __post_init__(self) -> None:
        super().__post_init__()
        for mixer in self.mixers:
            check_known("`mixers`", mixer, MIXERS)
        with user_errors():
            positive_integer("depth", self.depth)


@dataclass(frozen=True, kw_only=True)
class CaptionSettings(Settings):
    """A comparison of captioners.

    Attributes:
        variants: Captioners to compare: ENCODER+DECODER, two mixers as in keras-stt
            compare classify, of which the decoder's must have a causal form (an STT or
            mha); or ENCODER+DECODER+CROSS with mha (the default) or stt as
            cross-attention.
        encoder_depth: Number of blocks of the encoder.
        decoder_depth: Number of blocks of the decoder.
        dropout: Dropout rate in the blocks and of the embedded words.
        max_length: Longest caption in words; longer ones are cut off.
        min_count: How often a word must occur in the training captions; rarer words
            become unknown.
        beam_size: Beams of the search; 1 is greedy.
    """

    variants: Annotated[tuple[str, ...], Parameter(metavar="VARIANT...")] = (
        "stt-dense+stt-dense",
        "mha+mha",
        "stt-dense+mha",
        "mha+stt-dense",
    )
    encoder_depth: int = 2
    decoder_depth: int = 2
    dropout: float = 0.1
    max_length: int = 24
    min_count: int = 1
    beam_size: int = 1
    batch_size: int = 64
    # Captions say what is on the left and on the right.
    flip: bool = False

    task: ClassVar[str] = "caption"
    variants_field: ClassVar[str] = "variants"

    def __post_init__(self) -> None:
        super().__post_init__()
        for variant in self.variants:
            captioner_parts(variant)
        sizes = (
            "encoder_depth",
            "decoder_depth",
            "max_length",
            "min_count",
            "beam_size",
        )
        with user_errors():
            for name in sizes:
                positive_integer(name, getattr(self, name))
            rate("dropout", self.dropout)


def captioner_parts(variant: str) -> tuple[str, str, str]:
    """Encoder, decoder and cross-attention that a variant is named after.

    Raises:
        UserError: If one is unknown.
    """
    encoder, *others = variant.split("+")
    if len(others) not in (1, 2):
        raise UserError(
            "`variants` must have the form ENCODER+DECODER or "
            f"ENCODER+DECODER+CROSS-ATTENTION. Received: {variant}"
        )
    decoder, cross_attention = (*others, "mha")[:2]
    check_known("The encoder of `variants`", encoder, MIXERS)
    check_known("The decoder of `variants`", decoder, MIXERS)
    check_known("The cross-attention of `variants`", cross_attention, CROSS_ATTENTIONS)
    return encoder, decoder, cross_attention


def record(settings: Settings) -> dict[str, Any]:
    """The settings as `results.json` holds them."""
    return {
        **dataclasses.asdict(settings),
        "dataset": settings.dataset_name,
        "stem": stem_name(settings.stem),
    }


def identity(settings: Settings, data: str | None = None) -> dict[str, Any]:
    """What two comparisons in one folder must have in common.

    Args:
        settings: What to compare.
        data: Fingerprint of the data, once it is loaded.
    """
    shared = record(settings)
    for free in (settings.variants_field, "seeds", "robustness"):
        shared.pop(free, None)
    shared = {
        "task": settings.task,
        "keras_stt": __version__,
        "backend": keras.backend.backend(),
        **shared,
        "stem": stem_identity(settings.stem),
    }
    if data is not None:
        shared["data"] = data
    return json.loads(json.dumps(shared))
