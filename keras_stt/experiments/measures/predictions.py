"""Predictions batch by batch, and their accuracy."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import numpy.typing as npt

from keras_stt.experiments.data.classification import Images

BATCH_SIZE = 256

Pixels = npt.NDArray[np.float32]
Disturbance = Callable[[Pixels, npt.NDArray[np.int32]], Pixels]


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
    return disturbed_accuracy(model, data, batch_size, lambda images, labels: images)


def disturbed_accuracy(
    model: keras.Model,
    data: Images,
    batch_size: int,
    disturb: Disturbance,
) -> float:
    """Accuracy on disturbed images, batch by batch in order.

    Args:
        model: Model from float32 images in [0, 1] to logits.
        data: Images with their labels.
        batch_size: Images per batch.
        disturb: From float32 images in [0, 1] and their labels to the images that the
            model sees.

    Raises:
        ValueError: If there are no images.
    """
    if not len(data):
        raise ValueError("`data` must hold at least one image. Received: no images")
    right = 0
    for chosen in batches(len(data), batch_size):
        labels = data.labels[chosen]
        images = disturb(unit(data.images[chosen]), labels)
        right += int(np.sum(labels == classes(model, images, batch_size)))
    return right / len(data)


def logits(model: keras.Model, images: Pixels, batch_size: int) -> np.ndarray:
    """The logits of float32 images in [0, 1], `(N, classes)`."""
    return np.concatenate(
        [
            model.predict_on_batch(padded(images[chosen], batch_size))[
                : chosen.stop - chosen.start
            ]
            for chosen in batches(len(images), batch_size)
        ]
    )


def classes(
    model: keras.Model, images: Pixels, batch_size: int
) -> npt.NDArray[np.int64]:
    """The class of each image: that of its largest logit."""
    return np.argmax(logits(model, images, batch_size), axis=-1)


def batches(count: int, batch_size: int) -> Iterator[slice]:
    """The slices of all batches, the last one shorter where it must be."""
    for start in range(0, count, batch_size):
        yield slice(start, min(start + batch_size, count))


def unit(images: npt.NDArray[np.uint8]) -> Pixels:
    """uint8 images as float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def padded(values: np.ndarray, batch_size: int) -> np.ndarray:
    """A batch filled up with zeros."""
    missing = batch_size - len(values)
    return np.pad(values, [(0, missing)] + [(0, 0)] * (values.ndim - 1))
