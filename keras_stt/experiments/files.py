"""Files that are written whole or not at all."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keras_stt.experiments.errors import UserError


@contextlib.contextmanager
def _replaced(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write to, which takes its place when it is whole."""
    path = Path(path)
    # The same folder, because os.replace is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically: readers see the old file or the whole new one."""
    with _replaced(path) as file:
        file.write(data)


def write_arrays(path: Path, **values: Any) -> None:
    """Write NumPy arrays as an `.npz` file, atomically."""
    with _replaced(path) as file:
        np.savez(file, **values)


def write_array(path: Path, values: np.ndarray) -> None:
    """Write a NumPy array as a `.npy` file, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _replaced(path) as file:
        np.save(file, values)


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Write a JSON file atomically; NumPy scalars and arrays are numbers and lists.

    Raises:
        ValueError: If a number is not finite (JSON has no NaN).
        TypeError: If something has no JSON form.
    """
    try:
        text = json.dumps(
            data, indent=1, allow_nan=False, ensure_ascii=False, default=_plain
        )
    except ValueError as error:
        raise UserError(
            f"Expected finite numbers to write to {Path(path).name}. Received: {error}"
        ) from error
    write_bytes(path, (text + "\n").encode())


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"Expected a value with a JSON form. Received: {value!r}")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: If there is no such file, or it does not hold JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"Expected a readable JSON file. Received: {path} ({error})"
        ) from error


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Reserves a folder, which must exist, for this process.

    Raises:
        ValueError: If another process uses it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            "The output folder (--output) must not be in use. "
            f"Received: {folder}, which another process writes to"
        ) from error
    try:
        yield
    finally:
        lock.release()


def check_folder(folder: Path, expected: dict[str, Any]) -> None:
    """Raise a `UserError` if a folder holds anything but the expected comparison."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"The output must be a folder. Received: the file {folder}")
    path = folder / "experiment.json"
    if not path.exists():
        # Hidden files may be the system's, or ours of a write that was cut off.
        if any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise UserError(
                "The output folder must be new, empty, or hold the same comparison. "
                f"Received: {folder}, which holds something else"
            )
        return
    held = read_json(path)
    if not isinstance(held, dict):
        held = {"task": held}
    ours, theirs = _leaves(expected), _leaves(held)
    differing = [key for key in ours if theirs.get(key) != ours[key]]
    # Of two tasks, or of other images, further differences say nothing.
    telling = [key for key in ("task", "data") if key in differing] or differing
    if telling:
        here, there = (
            ", ".join(_stated(key, values.get(key)) for key in telling)
            for values in (ours, theirs)
        )
        raise UserError(
            "The output folder (--output) must be new, empty, or hold the same "
            f"comparison, here with {here}. Received: {folder}, which holds one with "
            f"{there}"
        )


def _stated(key: str, value: Any) -> str:
    """A setting as an error shows it."""
    if key == "data" and value is not None:
        return f"the images {value}"
    return f"{key} unset" if value is None else f"{key}={value}"


def _leaves(values: dict[str, Any]) -> dict[str, Any]:
    """The settings within settings, by their own names."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        leaves |= _leaves(value) if isinstance(value, dict) else {key: value}
    return leaves
