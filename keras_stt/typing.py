"""Types that annotations share."""

from typing import Any

Tensor = Any
"""A tensor of the running backend, or a `keras.KerasTensor`."""

Shape = tuple[Any, ...]
"""A shape: integers, and `None` where a size is not known."""
