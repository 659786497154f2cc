"""Image-classification data sets, read whole into memory as NumPy arrays.

TensorFlow Datasets is only the reader: the arrays train on any backend. Everything
is deterministic: no file is shuffled, and example i of a split is always the same.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

EMBEDDED = "scenes"
"""The data set that this package draws itself, without a download."""
_READ_BATCH = 128


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


@dataclass(frozen=True)
class ClassificationData:
    """A data set for image classification, with its splits.

    Args:
        name: Name of the data set, with its configuration where it has several.
        version: Version of the data set.
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
    """Reads an image-classification data set of TensorFlow Datasets.

    The data set is downloaded or drawn first if its folder does not hold it yet. The
    training images are the first of the training split, the validation images its
    last, so the two never overlap and the validation images do not depend on the
    number of training images. The test images are the first of the test split; where
    a data set has no test split with labels, its "validation" split takes that place.

    Args:
        dataset: Name of the data set, as `tfds.builder` takes it: `"cifar10"`,
            `"scenes"`.
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
    _check_counts(train_images, validation_images, test_images, image_size)
    builder = _builder(dataset, data_dir)
    # What does not fit is refused before anything is downloaded.
    features = _features(builder, dataset)
    _prepare(builder, dataset, progress)
    reader = _Reader(builder, dataset, *features, image_size, progress)
    available = reader.size("train")
    if train_images is None:
        train_images = available - validation_images
    if train_images < 1 or train_images + validation_images > available:
        raise ValueError(
            "`train_images` and `validation_images` must be at most "
            f"{available} together, the size of the training split of '{dataset}', "
            f"and leave something to train on. Received: train_images={train_images}, "
            f"validation_images={validation_images}"
        )
    test_split = reader.test_split()
    if test_images is not None and test_images > reader.size(test_split):
        raise ValueError(
            f"`test_images` must be at most {reader.size(test_split)}, the size of "
            f"split '{test_split}' of '{dataset}'. Received: test_images={test_images}"
        )
    return ClassificationData(
        name="/".join(filter(None, (builder.name, builder.info.config_name))),
        version=str(builder.version),
        class_names=tuple(builder.info.features[reader.label].names),
        train=reader.read("train", 0, train_images),
        validation=reader.read("train", available - validation_images, available),
        test=reader.read(test_split, 0, test_images or reader.size(test_split)),
    )


class _Reader(NamedTuple):
    """Reads ranges of a prepared data set."""

    builder: Any
    dataset: str
    image: str
    label: str
    image_size: int | None
    progress: bool

    def size(self, split: str) -> int:
        splits = self.builder.info.splits
        if split not in splits or not splits[split].num_examples:
            found = {name: info.num_examples for name, info in splits.items()}
            raise ValueError(
                f"Data set '{self.dataset}' must have images in a split '{split}'. "
                f"Received: splits {found}"
            )
        return int(splits[split].num_examples)

    def test_split(self) -> str:
        """The split to measure on: competitions keep the test labels to themselves."""
        splits = self.builder.info.splits
        for split in ("test", "validation"):
            present = split in splits and splits[split].num_examples
            # tfds marks withheld labels by -1.
            if present and self.read(split, 0, 1).labels[0] >= 0:
                return split
        raise ValueError(
            f"Data set '{self.dataset}' must have a split 'test' or 'validation' with "
            f"labels. Received: splits {sorted(splits)}"
        )

    def read(self, split: str, start: int, stop: int) -> Images:
        """Examples `start` to `stop` of a split."""
        import tensorflow as tf
        import tensorflow_datasets as tfds
        from tqdm import tqdm

        features = self.builder.info.features
        shape = features[self.image].shape
        if start == stop:
            side = self.image_size
            height, width = (side, side) if side else shape[:2]
            empty = np.zeros((0, height or 0, width or 0, shape[2] or 0), np.uint8)
            return Images(empty, np.zeros(0, np.int32))
        examples = self.builder.as_dataset(
            split=f"{split}[{start}:{stop}]",
            shuffle_files=False,
            # One file after the other: the first n stay the first n of any range.
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        ).map(self._image_and_label, tf.data.AUTOTUNE, deterministic=True)
        images, labels = [], []
        with tqdm(
            desc=f"Reading {self.dataset} {split}",
            total=stop - start,
            unit=" images",
            delay=1.0,
            leave=False,
            disable=None if self.progress else True,
        ) as bar:
            try:
                for pixels, numbers in examples.batch(_READ_BATCH).as_numpy_iterator():
                    images.append(pixels)
                    labels.append(numbers)
                    bar.update(len(numbers))
                pixels = np.concatenate(images)
            except (tf.errors.InvalidArgumentError, ValueError) as error:
                if self.image_size or None not in shape:
                    raise
                raise ValueError(
                    f"The images of '{self.dataset}' differ in size: `image_size` must "
                    "say which size to resize them to. Received: image_size=None"
                ) from error
        numbers = np.concatenate(labels).astype(np.int32)
        if split == "train" and numbers.min() < 0:
            raise ValueError(
                f"Data set '{self.dataset}' must have labels from 0 in its training "
                f"split. Received: label {numbers.min()}"
            )
        return Images(pixels, numbers)

    def _image_and_label(self, example: dict[str, Any]) -> tuple[Any, Any]:
        import tensorflow as tf

        image, size = example[self.image], self.image_size
        if size and tuple(image.shape[:2]) != (size, size):
            image = tf.image.resize(image, (size, size), antialias=True)
            image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
        return image, example[self.label]


def _check_counts(
    train: int | None, validation: int, test: int | None, image_size: int | None
) -> None:
    for name, value, least in (
        ("train_images", train, 1),
        ("validation_images", validation, 0),
        ("test_images", test, 1),
        ("image_size", image_size, 1),
    ):
        if value is not None and value < least:
            raise ValueError(
                f"`{name}` must be at least {least}. Received: {name}={value}"
            )


def _builder(dataset: str, data_dir: str | None) -> Any:
    """The builder of a data set."""
    try:
        with _without_startup_log():
            import tensorflow as tf
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            "Reading a data set needs tensorflow-datasets and TensorFlow, whichever "
            "backend Keras uses. Install them with: pip install 'keras-stt[compare]'"
        ) from error

    if keras.backend.backend() != "tensorflow":
        # Only a reader here: it must not take the GPU's memory from the backend. A
        # TensorFlow that runs already keeps what it has.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    if data_dir is not None and not Path(data_dir).expanduser().is_dir():
        raise ValueError(
            "`data_dir` must be an existing folder, of data sets that TensorFlow "
            f"Datasets prepared or shall prepare there. Received: data_dir={data_dir!r}"
        )
    if dataset == EMBEDDED:
        import keras_stt.datasets.scenes  # noqa: F401  (registers the builder)
    try:
        return tfds.builder(dataset, data_dir=data_dir)
    except (
        tfds.core.DatasetNotFoundError,
        ValueError,
        AssertionError,
        ImportError,
    ) as error:
        raise ValueError(
            f"`dataset` must be '{EMBEDDED}' or the name of a data set of TensorFlow "
            f"Datasets. Received: dataset={dataset!r} ({_first_line(error)})"
        ) from error


def _prepare(builder: Any, dataset: str, progress: bool) -> None:
    """Downloads or draws a data set if that has not happened yet."""
    import tensorflow_datasets as tfds

    if not progress:
        tfds.disable_progress_bar()
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    except Exception as error:
        raise ValueError(
            f"Data set '{dataset}' must be prepared in {builder.data_dir}, or it must "
            "be possible to download and prepare it there. Received: "
            f"{type(error).__name__}: {_first_line(error)}"
        ) from error
    finally:
        tfds.enable_progress_bar()


@contextlib.contextmanager
def _without_startup_log() -> Iterator[None]:
    """Hides what TensorFlow logs when it is imported, which tells a user nothing."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" in sys.modules:
        yield
        return
    # The first lines are written before TensorFlow looks at any setting.
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _features(builder: Any, dataset: str) -> tuple[str, str]:
    """Names of the image and the label of a data set."""
    import tensorflow_datasets as tfds

    image = _feature(builder, dataset, tfds.features.Image, "image", 0)
    label = _feature(builder, dataset, tfds.features.ClassLabel, "label", 1)
    if builder.info.features[image].np_dtype != np.uint8:
        raise ValueError(
            f"The images of '{dataset}' must be uint8. "
            f"Received: {builder.info.features[image]}"
        )
    if not builder.info.features[label].num_classes:
        raise ValueError(
            f"The label of '{dataset}' must know its number of classes. "
            f"Received: {builder.info.features[label]}"
        )
    return image, label


def _feature(
    builder: Any, dataset: str, kind: type, default: str, position: int
) -> str:
    """The one feature of a kind; of several, the supervised one, or the usual name."""
    features = builder.info.features
    # Exactly the kind: a segmentation mask is a subclass of the image.
    found = dict(features.items()) if hasattr(features, "items") else {}
    names = [name for name, feature in found.items() if type(feature) is kind]
    supervised = builder.info.supervised_keys
    wanted = [supervised[position]] if supervised else []
    for name in [*wanted, default]:
        if isinstance(name, str) and name in names:
            return name
    if len(names) == 1:
        return names[0]
    raise ValueError(
        f"Data set '{dataset}' must have one {default} feature, a "
        f"tfds.features.{kind.__name__}, to be used for classification. "
        f"Received: features {', '.join(found) or features}"
    )
