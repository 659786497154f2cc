"""Image-classification data sets, read whole into memory as NumPy arrays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_stt.experiments.data.own_images import open_own
from keras_stt.experiments.data.source import name_of, path_of
from keras_stt.experiments.data.splits import check_counts, count_test, count_training
from keras_stt.experiments.data.tfds_reader import (
    Reader,
    find_feature,
    full_name,
    image_feature,
    open_builder,
    prepare,
)
from keras_stt.experiments.errors import UserError


@dataclass(frozen=True)
class Images:
    """Images with their labels.

    Args:
        images: uint8, `(N, height, width, channels)`.
        labels: int32, `(N,)`, from 0.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Images":
        """The first images."""
        return Images(self.images[:count], self.labels[:count])

    @property
    def targets(self) -> npt.NDArray[np.int32]:
        """The labels: what is to be predicted from the images."""
        return self.labels

    def batch(
        self, pixels: npt.NDArray[np.float32], chosen: Any, draws: Any
    ) -> tuple[Any, ...]:
        """Images and labels of a batch, as `keras.Model.fit` takes them."""
        return pixels, self.labels[chosen]


@dataclass(frozen=True)
class ClassificationData:
    """A data set for image classification, with its splits.

    Args:
        name: Name of the data set, with its configuration where it has several.
        version: Version of the data set; empty for files of the user's.
        class_names: Name of every label.
        train: Images to train on.
        validation: Images to choose settings with, taken from the training split.
        test: Images to measure with.
    """

    name: str
    version: str
    class_names: tuple[str, ...]
    train: Images
    validation: Images
    test: Images


def load_classification(
    dataset: str,
    data_dir: str | None = None,
    *,
    train_images: int | None = None,
    validation_images: int = 0,
    test_images: int | None = None,
    image_size: int | None = None,
    progress: bool = True,
) -> ClassificationData:
    """Reads labelled images: of TensorFlow Datasets, or files of the user's.

    A data set of TensorFlow Datasets is downloaded or drawn first if its folder does
    not hold it yet. What a folder or an .npz file holds is said in `open_own`. The
    training images are the first of the training split, the validation images its
    last, so the two never overlap and the validation images do not depend on the
    number of training images. The test images are the first of the test split; where
    a data set has no test split with labels, its "validation" split takes that place.

    Args:
        dataset: Path of a folder or an .npz file, or a name as `tfds.builder` takes it:
            `"cifar10"`, `"scenes"`.
        data_dir: Folder of prepared data sets; it must exist. None: the default
            folder of TensorFlow Datasets.
        train_images: Number of training images. None: all but the validation images.
        validation_images: Number of validation images. Defaults to 0.
        test_images: Number of test images. None: all of them.
        image_size: Height and width, in pixels, that images are resized to (bilinear,
            antialiased, without keeping the aspect ratio). None: as they are; they
            must then all have one size.
        progress: Whether to show a progress bar if reading takes over a second.

    Returns:
        The data set as a `ClassificationData`.

    Raises:
        ValueError: For an unknown data set or folder, a data set that can't be
            prepared, that has no image, no label or no such split, that has fewer
            images than asked for, or whose images differ in size.
    """
    check_counts(train_images, validation_images, test_images, image_size)
    path = path_of(dataset)
    if path is not None:
        counts = (train_images, validation_images, test_images)
        return _load_own(path, counts, image_size, progress)
    builder = open_builder(dataset, data_dir)
    # What does not fit is refused before anything is downloaded.
    image, label = image_feature(builder, dataset), _label_feature(builder, dataset)
    prepare(builder, dataset, progress)
    reader = Reader(
        builder, dataset, image, lambda example: example[label], image_size, progress
    )
    available = reader.size("train")
    train_images = count_training(dataset, available, train_images, validation_images)
    test_split = _test_split(reader)
    test_images = count_test(dataset, test_split, reader.size(test_split), test_images)

    def images(split: str, start: int, stop: int) -> Images:
        pixels, labels = reader.read(split, start, stop)
        return Images(pixels, labels.astype(np.int32))

    train = images("train", 0, train_images)
    validation = images("train", available - validation_images, available)
    for labels in (train.labels, validation.labels):
        if (labels < 0).any():
            raise UserError(
                f"Data set '{dataset}' must have labels from 0 in its training "
                f"split. Received: label {labels.min()}"
            )
    return ClassificationData(
        name=full_name(builder),
        version=str(builder.version),
        class_names=tuple(builder.info.features[label].names),
        train=train,
        validation=validation,
        test=images(test_split, 0, test_images),
    )


def _load_own(
    path: Path,
    counts: tuple[int | None, int, int | None],
    image_size: int | None,
    progress: bool,
) -> ClassificationData:
    """Reads a folder or an .npz file; of `counts`, what is asked for of each split."""
    train, validation, test = counts
    name, own = name_of(path), open_own(path, image_size, progress)
    available = own.sizes["train"]
    train = count_training(name, available, train, validation)
    test = count_test(name, "test", own.sizes["test"], test)
    return ClassificationData(
        name=name,
        version="",
        class_names=own.class_names,
        train=Images(*own.read("train", 0, train)),
        validation=Images(*own.read("train", available - validation, available)),
        test=Images(*own.read("test", 0, test)),
    )


def _test_split(reader: Reader) -> str:
    """The split to measure on: competitions keep the test labels to themselves."""
    splits = reader.builder.info.splits
    for split in ("test", "validation"):
        present = split in splits and splits[split].num_examples
        # tfds marks withheld labels by -1.
        if present and reader.read(split, 0, 1)[1][0] >= 0:
            return split
    raise UserError(
        f"Data set '{reader.dataset}' must have a split 'test' or 'validation' with "
        f"labels. Received: splits {sorted(splits)}"
    )


def _label_feature(builder: Any, dataset: str) -> str:
    """Name of the label of a data set."""
    import tensorflow_datasets as tfds

    label = find_feature(builder, dataset, tfds.features.ClassLabel, "label", 1)
    if not builder.info.features[label].num_classes:
        raise UserError(
            f"The label of '{dataset}' must know its number of classes. "
            f"Received: {builder.info.features[label]}"
        )
    return label
