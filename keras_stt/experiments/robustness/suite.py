"""All measures of `--robustness full`, by the names of their measures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.data.pictures import resized
from keras_stt.experiments.measures.predictions import accuracy
from keras_stt.experiments.reports.tasks import CORRUPTIONS, ROBUSTNESS, TASKS
from keras_stt.experiments.robustness.attacks import (
    pgd_accuracy,
    square_accuracy,
    universal_accuracy,
)
from keras_stt.experiments.robustness.calibration import calibration_error
from keras_stt.experiments.robustness.corruptions import corrupted
from keras_stt.experiments.robustness.stability import (
    occlusion_accuracy,
    shift_consistency,
)

#: At most so many of the first test images are disturbed, and so many are attacked.
IMAGES, ATTACKED = 2_000, 500

#: The names of all measures.
NAMES = tuple(
    measure.name
    for measure in TASKS["classify"].measures.values()
    if measure.group in ROBUSTNESS
)

Resize = Callable[[float], keras.Model | None]


def measures(
    model: keras.Model,
    data: Images,
    train_data: Images,
    resize: Resize,
    grid: tuple[int, int],
    folder: Path,
    batch_size: int,
) -> dict[str, Callable[[], float | None]]:
    """What is to be measured, each when it is called.

    Args:
        model: The trained model.
        data: The test images.
        train_data: The training images, on which a universal perturbation is made.
        resize: Makes the model for images larger by a factor, or `None` where it
            cannot be.
        grid: Rows and columns of the model's grid, whose cells are occluded.
        folder: Where the corrupted images are kept.
        batch_size: Images per batch.

    Returns:
        Functions without arguments by the names of their measures.
    """
    some, few = data.first(IMAGES), data.first(ATTACKED)
    on_some: Any = {"model": model, "data": some, "batch_size": batch_size}
    on_few: Any = {**on_some, "data": few}

    def under(name: str) -> float:
        return float(
            np.mean(
                [
                    accuracy(model, images, batch_size)
                    for images in corrupted(some, name, folder)
                ]
            )
        )

    def at(scale: float) -> float | None:
        other = resize(scale)
        if other is None:
            return None
        images = resized(some.images, other.input_shape[1:3], "bicubic")
        return accuracy(other, Images(images, some.labels), batch_size)

    found: dict[str, Callable[[], float | None]] = {
        "accuracy_subset": partial(accuracy, **on_some),
        "accuracy_attacked_subset": partial(accuracy, **on_few),
    }
    found |= {f"accuracy_{name}": partial(under, name) for name in CORRUPTIONS}
    of_strength: dict[str, Callable[[float], float | None]] = {
        "pgd": lambda e: pgd_accuracy(**on_few, epsilon=e / 255),
        "square": lambda e: square_accuracy(**on_few, epsilon=e / 255),
        "universal": lambda e: universal_accuracy(
            **on_few, train_data=train_data.first(IMAGES), epsilon=e / 255
        ),
        "shift": lambda n: shift_consistency(**on_some, largest=int(n)),
        "occlusion": lambda h: occlusion_accuracy(**on_some, hidden=h, grid=grid),
        "resolution": at,
    }
    for measure in TASKS["classify"].measures.values():
        if measure.group in of_strength:
            found[measure.name] = partial(of_strength[measure.group], measure.strength)
    found["calibration_error"] = partial(
        calibration_error, model, data, batch_size=batch_size
    )
    return found
