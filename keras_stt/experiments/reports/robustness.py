"""What `--robustness full` adds to a report: a table and a picture per family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_stt.experiments.reports import plots
from keras_stt.experiments.reports.looks import looks
from keras_stt.experiments.reports.results import (
    Results,
    measures,
    ranked,
    summary_of,
    task_of,
)
from keras_stt.experiments.reports.tasks import MISSING, Measure

#: The four kinds of corruptions of ImageNet-C, in the order of its names.
KINDS = {"noise": 3, "blur": 4, "weather": 4, "digital": 4}


@dataclass(frozen=True)
class Family:
    """Measures that belong together.

    Args:
        name: Name of the picture's file, without `.png`.
        title: Heading of its section.
        subset: The measure of the same images undisturbed.
        groups: Groups of its measures.
        note: What the table's numbers are.
        caption: What the picture shows.
    """

    name: str
    title: str
    subset: str
    groups: tuple[str, ...]
    note: str
    caption: str


_LOSS = (
    "The relative loss is the share of the undisturbed accuracy that is lost, in the "
    "mean over the columns before it: lower is better."
)
FAMILIES = (
    Family(
        "corruptions",
        "Corruptions",
        "accuracy_subset",
        ("corruption",),
        "Accuracy in % under the fifteen corruptions of ImageNet-C, in the mean over "
        "its five severities and over the corruptions of a kind. The severities were "
        "made for larger images, so numbers do not compare with CIFAR-10-C. " + _LOSS,
        "Accuracy under each corruption, in the mean over five severities.",
    ),
    Family(
        "attacks",
        "Attacks",
        "accuracy_attacked_subset",
        ("pgd", "square", "universal"),
        "Accuracy in % under projected gradient descent (PGD, 20 steps, 2 restarts), "
        "the gradient-free Square attack (300 queries), and one perturbation for all "
        "images. ε is in 255ths of the pixel range. A mixer that Square breaks more "
        "often than PGD at the same ε hides its gradients. " + _LOSS,
        "Accuracy under attack. The left end of each line is the undisturbed accuracy.",
    ),
    Family(
        "stability",
        "Shifted and partly hidden",
        "accuracy_subset",
        ("shift", "occlusion"),
        "Consistency under shifts: share of images in % whose class is the same after "
        "two random shifts of at most so many pixels. Hidden: accuracy in % where a "
        "share of the grid's cells is grey.",
        "Left: how often the answer survives a shift, be it right or wrong. Right: "
        "accuracy where a part of the image is hidden.",
    ),
    Family(
        "sizes",
        "Other sizes, and calibration",
        "accuracy_subset",
        ("resolution", "calibration"),
        "Accuracy in % on images that are larger or smaller by a factor, without "
        "further training: weights that are tied to the size are interpolated, where a "
        "mixer allows it. "
        "Calibration error in %, on all test images: the mean distance of confidence "
        "and accuracy in 15 bins; lower is better.",
        "Left: accuracy at other sizes; the size of training is 1. Right: calibration "
        "error; shorter is better.",
    ),
)


def has(results: Results, family: Family) -> bool:
    """Whether a family was measured."""
    return any(
        summary_of(results, name, measure)
        for measure in measures(results, *family.groups)
        for name in ranked(results)
    )


def table(results: Results, family: Family) -> dict[str, Any]:
    """Headings and a row per variant; the best of every column is bold."""
    columns = _columns(results, family)
    headings = [heading.split("\n") for heading in columns]
    cells: dict[str, list[np.ndarray]] = {
        variant: [_mean(results, variant, parts) for parts in columns.values()]
        for variant in ranked(results)
    }
    lower = {"calibration\nerror"}
    if family.name in ("corruptions", "attacks"):
        headings.append(["relative", "loss"])
        lower.add("relative\nloss")
        for values in cells.values():
            clean, *others = values
            # By seed: the same model disturbed and not.
            loss = 100 * (1 - np.mean(others, axis=0) / clean) if clean.size else clean
            values.append(loss)
    names = ["\n".join(heading) for heading in headings]
    best = {
        name: (np.min if name in lower else np.max)(
            [values[at].mean() for values in cells.values() if values[at].size] or [0]
        )
        for at, name in enumerate(names)
    }
    rows = [
        {
            "name": variant,
            "color": looks(results)[variant].color,
            "cells": [
                _cell(value, value.size > 0 and value.mean() == best[name])
                for name, value in zip(names, values, strict=True)
            ],
        }
        for variant, values in cells.items()
    ]
    return {"headings": headings, "rows": rows}


def figure(results: Results, family: Family) -> Figure:
    """The picture of a family."""
    if family.name == "corruptions":
        return _corruptions(results)
    subset = task_of(results).measures[family.subset]
    canvas, panels = plots.two_panels()
    drawn: set[str] = set()
    if family.name == "attacks":
        drawn |= plots.strength_lines(panels[0], results, "pgd", {0: subset})
        drawn |= plots.strength_lines(panels[1], results, "universal", {0: subset})
        panels[0].set(title="PGD", xlabel="ε (255ths of the pixel range)")
        panels[1].set(title="One perturbation for all images")
        panels[1].set_xlabel("ε (255ths of the pixel range)")
    elif family.name == "stability":
        drawn |= plots.strength_lines(panels[0], results, "shift", {})
        drawn |= plots.strength_lines(panels[1], results, "occlusion", {0: subset})
        panels[0].set(title="Same answer after shifts", xlabel="Largest shift (pixels)")
        panels[1].set(title="Partly hidden", xlabel="Share of the cells that is grey")
    else:
        drawn |= plots.strength_lines(panels[0], results, "resolution", {1: subset})
        panels[0].set(title="Other sizes", xlabel="Size, as a multiple of training's")
        (error,) = measures(results, "calibration")
        order = [name for name in ranked(results) if summary_of(results, name, error)]
        for row, name in enumerate(order):
            value = plots.runs_of(results, name, error).mean()
            panels[1].barh(row, value, 0.6, color=looks(results)[name].color)
            drawn.add(name)
        panels[1].invert_yaxis()
        panels[1].set_yticks([])
        panels[1].grid(axis="y", visible=False)
        panels[1].set(title="Calibration error", xlabel="%")
    panels[0].set_ylabel(
        "Same answer (%)" if "shift" in family.groups else "Accuracy (%)"
    )
    order = [name for name in plots.best_first(results) if name in drawn]
    plots.legend(panels[1], order, looks(results))
    return canvas


def _corruptions(results: Results) -> Figure:
    """A row per corruption, a dot per mixer."""
    shown = measures(results, "corruption")
    canvas = Figure(figsize=(7.0, 1.0 + 0.27 * len(shown)))
    axes = canvas.add_subplot()
    canvas.subplots_adjust(0.2, 0.12, 0.7, 0.93)
    order = []
    for name in ranked(results):
        points = [plots.runs_of(results, name, measure) for measure in shown]
        if all(runs.size for runs in points):
            order.append(name)
            look = looks(results)[name]
            means = [runs.mean() for runs in points]
            marker = {**plots.dot(look, 6), "color": look.color}
            axes.plot(means, range(len(shown)), linestyle="none", **marker)
    axes.set_yticks(range(len(shown)), [measure.title for measure in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set(title="Corruptions", xlabel="Accuracy, mean over five severities (%)")
    plots.legend(axes, order, looks(results))
    return canvas


def _columns(results: Results, family: Family) -> dict[str, list[Measure]]:
    """The measures of each column, by its heading."""
    clean = task_of(results).measures[family.subset]
    columns: dict[str, list[Measure]] = {"un-\ndisturbed": [clean]}
    shown = measures(results, *family.groups)
    if family.name == "corruptions":
        start = 0
        for kind, count in KINDS.items():
            columns[kind] = shown[start : start + count]
            start += count
        return columns
    return columns | {measure.heading: [measure] for measure in shown}


def _mean(results: Results, variant: str, parts: list[Measure]) -> np.ndarray:
    """The mean over measures, a number per seed; empty where one is missing."""
    runs = [plots.runs_of(results, variant, measure) for measure in parts]
    return np.mean(runs, axis=0) if all(run.size for run in runs) else np.array([])


def _cell(runs: np.ndarray, bold: bool) -> dict[str, Any]:
    if not runs.size:
        return {"number": MISSING, "spread": "", "bold": False}
    spread = f"{runs.std(ddof=1):.1f}" if runs.size > 1 else ""
    return {"number": f"{runs.mean():.1f}", "spread": spread, "bold": bold}
