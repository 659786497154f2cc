"""Captioned images, read whole into memory: from TensorFlow Datasets or a folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_stt.experiments.splits import check_counts, count_test, count_training
from keras_stt.experiments.tfds_reader import (
    EMBEDDED,
    Reader,
    full_name,
    image_feature,
    open_builder,
    prepare,
)
from keras_stt.models import normalize

# Between the captions of an image while TensorFlow holds them: no caption has one.
_SEPARATOR = "\n"


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
    first of the folder's `"val"` split; where there is none, and in TensorFlow
    Datasets, they are the last of the training split.

    Args:
        dataset: Path of a folder, or a name as `tfds.builder` takes it:
            `"coco_captions"`, `"scenes"`.
        data_dir: Folder of prepared data sets of TensorFlow Datasets; it must exist.
        train_images: Number of training images. None: all.
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
    if Path(dataset).expanduser().is_dir():
        folder = _Folder(Path(dataset).expanduser(), image_size, progress)
        return folder.load(*counts)
    if dataset.startswith(("/", "./", "../", "~")):
        raise ValueError(
            "`dataset` must be an existing folder, or the name of a data set. "
            f"Received: dataset={dataset!r}"
        )
    return _load_tfds(dataset, data_dir, counts, image_size, progress)


def _load_tfds(
    dataset: str,
    data_dir: str | None,
    counts: tuple[int | None, int, int | None],
    image_size: int | None,
    progress: bool,
) -> CaptionData:
    train_images, validation_images, test_images = counts
    builder = open_builder(dataset, data_dir)
    image, texts = image_feature(builder, dataset), _caption_feature(builder, dataset)
    prepare(builder, dataset, progress)
    reader = Reader(builder, dataset, image, texts, image_size, progress)

    def captioned(split: str, start: int, stop: int) -> CaptionedImages:
        images, joined = reader.read(split, start, stop)
        captions = [text.decode().split(_SEPARATOR) for text in joined]
        names = [f"example {start + i} of '{split}'" for i in range(len(captions))]
        return CaptionedImages(images, _normalized(names, captions))

    available = reader.size("train")
    train_images = count_training(dataset, available, train_images, validation_images)
    splits = builder.info.splits
    test = next((name for name in ("test", "validation", "val") if name in splits), "")
    tests = [test or "test", *(["unseen"] if dataset == EMBEDDED else [])]
    sizes = {
        name: count_test(dataset, name, reader.size(name), test_images)
        for name in tests
    }
    return CaptionData(
        name=full_name(builder),
        version=str(builder.version),
        train=captioned("train", 0, train_images),
        validation=captioned("train", available - validation_images, available),
        tests={name: captioned(name, 0, size) for name, size in sizes.items()},
    )


def _caption_feature(builder: Any, dataset: str) -> Callable[[dict[str, Any]], Any]:
    """From an example to its captions in one string, whatever the feature's form."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    found: dict[tuple[str, ...], Any] = {}
    for name, feature in dict(features.items()).items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, tfds.features.Text):
            found[(name,)] = feature
        elif isinstance(inner, tfds.features.FeaturesDict) and inner is not feature:
            for key, text in inner.items():
                if isinstance(text, tfds.features.Text):
                    found[(name, key)] = text
    captions = [path for path in found if "caption" in path[0].lower()] or [*found]
    if len(captions) != 1:
        raise ValueError(
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


class _Folder:
    """A folder with `images/`, `captions.json` and `splits.json`."""

    def __init__(self, path: Path, image_size: int | None, progress: bool) -> None:
        self.path = path
        self.image_size = image_size
        self.progress = progress
        if not (path / "images").is_dir():
            raise ValueError(
                "A folder of captioned images must hold a folder 'images'. "
                f"Received: {path} without one"
            )
        self.captions = self._names("captions.json", "{file name: [caption, …]}")
        self.splits = self._names("splits.json", "{split: [file name, …]}")
        self._check_splits()

    def load(
        self, train_images: int | None, validation_images: int, test_images: int | None
    ) -> CaptionData:
        """Reads as many images as asked for."""
        name, splits = self.path.name, self.splits
        train = splits["train"]
        validation = splits.get("val", [])[:validation_images]
        if "val" not in splits:
            train_images = count_training(
                name, len(train), train_images, validation_images
            )
            validation = train[len(train) - validation_images :]
        elif validation_images > len(validation):
            raise ValueError(
                f"`validation_images` must be at most {len(validation)}, the size of "
                f"split 'val' of '{name}'. "
                f"Received: validation_images={validation_images}"
            )
        else:
            train_images = count_training(name, len(train), train_images, 0)
        tested = count_test(name, "test", len(splits["test"]), test_images)
        return CaptionData(
            name=name,
            version="",
            train=self._read("train", train[:train_images]),
            validation=self._read("validation", validation),
            tests={"test": self._read("test", splits["test"][:tested])},
        )

    def _names(self, name: str, form: str) -> dict[str, list[str]]:
        """The content of a JSON file: names, each with a list of texts."""
        path = self.path / name
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"A folder of captioned images must hold '{name}', JSON of the form "
                f"{form}. Received: {path}: {error}"
            ) from error
        fits = isinstance(content, dict) and all(
            isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            for texts in content.values()
        )
        if not fits:
            raise ValueError(f"'{name}' must have the form {form}. Received: {path}")
        return content

    def _check_splits(self) -> None:
        for split in ("train", "test"):
            if not self.splits.get(split):
                raise ValueError(
                    f"'splits.json' must name images in a split '{split}'. Received: "
                    f"{ {name: len(files) for name, files in self.splits.items()} }"
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

    def _read(self, split: str, files: Sequence[str]) -> CaptionedImages:
        from PIL import Image
        from tqdm import tqdm

        bar = tqdm(
            files,
            desc=f"Reading {self.path.name} {split}",
            unit=" images",
            delay=1.0,
            leave=False,
            disable=None if self.progress else True,
        )
        images: list[np.ndarray] = []
        for file in bar:
            try:
                with Image.open(self.path / "images" / file) as opened:
                    picture: Image.Image = opened.convert("RGB")
            except (OSError, ValueError, Image.DecompressionBombError) as error:
                raise ValueError(
                    f"Every image must be readable. Received: {file} ({error})"
                ) from error
            size = self.image_size
            if size and picture.size != (size, size):
                picture = picture.resize((size, size), Image.Resampling.BILINEAR)
            images.append(np.asarray(picture, np.uint8))
            if images[-1].shape != images[0].shape:
                raise ValueError(
                    f"The images of '{self.path.name}' differ in size: `image_size` "
                    "must say which size to resize them to. Received: image_size=None, "
                    f"{files[0]} of {images[0].shape[:2]}, "
                    f"{file} of {images[-1].shape[:2]}"
                )
        captions = _normalized(files, [self.captions[file] for file in files])
        side = self.image_size or 0
        stacked = np.stack(images) if images else np.zeros((0, side, side, 3), np.uint8)
        return CaptionedImages(stacked, captions)


def _normalized(
    names: Sequence[str], captions: Sequence[Sequence[str]]
) -> tuple[tuple[str, ...], ...]:
    """Normalised captions; an error for an image that has none with a word."""
    found = tuple(tuple(filter(None, map(normalize, texts))) for texts in captions)
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
        raise ValueError(f"{expected}. Received: {', '.join(names[:3])}{more}")
