"""Types that annotations share."""

from typing import Any, TypeAlias

import keras

Tensor = Any
"""A tensor of the running backend, or a `keras.KerasTensor`."""

Shape = tuple[Any, ...]
"""A shape: integers, and `None` where a size is not known."""

Layer: TypeAlias = keras.layers.Layer
"""A Keras layer, or a model."""
