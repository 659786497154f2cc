"""The report of a comparison: one HTML page that needs no other file."""

import base64
import os
import re
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup, escape

from keras_stt.experiments.files import write_bytes
from keras_stt.experiments.reports import robustness
from keras_stt.experiments.reports.looks import looks
from keras_stt.experiments.reports.plots import STYLE, write_figure, write_figures
from keras_stt.experiments.reports.results import (
    Results,
    entry,
    measures,
    plural,
    summary_of,
    task_of,
    values,
    variants,
)
from keras_stt.experiments.reports.table import unfinished, verdict
from keras_stt.experiments.reports.tasks import MISSING

Data = dict[str, Any]

# Figures that a comparison of captioners writes itself.
_CAPTION_FIGURES = ("gallery", "gallery_unseen", "attention")


# The page has no room for them beside what matters more.
_LEFT_OUT = {
    f"{prefix}bleu_{length}" for prefix in ("", "unseen_") for length in (1, 2, 3)
}


def write_report(results: Results, folder: str | os.PathLike[str]) -> Path:
    """Write the figures and `report.html`, which holds copies of them.

    The page is self-contained (no script, no network, pictures embedded), follows
    the reader's light or dark scheme and works on a phone; partial results will do.

    Returns:
        The path of `report.html`.
    """
    folder = Path(folder)
    paths = write_figures(results, folder)
    families = [
        family for family in robustness.FAMILIES if robustness.has(results, family)
    ]
    for family in families:
        paths.append(folder / f"{family.name}.png")
        with matplotlib.rc_context(STYLE):
            write_figure(robustness.figure(results, family), paths[-1])
    if results.get("task") == "caption":
        paths += [folder / f"{name}.png" for name in _CAPTION_FIGURES]
    page = _template().render(
        task=results.get("task", "classify"),
        noun=task_of(results).noun,
        dataset=results.get("dataset", {}),
        facts=_facts(results),
        verdict=verdict(results),
        unfinished=unfinished(results),
        quality=_table(results, "accuracy", "noise", "fgsm", "caption"),
        unseen=_table(results, "unseen"),
        has_none="none" in variants(results),
        families=[
            {"family": family, "table": robustness.table(results, family)}
            for family in families
        ],
        costs=_table(results, "size", "cost", "training", "layer"),
        search=_search(results),
        learning_rates=_learning_rates(results),
        settings=_settings(results),
        machine=_machine(results),
        command=results.get("command", MISSING),
        backend=results.get("backend"),
        pictures={
            path.stem: base64.b64encode(path.read_bytes()).decode()
            for path in paths
            if path.exists()
        },
    )
    write_bytes(folder / "report.html", page.encode())
    return folder / "report.html"


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"prose": _prose, "shown": _shown}
    return environment.get_template("page.html")


def _facts(results: Results) -> list[str]:
    settings = results.get("settings", {})
    facts = [
        plural(len(variants(results)), task_of(results).noun),
        plural(len(settings.get("seeds", [])), "seed"),
    ]
    if "epochs" in settings:
        facts.append(plural(settings["epochs"], "epoch"))
    return [*facts, str(results["backend"])] if "backend" in results else facts


def _table(results: Results, *groups: str) -> Data | None:
    """Headings and a row per variant; the best of every quality is bold."""
    columns = [
        column
        for column in measures(results, *groups)
        if values(results, column) and column.name not in _LEFT_OUT
    ]
    rows = []
    for name in variants(results):
        cells = []
        for column in columns:
            text = column.text(summary_of(results, name, column))
            number, _, spread = text.partition(" ± ")
            known = values(results, column)
            best = column.is_quality and known.get(name) == max(known.values())
            cells.append({"number": number, "spread": spread, "bold": best})
        rows.append(_row(results, name, cells))
    headings = [column.heading.split("\n") for column in columns]
    return {"headings": headings, "rows": rows} if columns else None


def _row(results: Results, name: str, cells: list[Data]) -> Data:
    return {"name": name, "color": looks(results)[name].color, "cells": cells}


def _search(results: Results) -> Data | None:
    """The validation accuracy at each learning rate; the chosen rate is bold."""
    search = results.get("search")
    if not search:
        return None
    tried = {
        name: {
            run["learning_rate"]: run["validation_accuracy"]
            for run in tries.get("runs", [])
        }
        for name, tries in search.items()
    }
    rates = sorted({rate for runs in tried.values() for rate in runs})
    rows = []
    for name in (name for name in variants(results) if name in tried):
        cells = []
        for rate in rates:
            accuracy = tried[name].get(rate)
            # A run that diverged has none.
            number = MISSING if accuracy is None else f"{100 * accuracy:.1f}"
            chosen = rate == search[name].get("best")
            cells.append({"number": number, "spread": "", "bold": chosen})
        rows.append(_row(results, name, cells))
    return {"headings": [[f"{rate:g}"] for rate in rates], "rows": rows}


def _learning_rates(results: Results) -> list[float]:
    """The rates that variants were trained with."""
    rates = [entry(results, name).get("learning_rate") for name in variants(results)]
    return sorted({rate for rate in rates if rate})


def _settings(results: Results) -> Data:
    settings = dict(results.get("settings", {}))
    settings.pop(task_of(results).variants_key, None)
    if "grid" in settings:
        grid = settings["grid"]
        settings["grid"] = " × ".join(map(str, grid)) if grid else "that of the stem"
    return {key.replace("_", " "): value for key, value in settings.items()}


def _machine(results: Results) -> Data:
    device = results.get("device", {})
    name = str(device.get("name", MISSING))
    if "count" in device:
        noun = "core" if device.get("kind") == "cpu" else "device"
        name += f", {plural(device['count'], noun)}"
    machine = {"device": name, "system": device.get("system")}
    return machine | {"backend": results.get("backend")} | results.get("versions", {})


def _shown(value: Any) -> str:
    """A setting as text."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value)) or MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return MISSING if value is None else str(value)


def _prose(text: str) -> Markup:
    """A sentence in which `names` are code and numbers stay with their units."""
    text = re.sub(r"(?<=[\d±]) (?=[\d%±]|points|ms)", "\N{NO-BREAK SPACE}", text)
    html = re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text)))
    return Markup(html)  # noqa: S704 (escaped above)
