"""ONNX files of models, as functions."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

NEEDS = {"torch": "onnxscript", "tensorflow": "tf2onnx"}
"""What Keras exports with, by backend. (JAX would need jax2onnx.)"""

#: For modules that export.
MARKS = [
    pytest.mark.skipif(
        any(
            name is None or importlib.util.find_spec(name) is None
            for name in ("onnxruntime", NEEDS.get(keras.backend.backend()))
        ),
        reason="needs onnxruntime, and what Keras exports with on this backend",
    ),
    # Exporters on their own future.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
    if keras.backend.backend() == "torch"
    else pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


def exported(
    model: keras.Model, folder: Path, signature: Any = None
) -> Callable[..., np.ndarray]:
    """A model's ONNX file as a function of what the model takes.

    Args:
        model: A model that has been called.
        folder: Where the file goes.
        signature: The `input_signature`; by default, sizes are open as in the model.
    """
    import onnxruntime

    path = folder / "model.onnx"
    model.export(str(path), format="onnx", verbose=False, input_signature=signature)
    session = onnxruntime.InferenceSession(path)
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Any) -> np.ndarray:
        values = keras.tree.flatten(inputs)
        return session.run(None, dict(zip(names, values, strict=True)))[0]

    return run
