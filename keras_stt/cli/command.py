"""What all commands share: backend, settings, errors, the record of the command."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Callable
from typing import Any

import keras

from keras_stt.experiments.errors import UserError, user_errors

BACKENDS = ("tensorflow", "jax", "torch")


def carried_out(
    run: Callable[[], str], options: argparse.Namespace, arguments: list[str]
) -> int:
    """Runs a command and prints what it returns, or in one line what is wrong."""
    try:
        check_backend(options.backend, arguments)
        print(run())
    # Any other ValueError is a defect, and shows.
    except (ImportError, OSError, UserError) as error:
        # The package speaks of its arguments, the user of options.
        message = re.sub(
            r"`(\w+)`",
            lambda name: f"`{options.spelled.get(name[1], name[1])}`",
            " ".join(str(error).split()),
        )
        print(f"keras-stt: error: {message}", file=sys.stderr)
        return 2
    return 0


def settings_of(options: argparse.Namespace) -> Any:
    """The settings that the options are."""
    names = [field.name for field in dataclasses.fields(options.settings)]
    chosen = {name: getattr(options, name) for name in names}
    with user_errors():
        return options.settings(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in chosen.items()
            }
        )


def check_backend(backend: str | None, arguments: list[str]) -> None:
    """Starts the command anew where another backend than the running one is wanted."""
    running = keras.backend.backend()
    if backend is None or backend == running:
        if running not in BACKENDS:
            raise UserError(
                f"The backend must be one of {', '.join(BACKENDS)}. Received: {running}"
            )
        return
    if importlib.util.find_spec(backend) is None:
        raise UserError(
            f"The backend must be installed: pip install 'keras-stt[{backend}]'. "
            f"Received: --backend {backend}"
        )
    # Keras chooses its backend when it is imported, which it is by now.
    os.environ["KERAS_BACKEND"] = backend
    start_anew(arguments)


def start_anew(arguments: list[str]) -> None:
    """Runs the command in place of this process, as in an environment now changed."""
    os.execv(  # noqa: S606 - this very interpreter, with the arguments it got
        sys.executable, [sys.executable, "-m", "keras_stt", *arguments]
    )


def check_installed(packages: tuple[str, ...], extras: str) -> None:
    """Raises a `ValueError` where packages are missing, with the extras to install."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            "This command needs further packages: "
            f"pip install 'keras-stt[{extras}]'. "
            f"Missing: {', '.join(missing)}"
        )


def recorded(arguments: list[str]) -> str:
    """The command line for the record, without folders of this machine."""
    shown = [re.sub(r"^(--[\w-]+=)?[/~].*", r"\1DIR", text) for text in arguments]
    return shlex.join(["keras-stt", *shown])
