"""Pictures of captions: what was written, and where each word looked."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from keras_stt.experiments.reports.plots import MUTED, STYLE

_RIGHT, _WRONG = "#0B6E4F", "#A1260D"
# A gallery in inches: its width, the side of a picture, and gaps.
_WIDTH, _COLUMNS, _SIDE, _GAP, _MARGIN = 7.0, 2, 1.25, 0.05, 0.12


class _Line(NamedTuple):
    text: str
    color: str
    size: float
    height: float


def gallery(
    images: np.ndarray,
    captions: Mapping[str, Sequence[str]],
    references: Sequence[Sequence[str]],
    right: Mapping[str, Sequence[bool]],
) -> Figure:
    """Images beside what each captioner wrote, and a reference; two images in a row.

    Args:
        images: uint8, `(N, height, width, channels)`.
        captions: The captions of the images, by captioner; equal ones are shown once.
        references: The references of each image, of which the first is shown.
        right: Whether each caption is right, by captioner: green, else red.
    """
    blocks = []
    for index in range(len(images)):
        writers: dict[tuple[str, str], list[str]] = {}
        for name, texts in captions.items():
            color = _RIGHT if right[name][index] else _WRONG
            writers.setdefault((texts[index], color), []).append(name)
        writers[references[index][0], MUTED] = ["a reference"]
        blocks.append(
            [line for text, names in writers.items() for line in _lines(names, *text)]
        )
    needed = [max(_SIDE, sum(line.height for line in block)) for block in blocks]
    heights = [
        max(needed[start : start + _COLUMNS]) + _MARGIN
        for start in range(0, len(needed), _COLUMNS)
    ]
    total = sum(heights) + _MARGIN
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH, total))
        for index, block in enumerate(blocks):
            row, column = divmod(index, _COLUMNS)
            left, top = (
                _MARGIN + column * _WIDTH / _COLUMNS,
                _MARGIN + sum(heights[:row]),
            )
            side = (_SIDE / _WIDTH, _SIDE / total)
            axes = figure.add_axes((left / _WIDTH, 1 - (top + _SIDE) / total, *side))
            _show(axes, _rgb(images[index]))
            left += _SIDE + _MARGIN
            for text, color, size, height in block:
                place = (left / _WIDTH, 1 - top / total)
                figure.text(*place, text, va="top", color=color, size=size)
                top += height
    return figure


def _lines(names: list[str], text: str, color: str) -> list[_Line]:
    """A caption, after the names of its writers, on lines that fit beside a picture."""
    writers = textwrap.wrap(", ".join(names), 41, break_on_hyphens=False)
    words = textwrap.wrap(text or "(nothing)", 36)
    lines = [_Line(line, MUTED, 6, 0.11) for line in writers]
    lines += [_Line(line, color, 7, 0.13) for line in words]
    return [*lines[:-1], lines[-1]._replace(height=0.13 + _GAP)]


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
        The figure. Bright means much weight, on a scale of its own in each map.
    """
    most = max(len(text.split()) for text, _ in written.values())
    with matplotlib.rc_context(STYLE):
        height = 0.35 + (_WIDTH / (most + 2) + 0.25) * len(written)
        figure = Figure(figsize=(_WIDTH, height))
        panels = figure.subplots(len(written), most + 1, squeeze=False)
        figure.subplots_adjust(0.005, 0.02, 0.995, 0.9, 0.06, 0.25)
        for line, (name, (text, heats)) in zip(panels, written.items(), strict=True):
            for axes in line:
                axes.axis("off")
            _show(line[0], _rgb(image))
            line[0].set_title(name, size=6, loc="left", color=MUTED, pad=9)
            pairs = zip(line[1:], text.split(), heats, strict=False)
            for axes, word, heat in pairs:
                cells = (image.shape[0] // len(heat), image.shape[1] // heat.shape[1])
                _show(axes, np.kron(heat, np.ones(cells)), cmap="magma", vmin=0)
                axes.set_title(word, size=6.5, loc="center", pad=2)
    return figure


def _show(axes: Any, pixels: np.ndarray, **how: Any) -> None:
    axes.imshow(pixels, interpolation="nearest", **how)
    axes.axis("off")


def _rgb(image: np.ndarray) -> np.ndarray:
    """Red, green and blue; grey images have one channel."""
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]
