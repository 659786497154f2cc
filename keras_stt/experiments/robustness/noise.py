"""Accuracy under Gaussian noise."""

import keras
import numpy as np

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.measures.predictions import (
    BATCH_SIZE,
    Pixels,
    disturbed_accuracy,
)


def noise_accuracy(
    model: keras.Model,
    data: Images,
    sigma: float,
    *,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> float:
    """Accuracy on `clip(images + σ·n, 0, 1)` with Gaussian noise n.

    The noise is a function of the seed, σ and the images' positions and shape: every
    model sees the same, whatever the batch size and backend.

    Args:
        model: Model from float32 images in [0, 1] to logits.
        data: Images with their labels.
        sigma: Standard deviation of the noise, in units of the [0, 1] pixel range.
        seed: Seed of the noise, at least 0.
        batch_size: Images per batch.

    Returns:
        The accuracy, in [0, 1].

    Raises:
        ValueError: If there are no images, or for a negative `sigma`.
    """
    if sigma < 0:
        raise ValueError(f"`sigma` must be at least 0. Received: sigma={sigma}")
    rng = np.random.default_rng([seed, int(np.float64(sigma).view(np.uint64))])

    def disturbed(images: Pixels, labels: np.ndarray) -> Pixels:
        # Drawn image by image in order, whatever the batches are.
        noise = rng.standard_normal(images.shape, np.float32)
        return np.clip(images + np.float32(sigma) * noise, 0, 1)

    return disturbed_accuracy(model, data, batch_size, disturbed)
