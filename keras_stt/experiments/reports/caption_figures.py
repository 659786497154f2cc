"""Pictures of captions: what was written, and where each word looked."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from keras_stt.experiments.reports.plots import STYLE

_RIGHT, _WRONG, _MUTED = "#0B6E4F", "#A1260D", "#69707A"
# A gallery in inches: its width, the side of a picture, the heights of a name and of a
# line of text, and the gaps; and what fits on a line, in letters.
_WIDTH, _COLUMNS, _SIDE = 7.0, 2, 1.25
_NAME, _TEXT, _GAP, _MARGIN = 0.11, 0.13, 0.05, 0.12
_NAME_LETTERS, _TEXT_LETTERS = 41, 36


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
        The figure, two images in a row. What several captioners wrote alike stands
        there once.
    """
    blocks = [
        [
            *_alike(
                {
                    name: (texts[index], _RIGHT if right[name][index] else _WRONG)
                    for name, texts in captions.items()
                }
            ),
            ("a reference", references[index][0], _MUTED),
        ]
        for index in range(len(images))
    ]
    laid = [[_wrapped(*entry) for entry in block] for block in blocks]
    rows = [
        range(i, min(i + _COLUMNS, len(laid))) for i in range(0, len(laid), _COLUMNS)
    ]
    heights = [
        max(_SIDE, *(sum(map(_height, laid[i])) for i in row)) + _MARGIN for row in rows
    ]
    total, top = sum(heights) + _MARGIN, _MARGIN
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH, total))
        for row, height in zip(rows, heights, strict=True):
            for column, index in enumerate(row):
                left = _MARGIN + column * _WIDTH / _COLUMNS
                side = (_SIDE / _WIDTH, _SIDE / total)
                picture = figure.add_axes(
                    (left / _WIDTH, 1 - (top + _SIDE) / total, *side)
                )
                _show(picture, _colours(images[index]))
                picture.axis("off")
                _write(figure, laid[index], left + _SIDE + _MARGIN, top)
            top += height
    return figure


_Entry = tuple[list[str], list[str], str]
"""Lines of a name, lines of a text, and the text's colour."""


def _alike(written: Mapping[str, tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Names, text and colour of all texts that differ."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, entry in written.items():
        names.setdefault(entry, []).append(name)
    return [(", ".join(who), *entry) for entry, who in names.items()]


def _wrapped(name: str, text: str, colour: str) -> _Entry:
    names = textwrap.wrap(name, _NAME_LETTERS, break_on_hyphens=False)
    return names, textwrap.wrap(text or "(nothing)", _TEXT_LETTERS), colour


def _height(entry: _Entry) -> float:
    names, texts, _ = entry
    return len(names) * _NAME + len(texts) * _TEXT + _GAP


def _write(figure: Figure, entries: Sequence[_Entry], left: float, top: float) -> None:
    """Writes texts below one another, from a place in inches on."""
    width, total = figure.get_size_inches()

    def put(lines: list[str], height: float, **how: Any) -> None:
        nonlocal top
        for line in lines:
            figure.text(left / width, 1 - top / total, line, va="top", **how)
            top += height

    for names, texts, colour in entries:
        put(names, _NAME, size=6, color=_MUTED)
        put(texts, _TEXT, size=7, color=colour)
        top += _GAP


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
            line[0].set_title(name, size=6, loc="left", color=_MUTED, pad=9)
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
