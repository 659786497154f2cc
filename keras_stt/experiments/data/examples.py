"""What models are trained on: images, each with what belongs to it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Examples(Protocol):
    """What models are trained on: images, each with what belongs to it."""

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """All images, `(N, height, width, channels)`."""

    @property
    def targets(self) -> npt.NDArray[np.int32]:
        """All of what belongs to them, `(N, …)`."""

    def __len__(self) -> int: ...

    def first(self, count: int) -> Examples:
        """The first of them."""

    def batch(
        self,
        pixels: npt.NDArray[np.float32],
        chosen: npt.NDArray[np.int64],
        draws: npt.NDArray[np.float64],
    ) -> tuple[Any, ...]:
        """What `keras.Model.fit` takes: inputs, targets and, it may be, weights.

        Args:
            pixels: The images of the batch, augmented, float32 in [0, 1].
            chosen: Which images they are.
            draws: A random number in [0, 1) for each, to choose by.
        """


def checksum(data: Examples) -> str:
    """Stands for images and targets, in few letters."""
    images, targets = map(np.ascontiguousarray, (data.images, data.targets))
    return f"{images.shape} {zlib.crc32(targets.data, zlib.crc32(images.data)):08x}"


@dataclass(frozen=True)
class TokenizedImages:
    """Images with their captions as tokens.

    Args:
        images: uint8, `(N, height, width, channels)`.
        tokens: int32, `(N, K, length + 2)`: start, words, end, padding.
        counts: How many of the K captions each image has; the rest is padding.
    """

    images: npt.NDArray[np.uint8]
    tokens: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]

    @property
    def targets(self) -> npt.NDArray[np.int32]:
        """The captions."""
        return self.tokens

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> TokenizedImages:
        """The first images."""
        return TokenizedImages(
            self.images[:count], self.tokens[:count], self.counts[:count]
        )

    def batch(self, pixels: Any, chosen: Any, draws: Any) -> tuple[Any, ...]:
        """One caption per image: inputs, next tokens, and which of them count."""
        which = (np.asarray(draws) * self.counts[chosen]).astype(np.int64)
        tokens = self.tokens[chosen, which]
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        weights = (targets != 0).astype(np.float32)
        return {"image": pixels, "tokens": inputs}, targets, weights
