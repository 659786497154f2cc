"""Self-attention for image tensors in Keras 3, without query-key dot products."""

from keras_stt import inspection, layers, mixers, models, ops, synthesizers

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "inspection",
    "layers",
    "mixers",
    "models",
    "ops",
    "synthesizers",
]
