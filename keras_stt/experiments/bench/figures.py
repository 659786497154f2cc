"""Figures of a benchmark: cost against the grid, or bars for one grid."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from keras_stt.experiments.bench.floor import FLOORS
from keras_stt.experiments.bench.table import by_grid, points, slopes
from keras_stt.experiments.reports.looks import COLORS
from keras_stt.experiments.reports.plots import (
    STYLE,
    legend,
    side_by_side,
    write_figure,
)

Results = dict[str, Any]

_TITLES = {
    "forward_ms": ("Forward", "ms per example"),
    "training_ms": ("Training step", "ms per example"),
    "peak_bytes": ("Peak memory of a training step", "MiB per example"),
}


def write_figures(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Write `time.png` and `memory.png`, of a single grid `time.png` alone.

    Returns:
        The files.
    """
    figures: dict[str, Figure | None]
    if len(by_grid(results)) > 1:
        figures = {
            "time": growth(results, ["forward_ms", "training_ms"]),
            "memory": growth(results, ["peak_bytes"]),
        }
    else:
        figures = {"time": bars(results)}
    paths = []
    for name, figure in figures.items():
        if figure is not None:
            paths.append(Path(folder) / f"{name}.png")
            write_figure(figure, paths[-1])
    return paths


def growth(results: Results, quantities: list[str]) -> Figure | None:
    """Cost per example against the number of positions, both logarithmic."""
    with matplotlib.rc_context(STYLE):
        width, left, right = (7.0, 0.09, 0.7) if quantities[1:] else (5.0, 0.14, 0.6)
        figure = Figure(figsize=(width, 4.8))
        panels = figure.subplots(1, len(quantities), squeeze=False)[0]
        figure.subplots_adjust(left, 0.16, right, 0.92, wspace=0.38)
        ends: dict[str, tuple[float, float]] = {}
        for axes, quantity in zip(panels, quantities, strict=True):
            ends = _lines(axes, results, quantity)
            title, unit = _TITLES[quantity]
            axes.set(title=title, ylabel=unit)
            _ticks(axes, results)
        if not ends:
            return None
        fitted = slopes(results, quantities[-1])
        notes = {name: f"  {slope:.2f}" for name, slope in fitted.items()}
        last = max(x for x, _ in ends.values())
        for name, (x, _) in ends.items():
            if x < last and name in notes:
                notes[name] += ", then failed" if _failed(results, name) else ""
        costliest_first = sorted(ends, key=lambda name: -ends[name][1])
        legend(panels[-1], costliest_first, COLORS, notes, title="mixer  slope")
        longest = max(len(name + notes.get(name, "")) for name in ends)
        # In inches: a handle, and the letters.
        room = (0.56 + 0.058 * longest) / width
        figure.subplots_adjust(right=min(right, 0.99 - room))
        return figure


def bars(results: Results) -> Figure | None:
    """Times on one grid, the fastest training step first."""
    rows = [row for row in results["rows"] if row["training_ms"]]
    rows.sort(key=lambda row: row["training_ms"] / row["batch"])
    if not rows:
        return None
    with matplotlib.rc_context(STYLE):
        names = [row["mixer"] for row in rows]
        figure, panels = side_by_side(names, [1, 1], 0.24)
        for axes, quantity in zip(panels, ("forward_ms", "training_ms"), strict=True):
            for y, row in enumerate(rows):
                time = (row[quantity] or 0.0) / row["batch"]
                text = f" {time:.3g}" if time else " –"
                axes.barh(y, time, 0.6, color=COLORS[row["mixer"]].color)
                axes.text(time, y, text, va="center_baseline", size=8)
            axes.set_xlim(0, axes.dataLim.xmax * 1.25)
            axes.set(title=_TITLES[quantity][0], xlabel="ms per example, median")
        return figure


def _lines(
    axes: Axes, results: Results, quantity: str
) -> dict[str, tuple[float, float]]:
    """Draws a line per mixer; returns where each ends."""
    ends = {}
    scale = 2**-20 if quantity == "peak_bytes" else 1.0
    for name in dict.fromkeys(row["mixer"] for row in results["rows"]):
        x, y = points(results, name, quantity)
        if not x:
            continue
        color, marker, line = COLORS[name]
        y = [value * scale for value in y]
        width = 1.7 if name.startswith("stt") or name in FLOORS else 1.0
        axes.plot(x, y, color=color, ls=line, marker=marker, ms=4, lw=width, mec="none")
        ends[name] = (x[-1], y[-1])
    axes.set_xscale("log")
    axes.set_yscale("log")
    return ends


def _ticks(axes: Axes, results: Results) -> None:
    sizes = sorted(by_grid(results), key=math.prod)
    names = [f"{h}×{w}" for h, w in sizes]
    axes.set_xticks([math.prod(size) for size in sizes], names, rotation=40, size=7)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Grid")


def _failed(results: Results, name: str) -> bool:
    return any(row["error"] for row in results["rows"] if row["mixer"] == name)
