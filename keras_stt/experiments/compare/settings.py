"""What a comparison is, and whether a folder holds it already."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, ClassVar

import keras

from keras_stt import __version__
from keras_stt.arguments import check_positive
from keras_stt.experiments.data.source import folder_of
from keras_stt.experiments.errors import UserError
from keras_stt.experiments.training.recipe import Recipe
from keras_stt.mixers import MIXERS
from keras_stt.models import CROSS_ATTENTIONS

#: The mixers of a comparison that names none: STT's own, attention, and the simplest.
DEFAULT_MIXERS = (
    *(name for name in MIXERS if name.startswith("stt-")),
    *("mha", "axial-mha", "depthwise-conv", "none"),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all comparisons have, but for the folders.

    Attributes:
        dataset: A TensorFlow Datasets name, or `"scenes"`; for captions also the path
            of a folder.
        seeds: Seeds of the training runs.
        train_images: Number of training images; `None` for all.
        validation_images: Number of images on which the learning rates are compared: of
            a split of their own where captioned images have one, else the last of the
            training split, which are then left out of the training images.
        test_images: Number of test images; `None` for all.
        image_size: Height and width that images are resized to; `None` to leave them.
        grid: Rows and columns on which the blocks work.
        width: Number of channels.
        num_heads: Number of heads.
        mlp_ratio: Hidden size of the MLPs, in channels.
        stem: `"convolution"` or `"patch"`.
        learning_rates: One learning rate for all variants; of several, each variant
            gets the one with the best validation accuracy.
        search_epochs: Epochs of the runs that compare learning rates; `None` for as
            many as in training.
        epochs: Passes over the training images.
        batch_size: Images per step.
        warmup: Share of the steps in which the learning rate rises from 0.
        weight_decay: Decoupled weight decay.
        flip: Whether half of the training images are mirrored.
        shift: Largest random translation of training images, in pixels.
        quarter_turns: Whether training images are turned by random multiples of 90°.
    """

    dataset: str = "scenes"
    seeds: tuple[int, ...] = (0,)
    train_images: int | None = None
    validation_images: int = 0
    test_images: int | None = None
    image_size: int | None = None
    grid: tuple[int, int] = (8, 8)
    width: int = 64
    num_heads: int = 4
    mlp_ratio: float = 2.0
    stem: str = "convolution"
    learning_rates: tuple[float, ...] = (2e-3,)
    search_epochs: int | None = None
    epochs: int = 6
    batch_size: int = 128
    warmup: float = 0.1
    weight_decay: float = 0.05
    flip: bool = True
    shift: int = 0
    quarter_turns: bool = False

    #: Name of the task, and of the setting that holds what is compared.
    task: ClassVar[str]
    choices: ClassVar[str]

    @property
    def dataset_name(self) -> str:
        """The data set without the way to a folder, which is this machine's alone."""
        folder = folder_of(self.dataset)
        return self.dataset if folder is None else folder.resolve().name

    @property
    def compared(self) -> tuple[str, ...]:
        """The variants that are compared."""
        return getattr(self, self.choices)

    def __post_init__(self) -> None:
        for name in (self.choices, "seeds", "learning_rates"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise UserError(
                    f"`{name}` must hold one value at least, and none twice. "
                    f"Received: {name}={values}"
                )
        if min(self.seeds) < 0 or max(self.seeds) >= 2**32:
            raise UserError(
                f"Seeds must be at least 0 and below 2^32. Received: seeds={self.seeds}"
            )
        if not 0 < self.mlp_ratio < math.inf:
            raise UserError(
                "`mlp_ratio` must be positive and finite. "
                f"Received: mlp_ratio={self.mlp_ratio}"
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
        for rate in self.learning_rates:
            self.recipe(rate)
        if self.search_epochs is not None:
            self.recipe(self.learning_rates[0], self.search_epochs)

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
    """What a comparison of token mixers in classification is, besides `Settings`.

    Attributes:
        mixers: Names in `keras_stt.mixers.MIXERS`.
        depth: Number of blocks.
    """

    mixers: tuple[str, ...] = DEFAULT_MIXERS
    depth: int = 4

    task: ClassVar[str] = "classify"
    choices: ClassVar[str] = "mixers"

    def __post_init__(self) -> None:
        unknown = [mixer for mixer in self.mixers if mixer not in MIXERS]
        if unknown or not self.mixers:
            raise UserError(
                f"`mixers` must be among {', '.join(MIXERS)}. "
                f"Received: {', '.join(unknown) or 'none'}"
            )
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class CaptionSettings(Settings):
    """What a comparison of captioners is, besides `Settings`.

    Attributes:
        variants: `"<encoder>+<decoder>"` or `"<encoder>+<decoder>+<cross>"`: the
            mixers, by their names in `keras_stt.mixers.MIXERS`, and the
            cross-attention, by its name in `keras_stt.models.CROSS_ATTENTIONS`, `"mha"`
            where none is given.
        encoder_depth: Number of blocks of the encoder.
        decoder_depth: Number of blocks of the decoder.
        dropout: Dropout rate in the blocks and of the embedded tokens.
        max_length: The longest caption, in words; longer ones are cut off.
        min_count: How often a word must occur in the training captions.
        beam_size: Texts that are kept in each step of the search; 1 is greedy.
    """

    variants: tuple[str, ...] = (
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
    # Mirrored, what was on the left is on the right.
    flip: bool = False

    task: ClassVar[str] = "caption"
    choices: ClassVar[str] = "variants"

    def __post_init__(self) -> None:
        for variant in self.variants:
            captioner_parts(variant)
        for name in (
            *("encoder_depth", "decoder_depth", "max_length", "min_count", "beam_size"),
        ):
            check_positive(name, getattr(self, name))
        super().__post_init__()


def captioner_parts(variant: str) -> tuple[str, str, str]:
    """Encoder, decoder and cross-attention that a variant is named after.

    Raises:
        ValueError: If one is unknown.
    """
    parts = variant.split("+")
    if len(parts) == 2:
        parts.append("mha")
    known: tuple[Container[str], ...] = (MIXERS, MIXERS, CROSS_ATTENTIONS)
    if len(parts) != 3 or any(
        part not in names for part, names in zip(parts, known, strict=True)
    ):
        raise UserError(
            "A variant must be named <encoder>+<decoder> or "
            "<encoder>+<decoder>+<cross-attention>, with mixers among "
            f"{', '.join(MIXERS)} and a cross-attention among "
            f"{', '.join(CROSS_ATTENTIONS)}. Received: {variant!r}"
        )
    return parts[0], parts[1], parts[2]


def record(settings: Settings) -> dict[str, Any]:
    """The settings as they are written down."""
    return {**dataclasses.asdict(settings), "dataset": settings.dataset_name}


def identity(settings: Settings, data: str | None = None) -> dict[str, Any]:
    """What two comparisons in one folder must have in common.

    Args:
        settings: What to compare.
        data: What stands for the images, once they are known.
    """
    shared = record(settings)
    for free in (settings.choices, "seeds"):
        del shared[free]
    shared = {
        "task": settings.task,
        "keras_stt": __version__,
        "backend": keras.backend.backend(),
        **shared,
    }
    if data is not None:
        shared["data"] = data
    return json.loads(json.dumps(shared))
