"""Where a data set comes from: a folder of the user's, or TensorFlow Datasets."""

from __future__ import annotations

from pathlib import Path

from keras_stt.experiments.errors import UserError


def folder_of(dataset: str) -> Path | None:
    """The folder that a data set is, or `None` for one of TensorFlow Datasets.

    A folder that happens to be named like a data set of TensorFlow Datasets, and holds
    no captions, is none.

    Args:
        dataset: Path of a folder, or the name of a data set.

    Raises:
        ValueError: For a path without a folder.
    """
    path = Path(dataset).expanduser()
    named_as_path = dataset.startswith((".", "~")) or path.is_absolute()
    if path.is_dir() and (named_as_path or (path / "captions.json").exists()):
        return path
    if named_as_path:
        raise UserError(
            "`dataset` must be an existing folder, or the name of a data set. "
            f"Received: dataset={dataset!r}"
        )
    return None
