"""Files that are written whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically: readers see the old file or the whole new one.

    Args:
        path: File to write; its folder must exist.
        data: Its content.
    """
    path = Path(path)
    # The same folder, because os.replace is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Write a JSON file atomically.

    NumPy scalars and arrays become numbers and lists.

    Args:
        path: File to write; its folder must exist.
        data: What to write.

    Raises:
        ValueError: If a number is not finite (JSON has no NaN).
        TypeError: If something has no JSON form.
    """
    try:
        text = json.dumps(
            data, indent=1, allow_nan=False, ensure_ascii=False, default=_plain
        )
    except ValueError as error:
        raise ValueError(
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
        raise ValueError(
            f"Expected a readable JSON file. Received: {path} ({error})"
        ) from error
