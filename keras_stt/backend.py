"""The backend that Keras starts with, where the configured one is not installed."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import warnings
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")


def use_an_installed_backend() -> None:
    """Makes Keras take a backend that is installed, unless someone chose one.

    Keras takes TensorFlow by default, and fails when it is imported without it. To be
    called before that. `KERAS_BACKEND` and an installed backend of `keras.json` stay
    as they are.

    Raises:
        ImportError: If no backend is installed.
    """
    if "keras" in sys.modules or "KERAS_BACKEND" in os.environ:
        return
    configured = _configured()
    if _installed(configured):
        return
    found = next(filter(_installed, BACKENDS), None)
    if found is None:
        raise ImportError(
            "Keras needs a backend: pip install 'keras-stt[jax]', "
            "'keras-stt[torch]' or 'keras-stt[tensorflow]'"
        )
    os.environ["KERAS_BACKEND"] = found
    warnings.warn(
        f"Keras's default backend, {configured}, is not installed: using {found}. "
        "Set KERAS_BACKEND to choose a backend.",
        stacklevel=2,
    )


def _configured() -> str:
    """The backend of Keras's configuration file, or Keras's default."""
    home = os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser()
    try:
        text = Path(home, "keras.json").read_text(encoding="utf-8")
        return json.loads(text).get("backend", "tensorflow")
    except (OSError, ValueError):
        return "tensorflow"


def _installed(backend: str) -> bool:
    # Keras's further backends (OpenVINO) are its own business.
    return backend not in BACKENDS or importlib.util.find_spec(backend) is not None
