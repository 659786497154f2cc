"""Captioned images, read whole into memory: from TensorFlow Datasets or a folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_stt.experiments.data.pictures import read_pictures
from keras_stt.experiments.data.source import name_of, path_of
from keras_stt.experiments.data.splits import check_counts, count_test, count_training
from keras_stt.experiments.data.tfds_reader import (
    Reader,
    full_name,
    image_feature,
    open_builder,
    prepare,
)
from keras_stt.experiments.errors import UserError
from keras_stt.models import normalize_caption

# Between the captions of an image while TensorFlow holds them: no caption has one.
_SEPARATOR = "\n"
_VALIDATION = ("val", "validation")
# The splits of `scenes` that are for captions.
_SCENES = {"test": "caption_test", "unseen": "caption_unseen"}


@dataclass(frozen=True)
class CaptionedImages:
    """Images with their captions.

    Args:
        images: uint8, `(N, height, width, channels)`.
        captions: One caption or more per image, normalised.
    """

    images: npt.NDArray[np.uint8]
    captions: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.captions)


@dataclass(frozen=True)
class CaptionData:
    """A data set for image captioning, with its splits.

    Args:
        name: Name of the data set, with its configuration where it has several.
        version: Version of the data set; empty for a folder.
        train: Images to train on.
        validation: Images to choose settings with.
        tests: Images to measure with, by the name of their split: `"test"`, and for
            `scenes` also `"unseen"`.
    """

    name: str
    version: str
    train: CaptionedImages
    validation: CaptionedImages
    tests: dict[str, CaptionedImages]


def load_captions(
    dataset: str,
    data_dir: str | None = None,
    *,
    train_images: int | None = None,
    validation_images: int = 0,
    test_images: int | None = None,
    image_size: int | None = None,
    progress: bool = True,
) -> CaptionData:
    """Reads captioned images from a folder or a data set of TensorFlow Datasets.

    A folder holds `images/`, `captions.json`, `{file name: [caption, …]}`, and
    `splits.json`, `{"train": [file name, …], "val": […], "test": […]}`, of which
    `"val"` may be missing. In a data set of TensorFlow Datasets the captions are the
    texts of one feature, or of one sequence.

    The training images are the first of their split. The validation images are the
    first of a split for validation that is not tested on; where there is none, they
    are the last of the training split.

    Args:
        dataset: Path of a folder, or a name as `tfds.builder` takes it:
            `"coco_captions"`, `"scenes"`.
        data_dir: Folder of prepared data sets of TensorFlow Datasets; it must exist.
        train_images: Number of training images. None: all that are not validation
            images.
        validation_images: Number of validation images. Defaults to 0.
        test_images: Number of test images, of each test split. None: all.
        image_size: Height and width, in pixels, that images are resized to (bilinear,
            antialiased, without keeping the aspect ratio). None: as they are; they
            must then all have one size.
        progress: Whether to show a progress bar if reading takes over a second.

    Returns:
        The data set as a `CaptionData`.

    Raises:
        ValueError: For an unknown data set, and for whatever is missing or malformed
            in one.
    """
    check_counts(train_images, validation_images, test_images, image_size)
    counts = (train_images, validation_images, test_images)
    folder = path_of(dataset)
    if folder is not None:
        if folder.is_file():
            raise UserError(
                "`dataset` must be a folder, or the name of a data set, for captions. "
                f"Received: dataset={dataset!r}"
            )
        return _Folder(folder, image_size, progress).load(counts)
    return _load_tfds(dataset, data_dir, counts, image_size, progress)


def _load_tfds(
    dataset: str,
    data_dir: str | None,
    counts: tuple[int | None, int, int | None],
    image_size: int | None,
    progress: bool,
) -> CaptionData:
    builder = open_builder(dataset, data_dir)
    image, texts = image_feature(builder, dataset), _caption_feature(builder, dataset)
    prepare(builder, dataset, progress)
    reader = Reader(builder, dataset, image, texts, image_size, progress)

    def captioned(split: str, start: int, stop: int) -> CaptionedImages:
        images, joined = reader.read(split, start, stop)
        captions = [text.decode().split(_SEPARATOR) for text in joined]
        names = [f"example {start + i} of '{split}'" for i in range(len(captions))]
        return CaptionedImages(images, _normalized(names, captions))

    sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
    parts = _parts(dataset, sizes, captioned, counts)
    return CaptionData(full_name(builder), str(builder.version), *parts)


_Parts = tuple[CaptionedImages, CaptionedImages, dict[str, CaptionedImages]]


def _parts(
    dataset: str,
    sizes: Mapping[str, int],
    read: Callable[[str, int, int], CaptionedImages],
    counts: tuple[int | None, int, int | None],
) -> _Parts:
    """Training, validation and test images, of the splits that a data set has.

    Args:
        dataset: Name of the data set, for errors.
        sizes: Its splits and their sizes.
        read: Reads a range of a split.
        counts: Numbers of training, validation and test images that are asked for.
    """
    train_images, validation_images, test_images = counts
    if "caption_train" in sizes:
        train, tests = "caption_train", dict(_SCENES)
    else:
        found = [name for name in ("test", *_VALIDATION) if sizes.get(name)]
        train, tests = "train", {"test": found[0]} if found else {}
    if not sizes.get(train) or not tests:
        raise UserError(
            f"Data set '{dataset}' must have images in a split 'train' and in one of "
            f"'test', 'val', 'validation'. Received: splits {dict(sizes)}"
        )
    tested = {
        name: (split, count_test(dataset, split, sizes[split], test_images))
        for name, split in tests.items()
    }
    spare = [n for n in _VALIDATION if sizes.get(n) and n not in tests.values()]
    if spare and validation_images > sizes[spare[0]]:
        raise UserError(
            f"`validation_images` must be at most {sizes[spare[0]]}, the size of split "
            f"'{spare[0]}' of '{dataset}'. "
            f"Received: validation_images={validation_images}"
        )
    held_back = 0 if spare else validation_images
    trained = count_training(dataset, sizes[train], train_images, held_back)
    validation = (
        read(spare[0], 0, validation_images)
        if spare
        else read(train, sizes[train] - validation_images, sizes[train])
    )
    return (
        read(train, 0, trained),
        validation,
        {name: read(split, 0, size) for name, (split, size) in tested.items()},
    )


def _caption_feature(builder: Any, dataset: str) -> Callable[[dict[str, Any]], Any]:
    """From an example to its captions in one string, whatever the feature's form."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    found: list[tuple[str, ...]] = []
    for name, feature in dict(features.items()).items():
        inner = getattr(feature, "feature", feature)
        if _is_text(inner):
            found.append((name,))
        elif isinstance(inner, tfds.features.FeaturesDict) and inner is not feature:
            found += [(name, key) for key, text in inner.items() if _is_text(text)]
    captions = [path for path in found if "caption" in path[0].lower()]
    captions = captions or [path for path in found if "file" not in path[0].lower()]
    if len(captions) != 1:
        raise UserError(
            f"Data set '{dataset}' must have its captions in one feature, a "
            "tfds.features.Text or a sequence of them. "
            f"Received: features {', '.join(sorted(features))}"
        )
    (path,) = captions

    def joined(example: dict[str, Any]) -> Any:
        import tensorflow as tf

        texts = example
        for key in path:
            texts = texts[key]
        texts = tf.strings.regex_replace(tf.reshape(texts, [-1]), r"\s+", " ")
        return tf.strings.reduce_join(texts, separator=_SEPARATOR)

    return joined


def _is_text(feature: Any) -> bool:
    """Whether a feature is one string, as `Text` is, and some tensors are."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    is_tensor = isinstance(feature, tfds.features.Tensor)
    return is_tensor and feature.shape == () and feature.tf_dtype == tf.string


class _Folder:
    """A folder with `images/`, `captions.json` and `splits.json`."""

    def __init__(self, path: Path, image_size: int | None, progress: bool) -> None:
        self.path = path
        self.name = name_of(path)
        self.image_size = image_size
        self.progress = progress
        if not (path / "images").is_dir():
            raise UserError(
                "A folder of captioned images must hold a folder 'images'. "
                f"Received: {path} without one"
            )
        self.captions = self._names("captions.json", "{file name: [caption, …]}")
        self.splits = self._names("splits.json", "{split: [file name, …]}")
        self._check_splits()

    def load(self, counts: tuple[int | None, int, int | None]) -> CaptionData:
        """Reads as many images as asked for."""
        sizes = {split: len(files) for split, files in self.splits.items()}
        return CaptionData(self.name, "", *_parts(self.name, sizes, self._read, counts))

    def _names(self, name: str, form: str) -> dict[str, list[str]]:
        """The content of a JSON file: names, each with a list of texts."""
        path = self.path / name
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"A folder of captioned images must hold '{name}', JSON of the form "
                f"{form}. Received: {path}: {error}"
            ) from error
        fits = isinstance(content, dict) and all(
            isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            for texts in content.values()
        )
        if not fits:
            raise UserError(f"'{name}' must have the form {form}. Received: {path}")
        return content

    def _check_splits(self) -> None:
        known = ("train", "test", *_VALIDATION)
        _refuse(
            f"The splits of 'splits.json' must be among {', '.join(known)}",
            [split for split in self.splits if split not in known],
        )
        used = Counter(file for files in self.splits.values() for file in files)
        _refuse(
            "An image must be in one split, once",
            [file for file, times in used.items() if times > 1],
        )
        _refuse(
            "Every image of 'splits.json' must have captions in 'captions.json'",
            [file for file in used if not self.captions.get(file)],
        )
        _refuse(
            "Every image of 'captions.json' must be a file in 'images'",
            [
                file
                for file in self.captions
                if not (self.path / "images" / file).is_file()
            ],
        )

    def _read(self, split: str, start: int, stop: int) -> CaptionedImages:
        files = self.splits[split][start:stop]
        paths = [self.path / "images" / file for file in files]
        what = f"{self.name} {split}"
        images = read_pictures(paths, self.image_size, what, self.progress)
        captions = _normalized(files, [self.captions[file] for file in files])
        return CaptionedImages(images, captions)


def _normalized(
    names: Sequence[str], captions: Sequence[Sequence[str]]
) -> tuple[tuple[str, ...], ...]:
    """Normalised captions; an error for an image that has none with a word."""
    found = tuple(
        tuple(filter(None, map(normalize_caption, texts))) for texts in captions
    )
    _refuse(
        "Every image must have a caption with a word in it",
        [name for name, texts in zip(names, found, strict=True) if not texts],
    )
    return found


def _refuse(expected: str, names: Any) -> None:
    """Raises a `ValueError` if there are names that break a rule."""
    names = sorted(names)
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise UserError(f"{expected}. Received: {', '.join(names[:3])}{more}")
