"""Figures of a comparison: learning, accuracy, robustness, cost and the trade-off."""

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from keras_stt.experiments.files import write_bytes
from keras_stt.experiments.reports.looks import COLORS as COLORS
from keras_stt.experiments.reports.looks import Look, looks
from keras_stt.experiments.reports.results import (
    Results,
    check,
    entry,
    measures,
    quality_of,
    ranked,
    summary_of,
    task_of,
    values,
    variants,
)
from keras_stt.experiments.reports.tasks import Measure

Options = dict[str, Any]

INK, MUTED = "#22262B", "#69707A"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#B9BEC5",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E7E9EC",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.7,
    "lines.markeredgewidth": 0.6,
}
# Seven inches at 700 pixels show 8.5 points as 12 pixels; PNGs have twice as many.
_INCHES, _LINED_HEIGHT, _DPI = 7.0, 3.7, 200
# Stars look smaller than other markers of their size, diamonds larger.
_MARKER_SCALES = {"*": 1.6, "D": 0.85}


def write_figures(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Write every figure for which there is data as a PNG, also of partial results.

    Returns:
        The files: `accuracy.png`, `learning.png`, `robustness.png`, `cost.png` and
        `trade_off.png`, in this order, without those that lack data.
    """
    check(results)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for draw in (accuracy, learning, robustness, cost, trade_off):
        with matplotlib.rc_context(STYLE):
            figure = draw(results)
            if figure is not None:
                paths.append(folder / f"{draw.__name__}.png")
                write_figure(figure, paths[-1])
    return paths


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG, whole or not at all."""
    raw, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", dpi=_DPI)
    # A palette makes the file a third as large, and nobody sees the difference.
    image = Image.open(raw).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(packed, format="png", optimize=True)
    write_bytes(path, packed.getvalue())


def accuracy(results: Results) -> Figure | None:
    """Bars of the test accuracy from zero, and every seed enlarged beside them."""
    order = ranked(results)
    if not order:
        return None
    measure = quality_of(results)
    baseline = task_of(results).baseline
    figure, (left, right) = side_by_side(order, [1, 1.25], 0.31, above=0.6)
    for row, variant in enumerate(order):
        runs, color = runs_of(results, variant, measure), looks(results)[variant].color
        left.barh(row, runs.mean(), 0.56, color=color)
        text = measure.text(summary_of(results, variant, measure))
        # The line of guessing must not cross it.
        plate: Options = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        at: Options = {"xytext": (4, 0), "textcoords": "offset points"}
        at |= {"va": "center_baseline", "bbox": plate}
        left.annotate(text, (runs.mean(), row), **at)
        tick: Options = {"fmt": "|", "ms": 14, "mew": 2, "elinewidth": 8}
        tick |= {"color": color, "ecolor": (color, 0.25), "zorder": 1.8}
        right.errorbar(runs.mean(), row, xerr=_spread(runs), **tick)
        right.plot(runs, [row] * len(runs), "o", color=color, mec="white")
    top = 100 if measure.unit == "%" else left.dataLim.xmax
    ticks = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(0, top)
    left.set_xticks([tick for tick in ticks if 0 <= tick <= top])
    left.set_xlim(0, left.dataLim.xmax * 1.6 or 1)
    classes = len(results.get("dataset", {}).get("class_names", []))
    if classes > 1:
        _mark(left, measure.scale / classes, "guessing")
    if baseline in order:
        _mark(right, runs_of(results, baseline, measure).mean(), baseline)
    right.grid(axis="x")
    right.margins(x=0.06)
    right.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    for axes, title in ((left, "From zero"), (right, "Every seed, enlarged")):
        axes.set_title(title, pad=20)
        axes.set_xlabel(_capital(measure.label))
    return figure


def learning(results: Results) -> Figure | None:
    """Loss and accuracy per epoch: mean lines, bands from lowest to highest seed."""
    losses, accuracies = _curves(results, "loss"), _curves(results, "accuracy")
    if not losses or not accuracies:
        return None
    figure, (left, right) = two_panels()
    for variant, look in looks(results).items():
        if variant in losses:
            line(left, losses[variant].T, look)
        if variant in accuracies:
            line(right, 100 * accuracies[variant].T, look)
    left.set(title="Training loss", ylabel="Cross-entropy (nats)")
    right.set(title="Accuracy, training images", ylabel="Training accuracy (%)")
    for axes in (left, right):
        axes.set_xlabel("Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    order = [name for name in best_first(results) if name in accuracies]
    legend(right, order, looks(results))
    return figure


def robustness(results: Results) -> Figure | None:
    """Accuracy against the strength of noise, and of a signed gradient step."""
    clean = quality_of(results)
    if not measures(results, "noise", "fgsm"):
        return None
    figure, panels = two_panels(sharey=True)
    drawn: set[str] = set()
    for axes, group in zip(panels, ("noise", "fgsm"), strict=True):
        drawn |= strength_lines(axes, results, group, {0: clean})
    if not drawn:
        return None
    left, right = panels
    left.set(title="Gaussian noise", xlabel="Noise σ (of the pixel range [0, 1])")
    left.set(ylabel="Accuracy on test images (%)", ylim=(0, None))
    right.set(title="FGSM, one signed gradient step")
    right.set_xlabel("Step ε (255ths of the pixel range)")
    order = [name for name in best_first(results) if name in drawn]
    legend(right, order, looks(results))
    return figure


def strength_lines(
    axes: Axes, results: Results, group: str, undisturbed: dict[float, Measure]
) -> set[str]:
    """A line per variant through the strengths of a group; returns who has one."""
    along = {measure.strength: measure for measure in measures(results, group)}
    along = dict(sorted((undisturbed | along).items()))
    drawn = set()
    for variant, look in looks(results).items():
        points = {
            strength: runs
            for strength, measure in along.items()
            if (runs := runs_of(results, variant, measure)).size
        }
        if len(points) > 1:
            line(axes, points.values(), look, [*points])
            drawn.add(variant)
    axes.set_xticks([*along], [f"{strength:g}" for strength in along])
    return drawn


def best_first(results: Results) -> list[str]:
    """All variants, the best first, those without a result last."""
    return list(dict.fromkeys([*ranked(results), *variants(results)]))


def cost(results: Results) -> Figure | None:
    """Bars of training-step time, inference time and peak memory."""
    names = best_first(results)
    costs = {measure: values(results, measure) for measure in measures(results, "cost")}
    shown = [measure for measure in costs if costs[measure]]
    order = [name for name in names if any(name in costs[key] for key in shown)]
    if not order:
        return None
    figure, panels = side_by_side(order, [1] * len(shown), 0.27)
    for axes, measure in zip(panels, shown, strict=True):
        for row, variant in enumerate(order):
            value = costs[measure].get(variant, 0.0)
            text = measure.text(summary_of(results, variant, measure))
            axes.barh(row, value, 0.56, color=looks(results)[variant].color)
            axes.text(value, row, f" {text}", va="center_baseline", size=8)
        thing = "caption" if measure.name == "caption_ms" else "batch"
        per = f"ms per {thing}" if measure.unit == "ms" else measure.unit
        axes.set(title=_capital(measure.title), xlabel=per)
        axes.set_xlim(0, axes.dataLim.xmax * 1.45 or 1)
        axes.xaxis.set_major_locator(MaxNLocator(3))
    return figure


def trade_off(results: Results) -> Figure | None:
    """Quality against the multiply-adds of the model, or its training step."""
    up, known = quality_of(results), task_of(results).measures
    along = known.get("multiply_adds") or known["training_step_ms"]
    tall, wide = values(results, up), values(results, along)
    points = {name: (wide[name], tall[name]) for name in tall if name in wide}
    if not points:
        return None
    figure = Figure(figsize=(_INCHES, 4.1))
    axes = figure.add_subplot()
    figure.subplots_adjust(0.085, 0.13, 0.7, 0.91)
    for variant, point in points.items():
        look = looks(results)[variant]
        bar: Options = {"elinewidth": 4, "ecolor": (look.color, 0.3)}
        bar |= {"linestyle": "none", "color": look.color, **dot(look, 8)}
        axes.errorbar(*point, _spread(runs_of(results, variant, up)), **bar)
    axes.set_title("Quality for the work done: the upper left is better")
    axes.set(xlabel=_capital(along.label), ylabel=_capital(up.label))
    costs = [cost for cost, _ in points.values()]
    least, most = min(costs), max(costs)
    # Costs that differ by little must not look far apart.
    reach = max(0.62 * (most - least), 0.1 * most)
    axes.set_xlim((least + most) / 2 - reach, (least + most) / 2 + reach)
    axes.margins(y=0.12)
    legend(axes, [name for name in ranked(results) if name in points], looks(results))
    return figure


def _short(name: str) -> str:
    return name if len(name) <= 25 else f"{name[:23]}…"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def side_by_side(
    order: list[str], widths: list[float], row: float, above: float = 0.4
) -> Any:
    """Horizontal panels side by side with one row per variant, the first at the top."""
    height = above + 0.5 + row * len(order)
    figure = Figure(figsize=(_INCHES, height))
    panels = figure.subplots(1, len(widths), sharey=True, width_ratios=widths)
    panels = np.atleast_1d(panels)
    figure.subplots_adjust(0.25, 0.5 / height, 0.98, 1 - above / height, wspace=0.09)
    for axes in panels:
        axes.set_ylim(len(order) - 0.45, -0.6)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
    panels[0].set_yticks(range(len(order)), map(_short, order), color=INK)
    return figure, panels


def _mark(axes: Axes, x: float, name: str) -> None:
    """A dashed reference line from top to bottom, named above the panel."""
    axes.axvline(x, color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1.5)
    at: Options = {"transform": axes.get_xaxis_transform(), "ha": "center", "size": 8}
    axes.text(x, 1.015, name, color=MUTED, **at)


def two_panels(sharey: bool = False) -> Any:
    """Two panels of lines with room for a legend on the right."""
    figure = Figure(figsize=(_INCHES, _LINED_HEIGHT))
    panels = figure.subplots(1, 2, sharey=sharey)
    figure.subplots_adjust(0.08, 0.135, 0.7, 0.905, 0.1 if sharey else 0.3)
    return figure, panels


def runs_of(results: Results, variant: str, measure: Measure) -> np.ndarray:
    """The runs of a measure in the shown unit; empty where it is missing."""
    runs = (summary_of(results, variant, measure) or {}).get("runs", [])
    return measure.scale * np.array(runs, dtype=float)


def _spread(runs: np.ndarray) -> float:
    """Standard deviation between the runs; 0 for a single one."""
    return float(runs.std(ddof=1)) if len(runs) > 1 else 0.0


def dot(look: Look, size: float) -> Options:
    """The marker of a variant, of the same apparent size for all."""
    size *= _MARKER_SCALES.get(look.marker, 1.0)
    return {"marker": look.marker, "markersize": size, "markeredgecolor": "white"}


def _curves(results: Results, key: str) -> dict[str, np.ndarray]:
    """Curves `(seeds, epochs)` by variant; unfinished seeds are left out."""
    curves_of = {}
    for variant in variants(results):
        histories = entry(results, variant).get("history") or []
        curves = [seed.get(key) or [] for seed in histories]
        if longest := max(map(len, curves), default=0):
            whole = [curve for curve in curves if len(curve) == longest]
            curves_of[variant] = np.array(whole, dtype=float)
    return curves_of


def line(axes: Axes, runs: Any, look: Look, x: Any = None) -> None:
    """Draw a line of means in a band from low to high."""
    x = np.arange(1, len(runs) + 1) if x is None else x
    low, mean, high = (
        np.array([reduce(seeds) for seeds in runs])
        for reduce in (np.min, np.mean, np.max)
    )
    axes.fill_between(x, low, high, color=look.color, alpha=0.13, linewidth=0)
    axes.plot(x, mean, color=look.color, linestyle=look.line, **dot(look, 5))


def legend(
    axes: Axes,
    order: Iterable[str],
    look_of: Mapping[str, Look],
    notes: Mapping[str, str] | None = None,
    title: str | None = None,
) -> None:
    """Put a legend to the right of a panel, with notes after some of the names."""
    handles = []
    for name in order:
        look, label = look_of[name], _short(name) + (notes or {}).get(name, "")
        line: Options = {"color": look.color, "linestyle": look.line, "label": label}
        handles.append(Line2D([], [], **line, **dot(look, 5)))
    where: Options = {"loc": "center left", "bbox_to_anchor": (1.03, 0.5)}
    font: Options = {"frameon": False, "fontsize": 8, "handlelength": 2.6}
    axes.legend(handles=handles, title=title, borderaxespad=0, **where, **font)
