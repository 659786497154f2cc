"""Images with the corruptions of ImageNet-C, made once for all models."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.errors import UserError
from keras_stt.experiments.files import write_array

SEVERITIES = (1, 2, 3, 4, 5)

#: The package refuses images with a smaller height or width.
SMALLEST = 32


def check_corruptible(image_shape: Sequence[int]) -> None:
    """Raises a `UserError` for images that are not RGB, or smaller than 32×32."""
    height, width, channels = image_shape
    if channels != 3 or min(height, width) < SMALLEST:
        raise UserError(
            f"`robustness=full` needs RGB images of at least {SMALLEST}×{SMALLEST} "
            f"pixels. Received: images of {height}×{width} pixels with {channels} "
            "channels"
        )


def corrupted(data: Images, name: str, folder: Path) -> list[Images]:
    """The images with a corruption, once for each of the five severities.

    The severities are those of ImageNet-C, made for images of 224×224 pixels: on small
    images many are harsher, and numbers do not compare with those on CIFAR-10-C.

    Args:
        data: RGB images with their labels.
        name: One of `reports.tasks.CORRUPTIONS`.
        folder: Where the images are kept. If they are there, they are read, so that
            all models see the same. No seed reaches impulse noise and glass blur: they
            differ a little from folder to folder.

    Returns:
        The images at severities 1 to 5, with their labels.

    Raises:
        UserError: For images that `check_corruptible` refuses.

    Reference:
        Hendrycks and Dietterich, arXiv 1903.12261, by the package imagecorruptions.
    """
    check_corruptible(data.images.shape[1:])
    path = folder / f"{name}.npy"
    if not path.exists():
        write_array(path, _corrupt(data.images, name))
    # Page by page from the file: all of them would fill the memory.
    return [Images(images, data.labels) for images in np.load(path, mmap_mode="r")]


def _corrupt(
    images: Iterable[npt.NDArray[np.uint8]], name: str
) -> npt.NDArray[np.uint8]:
    from imagecorruptions import corrupt

    # The package draws from NumPy's global stream.
    state = np.random.get_state()
    np.random.seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.array(
                [
                    [corrupt(image, severity, name) for image in images]
                    for severity in SEVERITIES
                ],
                np.uint8,
            )
    finally:
        np.random.set_state(state)
