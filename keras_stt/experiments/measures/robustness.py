"""Accuracy on clean, noisy and attacked images.

Images are disturbed in the unit of the models' input, where pixels are in [0, 1].
Every batch has the same shape, the last one padded, so that nothing compiles twice.
"""

from collections.abc import Callable

import keras
import numpy as np

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.measures.gradients import loss_gradient

BATCH_SIZE = 256

Disturbance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def accuracy(model: keras.Model, data: Images, batch_size: int = BATCH_SIZE) -> float:
    """Share of images whose largest logit is that of their label.

    Args:
        model: Model from float32 images in [0, 1] to logits.
        data: Images with their labels.
        batch_size: Images per batch.

    Returns:
        The accuracy, in [0, 1].

    Raises:
        ValueError: If there are no images.
    """
    return _accuracy(model, data, batch_size, lambda images, labels: images)


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

    def disturbed(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        # Drawn image by image in order, whatever the batches are.
        noise = rng.standard_normal(images.shape, np.float32)
        return np.clip(images + np.float32(sigma) * noise, 0, 1)

    return _accuracy(model, data, batch_size, disturbed)


def fgsm_accuracy(
    model: keras.Model,
    data: Images,
    epsilon: float,
    *,
    batch_size: int = BATCH_SIZE,
) -> float:
    """Accuracy under the fast gradient sign method, a white-box attack of one step.

    The model sees `clip(x + ε·sign(∂ loss / ∂x), 0, 1)`, where the loss is the
    cross-entropy with the true label.

    Args:
        model: Model from float32 images in [0, 1] to logits.
        data: Images with their labels.
        epsilon: Size of the step, in units of the [0, 1] pixel range.
        batch_size: Images per batch.

    Returns:
        The accuracy, in [0, 1].

    Raises:
        ValueError: If there are no images, or for a negative `epsilon`.

    Reference:
        Goodfellow et al., arXiv 1412.6572, section 4.
    """
    if epsilon < 0:
        raise ValueError(f"`epsilon` must be at least 0. Received: epsilon={epsilon}")
    gradient = loss_gradient(model)

    def attacked(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        count = len(labels)
        slope = gradient(_padded(images, batch_size), _padded(labels, batch_size))[
            :count
        ]
        return np.clip(images + np.float32(epsilon) * np.sign(slope), 0, 1)

    return _accuracy(model, data, batch_size, attacked)


def _accuracy(
    model: keras.Model,
    data: Images,
    batch_size: int,
    disturb: Disturbance,
) -> float:
    """Accuracy on disturbed images, batch by batch in order."""
    if not len(data):
        raise ValueError("`data` must hold at least one image. Received: no images")
    right = 0
    for start in range(0, len(data), batch_size):
        chosen = slice(start, start + batch_size)
        labels = data.labels[chosen]
        images = disturb(data.images[chosen].astype(np.float32) / 255, labels)
        logits = model.predict_on_batch(_padded(images, batch_size))
        right += int(np.sum(np.argmax(logits[: len(labels)], axis=-1) == labels))
    return right / len(data)


def _padded(values: np.ndarray, batch_size: int) -> np.ndarray:
    """A batch filled up with zeros."""
    missing = batch_size - len(values)
    return np.pad(values, [(0, missing)] + [(0, 0)] * (values.ndim - 1))
