"""Pictures of captions: what was written, and where each word looked."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from keras_stt.experiments.plots import STYLE

_COLUMNS, _LINE = 2, 42
_RIGHT, _WRONG, _MUTED = "#0B6E4F", "#A1260D", "#69707A"


def gallery(
    images: np.ndarray,
    captions: Mapping[str, Sequence[str]],
    references: Sequence[Sequence[str]],
    right: Mapping[str, Sequence[bool]],
) -> Figure:
    """Images beside what each captioner wrote, and a reference.

    Args:
        images: uint8, `(N, height, width, channels)`.
        captions: The captions of the images, by captioner.
        references: The references of each image, of which the first is shown.
        right: Whether each caption is right, by captioner: green, else red.

    Returns:
        The figure, two images in a row.
    """
    rows = -(-len(images) // _COLUMNS)
    lines = 1 + 2 * (len(captions) + 1)
    height = max(0.155 * lines + 0.1, 1.2)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, height * rows))
        grid = figure.add_gridspec(
            rows, 2 * _COLUMNS, width_ratios=[1, 1.55] * _COLUMNS
        )
        grid.update(left=0.01, right=0.99, top=0.99, bottom=0.01, wspace=0.06)
        for index, image in enumerate(images):
            row, column = divmod(index, _COLUMNS)
            picture = figure.add_subplot(grid[row, 2 * column])
            picture.imshow(_colours(image), interpolation="nearest")
            picture.axis("off")
            words = figure.add_subplot(grid[row, 2 * column + 1])
            words.axis("off")
            y = 1.0
            texts = [
                (name, written[index], _RIGHT if right[name][index] else _WRONG)
                for name, written in captions.items()
            ]
            texts.append(("a reference", references[index][0], _MUTED))
            for name, text, color in texts:
                words.text(0, y, name, size=6, color=_MUTED, va="top")
                y -= 0.8 / lines
                wrapped = textwrap.wrap(text or "(nothing)", _LINE)
                words.text(0, y, "\n".join(wrapped), size=7, color=color, va="top")
                y -= (0.25 + 1.0 * len(wrapped)) / lines
    return figure


def word_maps(
    image: np.ndarray,
    written: Mapping[str, tuple[str, np.ndarray]],
) -> Figure:
    """Where each word of a caption looked: a row per captioner, a column per word.

    Args:
        image: uint8, `(height, width, channels)`.
        written: The caption of each captioner, and the weight of each position of the
            grid for each of its words, `(words, rows, columns)`.

    Returns:
        The figure. Bright is much; each map has a scale of its own.
    """
    most = max(len(text.split()) for text, _ in written.values())
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 0.35 + (7.0 / (most + 2) + 0.25) * len(written)))
        panels = figure.subplots(len(written), most + 1, squeeze=False)
        figure.subplots_adjust(0.005, 0.02, 0.995, 0.9, 0.06, 0.25)
        for line, (name, (text, heats)) in zip(panels, written.items(), strict=True):
            for axes in line:
                axes.axis("off")
            _show(line[0], _colours(image))
            line[0].set_title(name, size=6, loc="left", color=_MUTED)
            pairs = zip(line[1:], text.split(), heats, strict=False)
            for axes, word, heat in pairs:
                cells = (image.shape[0] // len(heat), image.shape[1] // heat.shape[1])
                _show(axes, np.kron(heat, np.ones(cells)), cmap="magma", vmin=0)
                axes.set_title(word, size=6.5, loc="center", pad=2)
    return figure


def _show(axes: Any, pixels: np.ndarray, **how: Any) -> None:
    axes.imshow(pixels, interpolation="nearest", **how)


def _colours(image: np.ndarray) -> np.ndarray:
    """Red, green and blue; grey images have one channel."""
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]
