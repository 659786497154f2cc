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

from keras_stt.experiments.bench.layers import FLOOR
from keras_stt.experiments.bench.table import grids, points, slopes
from keras_stt.experiments.reports.looks import COLORS
from keras_stt.experiments.reports.plots import (
    STYLE,
    legend,
    side_by_side,
    write_figure,
)

Results = dict[str, Any]

_TITLES = {
    "forward_ms": "Forward (ms per example)",
    "training_ms": "Training step (ms per example)",
    "peak_bytes": "Peak memory of a training step (MiB per example)",
}


def write_figures(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the figures as PNGs.

    Args:
        results: As in `results.json`.
        folder: Where to write.

    Returns:
        `time.png` and `memory.png`; of a single grid `time.png` alone.
    """
    folder = Path(folder)
    several = len(grids(results)) > 1
    drawn = {
        "time": growth(results, ["forward_ms", "training_ms"])
        if several
        else bars(results),
        "memory": growth(results, ["peak_bytes"]) if several else None,
    }
    paths = []
    for name, figure in drawn.items():
        if figure is not None:
            paths.append(folder / f"{name}.png")
            write_figure(figure, paths[-1])
    return paths


def growth(results: Results, quantities: list[str]) -> Figure | None:
    """Cost per example against the number of positions, both logarithmic."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0 if len(quantities) > 1 else 5.0, 4.8))
        panels = figure.subplots(1, len(quantities), squeeze=False)[0]
        right = 0.7 if len(quantities) > 1 else 0.6
        left = 0.09 if len(quantities) > 1 else 0.14
        figure.subplots_adjust(left, 0.16, right, 0.92, wspace=0.38)
        ends: dict[str, tuple[float, float]] = {}
        for axes, quantity in zip(panels, quantities, strict=True):
            ends = _lines(axes, results, quantity)
            axes.set_title(_TITLES[quantity].split(" (")[0])
            axes.set_ylabel(_TITLES[quantity].split(" (")[1].rstrip(")"))
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
        return figure


def bars(results: Results) -> Figure | None:
    """Times on one grid, the fastest training step first."""
    rows = [row for row in results["rows"] if row["training_ms"]]
    rows.sort(key=lambda row: row["training_ms"])
    if not rows:
        return None
    with matplotlib.rc_context(STYLE):
        names = [row["mixer"] for row in rows]
        figure, panels = side_by_side(names, [1, 1], 0.24)
        for axes, kind in zip(panels, ("forward", "training"), strict=True):
            for y, row in enumerate(rows):
                time = row[f"{kind}_ms"] or 0.0
                text = f" {time:.3g}" if time else " –"
                axes.barh(y, time, 0.6, color=COLORS[row["mixer"]].color)
                axes.text(time, y, text, va="center_baseline", size=8)
            axes.set_xlim(0, axes.dataLim.xmax * 1.25)
            title = "Forward" if kind == "forward" else "Training step"
            axes.set(title=title, xlabel="ms per batch, median")
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
        width = 1.7 if name.startswith("stt") or name == FLOOR else 1.0
        axes.plot(x, y, color=color, ls=line, marker=marker, ms=4, lw=width, mec="none")
        ends[name] = (x[-1], y[-1])
    axes.set_xscale("log")
    axes.set_yscale("log")
    return ends


def _ticks(axes: Axes, results: Results) -> None:
    sizes = sorted(grids(results), key=math.prod)
    names = [f"{h}×{w}" for h, w in sizes]
    axes.set_xticks([math.prod(size) for size in sizes], names, rotation=40, size=7)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Grid")


def _failed(results: Results, name: str) -> bool:
    return any(row["error"] for row in results["rows"] if row["mixer"] == name)
