"""Labelled images of the user's own: a folder with one subfolder per class, or .npz."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_stt.experiments.data.pictures import SUFFIXES, read_pictures, resized
from keras_stt.experiments.errors import UserError

TEST_SHARE = 0.2
"""Share of the images that are kept for testing, where a folder has no test images."""
_TEST = ("test", "val", "validation")
_KEYS = ("x_train", "y_train", "x_test", "y_test")


class OwnImages(NamedTuple):
    """Labelled images that are there to be read.

    Attributes:
        class_names: Name of every label.
        sizes: Number of images of the splits `"train"` and `"test"`.
        read: Reads a range of a split: images, uint8 `(N, height, width, channels)`,
            and labels, int32 `(N,)`.
    """

    class_names: tuple[str, ...]
    sizes: dict[str, int]
    read: Callable[[str, int, int], tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]]


def open_own(path: Path, image_size: int | None, progress: bool) -> OwnImages:
    """Opens a folder or an .npz file of labelled images.

    A folder has one subfolder of image files per class, as
    `keras.utils.image_dataset_from_directory` reads it, or such a folder `train` and
    one more, `test`, `val` or `validation`. Without these, a fifth of the images is for
    testing. The order is random, and always the same.

    An .npz file has the arrays `x_train`, `y_train`, `x_test` and `y_test`, as Keras's
    own data sets are stored: uint8 images, `(N, height, width)` or with channels, and
    integer labels from 0, `(N,)` or `(N, 1)`.

    Args:
        path: The folder or file.
        image_size: Height and width, in pixels, to resize images to; None to leave
            them.
        progress: Whether to show a progress bar if reading takes over a second.

    Raises:
        ValueError: For whatever is missing or malformed.
    """
    if path.is_file():
        return _open_npz(path, image_size)
    return _open_folder(path, image_size, progress)


def _open_folder(path: Path, image_size: int | None, progress: bool) -> OwnImages:
    name = path.resolve().name
    test = [path / split for split in _TEST if (path / split).is_dir()]
    if (path / "train").is_dir() and test:
        folders = {"train": path / "train", "test": test[0]}
    else:
        folders = {"train": path}
    files = {split: _files_by_class(folder) for split, folder in folders.items()}
    class_names = tuple(sorted(files["train"]))
    if len(class_names) < 2:
        raise UserError(
            "A folder of labelled images must have one subfolder of images for each of "
            f"at least two classes. Received: {folders['train']} with "
            f"{', '.join(class_names) or 'no subfolder that holds images'}"
        )
    alone = sorted(set(files.get("test", class_names)) ^ set(class_names))
    if alone:
        raise UserError(
            "Training and test images must be of the same classes. "
            f"Received: {', '.join(alone)} in one of {folders['train']} and "
            f"{folders['test']} only"
        )
    labelled = {
        split: _shuffled(
            [
                (file, class_names.index(of_class))
                for of_class, found in sorted(by_class.items())
                for file in found
            ]
        )
        for split, by_class in files.items()
    }
    if "test" not in labelled:
        every = labelled["train"]
        count = round(TEST_SHARE * len(every))
        labelled = {"train": every[count:], "test": every[:count]}
    if not labelled["test"]:
        raise UserError(
            "A folder of labelled images must have images to test on. "
            f"Received: {path} with {len(labelled['train'])} images"
        )

    def read(
        split: str, start: int, stop: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        chosen = labelled[split][start:stop]
        paths = [file for file, _ in chosen]
        pictures = read_pictures(paths, image_size, name, progress)
        return pictures, np.array([label for _, label in chosen], np.int32)

    sizes = {split: len(found) for split, found in labelled.items()}
    return OwnImages(class_names, sizes, read)


def _files_by_class(folder: Path) -> dict[str, list[Path]]:
    """The image files of every subfolder that has some."""
    found = {
        of_class.name: sorted(
            file
            for file in of_class.rglob("*")
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
        )
        for of_class in folder.iterdir()
        if of_class.is_dir() and not of_class.name.startswith(".")
    }
    return {name: files for name, files in found.items() if files}


def _shuffled(files: list[tuple[Path, int]]) -> list[tuple[Path, int]]:
    """In random order, always the same: the first n have images of all classes."""
    order = np.random.default_rng(0).permutation(len(files))
    return [files[index] for index in order]


def _open_npz(path: Path, image_size: int | None) -> OwnImages:
    try:
        # NumPy would leave a damaged file open that it opened itself.
        with open(path, "rb") as raw, np.load(raw) as file:
            arrays = {key: file[key] for key in _KEYS if key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"`dataset` must be an .npz file of arrays. Received: {path} ({error})"
        ) from error
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise UserError(
            f"An .npz file of images must hold {', '.join(_KEYS)}. "
            f"Received: {path} without {', '.join(missing)}"
        )
    images, labels = {}, {}
    for split in ("train", "test"):
        images[split] = _images(arrays[f"x_{split}"], split)
        labels[split] = _labels(arrays[f"y_{split}"], split, len(images[split]))
    shapes = {split: found.shape[1:] for split, found in images.items()}
    if len(set(shapes.values())) > 1:
        raise UserError(
            "The images of `x_train` and `x_test` must have one shape. "
            f"Received: {shapes['train']} and {shapes['test']}"
        )
    known, tested = (np.unique(labels[split]).tolist() for split in ("train", "test"))
    if len(known) < 2 or known != tested:
        alone = sorted(set(known) ^ set(tested))
        raise UserError(
            "The labels of `y_train` must be of at least two classes, and `y_test` of "
            f"the same. Received: {_few(known)} in y_train"
            + (f", and {_few(alone)} in one of them only" if alone else "")
        )
    classes = known[-1] + 1

    def read(
        split: str, start: int, stop: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
        chosen = images[split][start:stop]
        if image_size:
            chosen = resized(chosen, (image_size, image_size))
        return chosen, labels[split][start:stop]

    sizes = {split: len(found) for split, found in labels.items()}
    return OwnImages(tuple(map(str, range(classes))), sizes, read)


def _few(labels: list[int]) -> str:
    """Labels as an error shows them."""
    shown = ", ".join(map(str, labels[:8]))
    return shown + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")


def _images(array: np.ndarray, split: str) -> npt.NDArray[np.uint8]:
    fits = array.dtype == np.uint8 and array.ndim in (3, 4) and array.size
    if not fits:
        raise UserError(
            f"`x_{split}` must hold uint8 images, (N, height, width) or (N, height, "
            f"width, channels). Received: {array.dtype} of shape {array.shape}"
        )
    return array if array.ndim == 4 else array[..., None]


def _labels(array: np.ndarray, split: str, count: int) -> npt.NDArray[np.int32]:
    fits = array.dtype.kind in "iu" and array.shape in ((count,), (count, 1))
    if not fits or array.min() < 0:
        raise UserError(
            f"`y_{split}` must hold integer labels from 0, ({count},), one for every "
            f"image. Received: {array.dtype} of shape {array.shape}"
            + (f", with {array.min()}" if fits else "")
        )
    return array.reshape(count).astype(np.int32)
