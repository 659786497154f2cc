"""The batches of an epoch: drawn by seed and epoch, augmented."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_stt.experiments.data.examples import Examples
from keras_stt.experiments.training.recipe import Recipe


class EpochBatches(keras.utils.PyDataset):
    """The batches of one epoch: a function of the data, the recipe, seed and epoch.

    Args:
        data: All training images.
        recipe: How to train.
        seed: Seed of the run.
        epoch: Index of the epoch, from 0.
    """

    def __init__(self, data: Examples, recipe: Recipe, seed: int, epoch: int) -> None:
        super().__init__()
        rng = np.random.default_rng([seed, epoch])
        count, shift = len(data), recipe.shift
        steps = count // recipe.batch_size
        order = rng.permutation(count)[: steps * recipe.batch_size]
        self._data = data
        self._order = order.reshape(steps, recipe.batch_size)
        # Drawn whether they are used or not, so that one never changes another.
        self._flip = (rng.random(count) < 0.5) & recipe.flip
        self._shift = rng.integers(-shift, shift, (count, 2), endpoint=True)
        self._draws = rng.random(count)
        self._turns = rng.integers(0, 4, count) * recipe.quarter_turns

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        chosen = self._order[index]
        images = self._data.images[chosen]
        flip, shift = self._flip[chosen], self._shift[chosen]
        images[flip] = images[flip, :, ::-1]
        for turns in filter(None, np.unique(self._turns[chosen])):
            turned = self._turns[chosen] == turns
            images[turned] = np.rot90(images[turned], turns, axes=(1, 2))
        if shift.any():
            images = translated(images, shift)
        pixels = np.divide(images, 255, dtype=np.float32)
        return self._data.batch(pixels, chosen, self._draws[chosen])


def translated(images: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Images, the i-th moved by `shift[i]` pixels down and right; zeros fill up."""
    most = int(abs(shift).max())
    (height, width), pad = images.shape[1:3], (most, most)
    padded = np.pad(images, ((0, 0), pad, pad, (0, 0)))
    corners = most - shift
    # Image by image: one indexing operation for all of them takes ten times as long.
    return np.stack(
        [
            image[top : top + height, left : left + width]
            for image, (top, left) in zip(padded, corners, strict=True)
        ]
    )
