"""Whether a model keeps its answers: shifted, partly hidden, larger and smaller."""

import keras
import numpy as np

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.measures.predictions import (
    BATCH_SIZE,
    Pixels,
    classes,
    disturbed_accuracy,
    unit,
)
from keras_stt.experiments.training.batches import translated

#: The value of hidden pixels: the middle of the range.
GREY = 0.5


def shift_consistency(
    model: keras.Model,
    data: Images,
    largest: int,
    *,
    batch_size: int = BATCH_SIZE,
) -> float:
    """Share of images whose class is the same after two random shifts.

    Both are drawn from `-largest … largest` pixels along each axis; zeros fill up. An
    answer counts whether it is right or not.

    Args:
        model: Model from float32 images in [0, 1] to logits.
        data: Images with their labels.
        largest: Largest shift, in pixels.
        batch_size: Images per batch.

    Reference:
        Zhang, Making convolutional networks shift-invariant again, arXiv 1904.11486.
    """
    rng = np.random.default_rng([0, largest])
    images, answers = unit(data.images), []
    for _ in range(2):
        offsets = rng.integers(0, 2 * largest, (len(data), 2), endpoint=True)
        shifted = translated(images, largest - offsets)
        answers.append(classes(model, shifted, batch_size))
    return float(np.mean(answers[0] == answers[1]))


def occlusion_accuracy(
    model: keras.Model,
    data: Images,
    hidden: float,
    *,
    grid: tuple[int, int] = (8, 8),
    batch_size: int = BATCH_SIZE,
) -> float:
    """Accuracy where a random share of the cells of a grid is grey.

    Args:
        model: Model from float32 images in [0, 1] to logits.
        data: Images with their labels.
        hidden: Share of the cells that are hidden, in [0, 1].
        grid: Rows and columns of the grid of equal cells.
        batch_size: Images per batch.

    Returns:
        The accuracy, in [0, 1].
    """
    rows, columns = grid
    height, width = data.images.shape[1:3]
    rng = np.random.default_rng([0, round(1e6 * hidden)])
    count = round(hidden * rows * columns)

    def occluded(images: Pixels, labels: np.ndarray) -> Pixels:
        order = rng.permuted(
            np.tile(np.arange(rows * columns), (len(images), 1)), axis=1
        )
        cells = (order < count).reshape(-1, rows, columns)
        # Rows and columns of pixels in equal parts, whatever their number.
        mask = cells[:, np.arange(height) * rows // height]
        mask = mask[:, :, np.arange(width) * columns // width]
        return np.where(mask[..., None], np.float32(GREY), images)

    return disturbed_accuracy(model, data, batch_size, occluded)
