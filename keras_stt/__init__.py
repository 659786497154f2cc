"""Self-attention for image tensors in Keras 3, without query-key dot products."""

from keras_stt import layers, models, ops, peers, synthesizers

__version__ = "0.1.0"

__all__ = ["__version__", "layers", "models", "ops", "peers", "synthesizers"]
