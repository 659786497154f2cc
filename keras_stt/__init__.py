"""Self-attention for image tensors in Keras 3, without query-key dot products."""

# ruff: noqa: E402 - Keras reads its backend when it is imported.
from keras_stt.backend import use_an_installed_backend

use_an_installed_backend()

from keras_stt import inspection, layers, mixers, models, ops, surgery, synthesizers

__version__ = "0.2.0"

__all__ = [
    "__version__",
    "inspection",
    "layers",
    "mixers",
    "models",
    "ops",
    "surgery",
    "synthesizers",
]
