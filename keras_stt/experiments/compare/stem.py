"""The stem of a comparison: one of this package's, or a model from a file."""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import keras

from keras_stt.experiments.errors import UserError, first_line
from keras_stt.models import STEMS
from keras_stt.surgery import resize_model
from keras_stt.typing import Shape


def check_stem(stem: str) -> None:
    """Raises a `UserError` unless a stem is known, or a Keras file that is there."""
    file = Path(stem).expanduser()
    if stem not in STEMS and not (file.suffix == ".keras" and file.is_file()):
        missing = ", and there is no such file" if file.suffix == ".keras" else ""
        raise UserError(
            f"`stem` must be {', '.join(STEMS)}, or an existing file MODEL.keras. "
            f"Received: stem={stem!r}{missing}"
        )


def stem_name(stem: str) -> str:
    """The name of a stem; of a file without its folder, which is private."""
    return stem if stem in STEMS else Path(stem).name


def stem_identity(stem: str) -> str:
    """The name of a stem, with a checksum of its layers and weights if it is a file.

    Raises:
        UserError: If the file is not one of Keras's.
    """
    if stem in STEMS:
        return stem
    try:
        with ZipFile(Path(stem).expanduser()) as file:
            # The metadata are the date, and Keras's version.
            parts = [
                (part.filename, part.CRC)
                for part in file.infolist()
                if part.filename != "metadata.json"
            ]
    except BadZipFile as error:
        raise _unfit(stem, error) from error
    return f"{stem_name(stem)} {zlib.crc32(repr(parts).encode()):08x}"


def load_stem(stem: str, image_shape: Shape) -> str | keras.Model:
    """The stem for images of a shape, as the models take it.

    Raises:
        UserError: If a file holds anything but a model for such images.
    """
    if stem in STEMS:
        return stem
    try:
        model = keras.saving.load_model(Path(stem).expanduser(), compile=False)
        if tuple(model.input_shape[1:]) != tuple(image_shape):
            model = resize_model(model, image_shape)
    except (ValueError, TypeError, AttributeError, KeyError, OSError) as error:
        raise _unfit(stem, error, f" that takes images of {image_shape}") from error
    return model


def _unfit(stem: str, error: Exception, images: str = "") -> UserError:
    return UserError(
        f"`stem` must hold a functional or Sequential model of Keras{images}. "
        f"Received: {stem_name(stem)} ({first_line(error)})"
    )
