"""Where a data set comes from: files of the user's, or TensorFlow Datasets."""

from __future__ import annotations

from pathlib import Path

from keras_stt.experiments.data.pictures import SUFFIXES
from keras_stt.experiments.errors import UserError


def path_of(dataset: str) -> Path | None:
    """The folder or .npz file that a data set is; `None` for TensorFlow Datasets.

    A folder that happens to be named like a data set of TensorFlow Datasets, and holds
    neither captions nor folders of images, is none.

    Args:
        dataset: Path of a folder or an .npz file, or the name of a data set.

    Raises:
        ValueError: For a path where nothing is.
    """
    path = Path(dataset).expanduser()
    is_file = path.suffix.lower() == ".npz"
    named_as_path = dataset.startswith((".", "~")) or path.is_absolute() or is_file
    if is_file and path.is_file():
        return path
    if path.is_dir() and (named_as_path or _holds_images(path)):
        return path
    if named_as_path:
        raise UserError(
            "`dataset` must be an existing folder or .npz file, or the name of a data "
            f"set. Received: dataset={dataset!r}"
        )
    return None


def name_of(path: Path) -> str:
    """Name of a data set of the user's: that of the folder or file."""
    return path.stem if path.is_file() else path.resolve().name


def _holds_images(folder: Path) -> bool:
    if (folder / "captions.json").exists():
        return True
    patterns = ("*/*", "train/*/*")
    return any(
        file.suffix.lower() in SUFFIXES
        for pattern in patterns
        for file in folder.glob(pattern)
    )
