"""What all commands share: options, backend, packages, the record of the command."""

import importlib.util
import itertools
import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import keras
from cyclopts import Parameter

from keras_stt.backend import BACKENDS
from keras_stt.experiments.errors import UserError

Backend = Literal["tensorflow", "jax", "torch"]

#: The arguments of `keras-stt` as they were given, for commands that need them.
Arguments = Annotated[list[str], Parameter(parse=False)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a command runs.

    Attributes:
        output: Folder of the results; by default a folder in runs/ that is named after
            the settings.
        backend: Backend of Keras; by default that of KERAS_BACKEND or ~/.keras.
        quiet: Show no progress.
    """

    output: Annotated[Path | None, Parameter(metavar="DIR")] = None
    backend: Backend | None = None
    quiet: Annotated[bool, Parameter(negative=(), show_default=False)] = False


def check_backend(backend: str | None, arguments: list[str]) -> None:
    """Restarts the command if it needs another backend than the running one."""
    running, known = keras.backend.backend(), BACKENDS
    if backend is None or backend == running:
        if running not in known:
            raise UserError(
                f"The backend must be one of {', '.join(known)}. Received: {running}"
            )
        return
    if importlib.util.find_spec(backend) is None:
        raise UserError(
            f"The backend must be installed: pip install 'keras-stt[{backend}]'. "
            f"Received: --backend {backend}"
        )
    # Keras chooses its backend when it is imported, which it is by now.
    os.environ["KERAS_BACKEND"] = backend
    restart(arguments)


def restart(arguments: list[str]) -> None:
    """Replaces this process by one that runs the same command in `os.environ`."""
    os.execv(  # noqa: S606 - this very interpreter, with the arguments it got
        sys.executable, [sys.executable, "-m", "keras_stt", *arguments]
    )


def check_installed(**needed: tuple[str, ...]) -> None:
    """Raises a `UserError` that says what to install if packages are missing.

    Args:
        **needed: The packages that are needed, by the extra that brings them.
    """
    found = {
        extra: [name for name in packages if importlib.util.find_spec(name) is None]
        for extra, packages in needed.items()
    }
    missing = {extra: names for extra, names in found.items() if names}
    if missing:
        raise UserError(
            "This command needs further packages: "
            f"pip install 'keras-stt[{','.join(missing)}]'. "
            f"Missing: {', '.join(itertools.chain.from_iterable(missing.values()))}"
        )


def recorded(arguments: list[str]) -> str:
    """The command line for the record, without folders of this machine."""
    shown = [re.sub(r"^(--[\w-]+=)?[/~].*", r"\1DIR", text) for text in arguments]
    return shlex.join(["keras-stt", *shown])
