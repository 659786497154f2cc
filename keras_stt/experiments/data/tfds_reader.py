"""Reads data sets of TensorFlow Datasets into NumPy arrays, in order.

TensorFlow Datasets is only the reader: the arrays train on any backend. Everything
is deterministic: no file is shuffled, and example i of a split is always the same.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import keras
import numpy as np
import numpy.typing as npt

from keras_stt.experiments.errors import UserError, first_line

EMBEDDED = "scenes"
"""The data set that this package draws itself, without a download."""
_READ_BATCH = 128


def open_builder(dataset: str, data_dir: str | None) -> Any:
    """The builder of a data set, which need not be there yet.

    Args:
        dataset: Name of the data set, as `tfds.builder` takes it, or `EMBEDDED`.
        data_dir: Folder of prepared data sets; it must exist. None: the default
            folder of TensorFlow Datasets.

    Raises:
        ValueError: For an unknown data set or folder.
        ImportError: If TensorFlow or TensorFlow Datasets is not installed.
    """
    try:
        with _without_startup_log():
            import tensorflow as tf
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            "Reading a data set needs tensorflow-datasets and TensorFlow, whichever "
            "backend Keras uses: pip install 'keras-stt[compare,tensorflow]'"
        ) from error

    if keras.backend.backend() != "tensorflow":
        # Only a reader here: it must not take the GPU's memory from the backend. A
        # TensorFlow that runs already keeps what it has.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    if data_dir is not None and not Path(data_dir).expanduser().is_dir():
        raise UserError(
            "`data_dir` must be an existing folder, in which TensorFlow Datasets keeps "
            f"or will prepare its data sets. Received: data_dir={data_dir!r}"
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
        if Path(dataset).is_dir():
            raise UserError(
                "`dataset` must be a folder with one subfolder of images for each "
                f"class, or with captions.json. Received: {dataset}, which has neither"
            ) from error
        raise UserError(
            f"`dataset` must be '{EMBEDDED}' or the name of a data set of TensorFlow "
            f"Datasets. Received: dataset={dataset!r} ({first_line(error)})"
        ) from error


def prepare(builder: Any, dataset: str, progress: bool) -> None:
    """Downloads or draws a data set if that has not happened yet.

    Raises:
        ValueError: If that is not possible.
    """
    import tensorflow_datasets as tfds

    if not builder.is_prepared() and dataset != EMBEDDED:
        _check_network(builder, dataset)
    if not progress:
        tfds.disable_progress_bar()
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    except Exception as error:
        raise UserError(
            f"Data set '{dataset}' must be prepared in {builder.data_dir}, or it must "
            "be possible to download and prepare it there. Received: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    finally:
        tfds.enable_progress_bar()


def _check_network(builder: Any, dataset: str) -> None:
    """Raises a `ValueError` where the download has nowhere to go.

    TensorFlow Datasets would try again for minutes.
    """
    hosts = [urlsplit(url).hostname for url in builder.url_infos or ()]
    hosts = [host for host in hosts if host]
    # A proxy looks hosts up by itself.
    if not hosts or getproxies():
        return
    try:
        socket.getaddrinfo(hosts[0], 443)
    except OSError as error:
        raise UserError(
            f"`dataset` must be prepared in {builder.data_dir} already where there is "
            f"no network (`data_dir` names another folder; '{EMBEDDED}' needs none). "
            f"Received: dataset={dataset!r}, and {hosts[0]} cannot be reached ({error})"
        ) from error


def image_feature(builder: Any, dataset: str) -> str:
    """Name of the image of a data set.

    Raises:
        ValueError: If there is none, or it is not of 8 bits.
    """
    import tensorflow_datasets as tfds

    image = find_feature(builder, dataset, tfds.features.Image, "image", 0)
    if builder.info.features[image].np_dtype != np.uint8:
        raise UserError(
            f"The images of '{dataset}' must be uint8. "
            f"Received: {builder.info.features[image]}"
        )
    return image


def full_name(builder: Any) -> str:
    """Name of a data set, with its configuration where it has several."""
    return "/".join(filter(None, (builder.name, builder.info.config_name)))


def find_feature(
    builder: Any, dataset: str, kind: type, default: str, position: int
) -> str:
    """The one feature of a kind; of several, the supervised one, or the usual name.

    Args:
        builder: Builder of the data set.
        dataset: Its name, for the error.
        kind: A class of `tfds.features`, exactly.
        default: The usual name.
        position: Of the feature in the pair of supervised keys.

    Raises:
        ValueError: If there is none, or no telling which of several.
    """
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
    raise UserError(
        f"Data set '{dataset}' must have one {default} feature, a "
        f"tfds.features.{kind.__name__}, to be used here. "
        f"Received: features {', '.join(found) or features}"
    )


class Reader(NamedTuple):
    """Reads ranges of a prepared data set.

    Attributes:
        builder: Builder of the data set.
        dataset: Its name, for errors.
        image: Name of the image among its features.
        target: What to read of an example in addition to its image: a function from the
            example to a scalar tensor.
        image_size: Height and width, in pixels, to resize images to; None to leave
            them.
        progress: Whether to show a progress bar if reading takes over a second.
    """

    builder: Any
    dataset: str
    image: str
    target: Callable[[dict[str, Any]], Any]
    image_size: int | None
    progress: bool

    def size(self, split: str) -> int:
        """Number of examples of a split; an error if there is none."""
        splits = self.builder.info.splits
        if split not in splits or not splits[split].num_examples:
            found = {name: info.num_examples for name, info in splits.items()}
            raise UserError(
                f"Data set '{self.dataset}' must have images in a split '{split}'. "
                f"Received: splits {found}"
            )
        return int(splits[split].num_examples)

    def read(
        self, split: str, start: int, stop: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]:
        """The images and targets of examples `start` to `stop` of a split.

        Raises:
            ValueError: If images differ in size and are not resized.
        """
        import tensorflow as tf
        import tensorflow_datasets as tfds
        from tqdm import tqdm

        shape = self.builder.info.features[self.image].shape
        if start == stop:
            side = self.image_size
            height, width = (side, side) if side else shape[:2]
            empty = (0, height or 0, width or 0, shape[2] or 0)
            return np.zeros(empty, np.uint8), np.zeros(0)
        examples = self.builder.as_dataset(
            split=f"{split}[{start}:{stop}]",
            shuffle_files=False,
            # One file after the other: the first n stay the first n of any range.
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        ).map(self._image_and_target, tf.data.AUTOTUNE, deterministic=True)
        images, targets = [], []
        with tqdm(
            desc=f"Reading {self.dataset} {split}",
            total=stop - start,
            unit=" images",
            delay=1.0,
            leave=False,
            disable=None if self.progress else True,
        ) as bar:
            try:
                for pixels, found in examples.batch(_READ_BATCH).as_numpy_iterator():
                    images.append(pixels)
                    targets.append(found)
                    bar.update(len(found))
                return np.concatenate(images), np.concatenate(targets)
            except (tf.errors.InvalidArgumentError, ValueError) as error:
                if self.image_size or None not in shape:
                    raise
                raise UserError(
                    f"The images of '{self.dataset}' differ in size: `image_size` must "
                    "say which size to resize them to. Received: image_size=None"
                ) from error

    def _image_and_target(self, example: dict[str, Any]) -> tuple[Any, Any]:
        import tensorflow as tf

        image, size = example[self.image], self.image_size
        if size and tuple(image.shape[:2]) != (size, size):
            image = tf.image.resize(image, (size, size), antialias=True)
            image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
        return image, self.target(example)


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
