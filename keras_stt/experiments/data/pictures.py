"""Image files, read into one array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from keras_stt.experiments.errors import UserError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
"""Names of image files end like this, in small or capital letters."""


def read_pictures(
    files: Sequence[Path], image_size: int | None, name: str, progress: bool
) -> npt.NDArray[np.uint8]:
    """Reads image files: upright, in red, green and blue.

    Args:
        files: The files.
        image_size: Height and width, in pixels, to resize images to (bilinear,
            antialiased, without keeping the aspect ratio); None to leave them.
        name: What is read, for errors and the progress bar.
        progress: Whether to show a progress bar if reading takes over a second.

    Returns:
        uint8, `(N, height, width, 3)`.

    Raises:
        ValueError: For a file that is no image of 8 bits, and for images that differ
            in size and are not resized.
    """
    from tqdm import tqdm

    bar = tqdm(
        files,
        desc=f"Reading {name}",
        unit=" images",
        delay=1.0,
        leave=False,
        disable=None if progress else True,
    )
    side = image_size or 0
    images = np.zeros((0, side, side, 3), np.uint8)
    for number, file in enumerate(bar):
        pixels = _picture(file, image_size)
        if not number:
            images = np.empty((len(files), *pixels.shape), np.uint8)
        if pixels.shape != images.shape[1:]:
            raise UserError(
                f"The images of '{name}' differ in size: `image_size` must say which "
                "size to resize them to. Received: image_size=None, "
                f"{_shown(files[0])} of {images.shape[1:3]}, {_shown(file)} of "
                f"{pixels.shape[:2]}"
            )
        images[number] = pixels
    return images


def resized(
    images: npt.NDArray[np.uint8],
    size: tuple[int, int],
    resample: Literal["bilinear", "bicubic"] = "bilinear",
) -> npt.NDArray[np.uint8]:
    """Images of any number of channels, resized one by one.

    Args:
        images: uint8, `(N, height, width, channels)`.
        size: Height and width, in pixels.
        resample: The interpolation, antialiased.
    """
    from PIL import Image

    if images.shape[1:3] == size:
        return images
    result = np.empty((len(images), *size, images.shape[-1]), np.uint8)
    for number, channel in np.ndindex(len(images), images.shape[-1]):
        picture = Image.fromarray(images[number, ..., channel])
        small = picture.resize(size[::-1], Image.Resampling[resample.upper()])
        result[number, ..., channel] = np.asarray(small)
    return result


def _shown(file: Path) -> str:
    """A file with its folder: every class may have an image of the same name."""
    return f"{file.parent.name}/{file.name}"


def _picture(file: Path, image_size: int | None) -> npt.NDArray[np.uint8]:
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            upright = ImageOps.exif_transpose(opened)
    except Exception as error:  # Pillow has many, SyntaxError among them.
        raise UserError(
            f"Every image must be readable. Received: {_shown(file)} ({error})"
        ) from error
    if upright.mode.startswith(("I", "F")):
        raise UserError(
            "Every image must have 8 bits per colour. "
            f"Received: {_shown(file)} of mode {upright.mode}"
        )
    picture = upright.convert("RGB")
    if image_size and picture.size != (image_size, image_size):
        size = (image_size, image_size)
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8)
