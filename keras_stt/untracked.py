"""Attributes that Keras must not take for parts of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Content = TypeVar("Content")


@dataclass(frozen=True)
class Untracked(Generic[Content]):
    """Holds what a layer keeps without owning it: a template, or a model around it.

    Keras tracks every layer that is an attribute of another one, also in lists and
    dicts: it would save the weights of a template, or follow a circle.

    Attributes:
        content: What is held.
    """

    content: Content
