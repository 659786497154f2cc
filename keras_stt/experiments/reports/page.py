"""The report of a comparison: one HTML page that needs no other file."""

import base64
import os
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from keras_stt.experiments.reports.files import write_bytes
from keras_stt.experiments.reports.plots import looks, write_figures
from keras_stt.experiments.reports.results import (
    MISSING,
    Measure,
    Results,
    entry,
    found,
    measures,
    task_of,
    values,
    variants,
)
from keras_stt.experiments.reports.table import LIMITS, unfinished, verdict

#: The page with places for its parts, as `string.Template` has them.
_PAGE = Path(__file__).with_name("page.html")


def write_report(results: Results, folder: str | os.PathLike[str]) -> Path:
    """Write the figures and `report.html`, which holds copies of them.

    The page is self-contained (no script, no network, pictures embedded), follows
    the reader's light or dark scheme and works on a phone.

    Args:
        results: Results of schema 1 (see `keras_stt.experiments.reports.results`), also
            partial ones.
        folder: Where to write; made if it is missing.

    Returns:
        The path of `report.html`.
    """
    path = Path(folder) / "report.html"
    pictures = {picture.stem: picture for picture in write_figures(results, folder)}
    about = _TASKS[results.get("task", "classify")]
    pictures |= {
        name: picture
        for name in about.captions
        if (picture := Path(folder) / f"{name}.png").exists()
    }
    figures = {
        name: _figure(number, pictures[name], caption)
        for number, (name, caption) in enumerate(
            ((name, text) for name, text in about.captions.items() if name in pictures),
            1,
        )
    }
    data = results.get("dataset", {}).get("name", "images")
    page = Template(_PAGE.read_text()).substitute(
        {name: figures.get(name, "") for name in _PLACES},
        title=escape(f"{about.title} compared on {data}"),
        quality_heading=about.quality,
        quality_note=about.note,
        expense_note=about.costs,
        further=_further(about, figures),
        facts=_rich(" · ".join(_facts(results))),
        first=_rich(verdict(results)),
        notice="".join(
            f'<p class="notice">{_rich(text)}</p>' for text in unfinished(results)
        ),
        quality=_table(
            results, measures(results, "accuracy", "noise", "fgsm", "caption", "unseen")
        ),
        expense=_table(results, measures(results, "size", "cost", "training", "layer")),
        search=_search(results),
        data=_rich(_data(results)),
        recipe=_list(_recipe(results)),
        machine=_list(_machine(results)),
        command=escape(results.get("command", MISSING)),
        limits="".join(f"<li>{_rich(text)}</li>" for text in LIMITS),
    )
    write_bytes(path, page.encode())
    return path


def _facts(results: Results) -> Iterable[str]:
    settings = results.get("settings", {})
    yield _many(len(variants(results)), task_of(results).noun)
    yield _many(len(settings.get("seeds", [])), "seed")
    if "epochs" in settings:
        yield _many(settings["epochs"], "epoch")
    if "backend" in results:
        yield str(results["backend"])


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _data(results: Results) -> str:
    data = results.get("dataset", {})
    name = " ".join(str(data[key]) for key in ("name", "version") if data.get(key))
    parts = [
        f"{data[key]:,} {what}"
        for key, what in (
            ("train_images", "images to train on"),
            ("validation_images", "held back from the training images for validation"),
            ("test_images", "to test on"),
        )
        if data.get(key)
    ]
    shape = " × ".join(map(str, data.get("image_shape", [])))
    classes = len(data.get("class_names", []))
    about = f" of {shape} in {classes} classes" if shape and classes else ""
    return f"{name or 'Images'}{about}: {', '.join(parts) or 'sizes not recorded'}."


def _recipe(results: Results) -> dict[str, Any]:
    settings = results.get("settings", {})
    return {
        key.replace("_", " "): " × ".join(map(str, value)) if key == "grid" else value
        for key, value in settings.items()
        if key != task_of(results).choices
    }


def _machine(results: Results) -> dict[str, Any]:
    device = results.get("device", {})
    name = str(device.get("name", MISSING))
    if "count" in device:
        noun = "core" if device.get("kind") == "cpu" else "device"
        name += f", {_many(device['count'], noun)}"
    about = {"device": name, "system": device.get("system")}
    return about | {"backend": results.get("backend")} | results.get("versions", {})


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return MISSING if value is None else str(value)


def _rich(text: str) -> str:
    """Escaped text in which `names` are code and numbers stay with their units."""
    text = re.sub(r"(?<=[\d±]) (?=[\d%±]|points|ms)", "\N{NO-BREAK SPACE}", text)
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))


def _list(rows: dict[str, Any]) -> str:
    pairs = (
        f"<div><dt>{escape(key)}</dt><dd>{escape(_value(value))}</dd></div>"
        for key, value in rows.items()
    )
    return f"<dl>{''.join(pairs)}</dl>"


def _figure(number: int, picture: Path, caption: str) -> str:
    data = base64.b64encode(picture.read_bytes()).decode()
    alt = escape(caption.split(".")[0])
    return (
        f'<figure id="{picture.stem}"><div class="frame">'
        f'<img alt="{alt}" src="data:image/png;base64,{data}"></div>'
        f"<figcaption><b>Figure {number}.</b> {_rich(caption)}</figcaption></figure>"
    )


def _table(results: Results, columns: list[Measure]) -> str:
    """One row per variant; the best of every accuracy in bold."""
    columns = [column for column in columns if values(results, column)]
    if not columns:
        return ""
    heads = "".join(
        f'<th scope="col">{escape(over)}<br>{escape(under)}</th>'
        for over, under in (column.heading for column in columns)
    )
    rows = "".join(_row(results, variant, columns) for variant in variants(results))
    return (
        '<div class="scroll"><table><thead><tr>'
        f'<th scope="col">{task_of(results).noun}</th>{heads}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _row(results: Results, variant: str, columns: list[Measure]) -> str:
    cells = []
    for column in columns:
        text = column.text(found(results, variant, column))
        number, _, spread = escape(text).partition(" ± ")
        known = values(results, column)
        if column.has_spread and known.get(variant) == max(known.values()):
            number = f"<b>{number}</b>"
        cells.append(f"<td>{number}{spread and f'<small> ± {spread}</small>'}</td>")
    return f"<tr>{_name(results, variant)}{''.join(cells)}</tr>"


def _name(results: Results, variant: str) -> str:
    color = looks(results)[variant].color
    return f'<th scope="row"><i style="background:{color}"></i>{escape(variant)}</th>'


def _search(results: Results) -> str:
    """The learning rates tried, the validation accuracies, and the choice in bold."""
    search = results.get("search")
    if not search:
        entries = [entry(results, name) for name in variants(results)]
        used = sorted(
            {rate for entry in entries if (rate := entry.get("learning_rate"))}
        )
        return f"<p>There was none. Learning rate of all: {escape(_value(used))}.</p>"
    tried: dict[str, dict[float, list[float]]] = {}
    for variant, tries in search.items():
        for run in tries.get("runs", []):
            by_rate = tried.setdefault(variant, {})
            accuracies = by_rate.setdefault(run["learning_rate"], [])
            accuracies.append(run["validation_accuracy"])
    noun = task_of(results).noun
    rates = sorted({rate for by_rate in tried.values() for rate in by_rate})
    heads = "".join(f'<th scope="col">{rate:g}</th>' for rate in rates)
    rows = []
    for variant in (name for name in variants(results) if name in tried):
        cells = []
        for rate in rates:
            runs = [run for run in tried[variant].get(rate, []) if run is not None]
            text = f"{100 * sum(runs) / len(runs):.1f}" if runs else MISSING
            best = rate == search[variant].get("best")
            cells.append(f"<td>{f'<b>{text}</b>' if best else text}</td>")
        rows.append(f"<tr>{_name(results, variant)}{''.join(cells)}</tr>")
    return (
        f"<p>Every {noun} had the same search before the comparison: the validation "
        "accuracy in % at each learning rate, the one chosen in bold.</p>"
        f'<div class="scroll"><table><thead><tr><th scope="col">{noun}</th>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


class _About(NamedTuple):
    """What the report of a task says."""

    title: str
    quality: str
    note: str
    costs: str
    captions: dict[str, str]


# The figures that the page has a place for; others follow under their own headings.
_PLACES = ("accuracy", "learning", "cost", "trade_off")
_HEADINGS = {
    "robustness": "Robustness",
    "gallery": "What was written",
    "gallery_unseen": "What was written of unseen combinations",
    "attention": "What the words look at",
}


def _further(about: _About, figures: dict[str, str]) -> str:
    return "".join(
        f"<h2>{heading}</h2>{figures[name]}"
        for name, heading in _HEADINGS.items()
        if name in figures
    )


_LEARNING = (
    "Learning curves. Lines are means over the seeds, bands reach from the lowest to "
    "the highest seed. Lines that still rise at the right end had not finished "
    "learning."
)
_COST = (
    "What a {noun} costs, the best first; shorter is better. All took turns in one "
    "run, so that a slow minute of the machine hits all of them."
)
_TASKS = {
    "classify": _About(
        "Token mixers",
        "Accuracy",
        "Test accuracy in %, on clean images, under Gaussian noise (standard deviation "
        "in units of the [0, 1] pixel range) and after one FGSM step. ± is the "
        "standard deviation between seeds; the best of each column is bold.",
        "Multiply-adds (MACs) are counted, per image and forward. Times are medians "
        "per batch, memory is the peak of a training step. The last columns count one "
        "mixer layer alone.",
        {
            "accuracy": (
                "Test accuracy, the best mixer on top. Left: means on a scale from "
                "zero, with the standard deviation between seeds behind them; the "
                "dashed line is what guessing reaches. Right: the same enlarged, so "
                "lengths no longer compare; every dot is a seed, the tick their mean, "
                "the shade one standard deviation to either side."
            ),
            "learning": _LEARNING,
            "robustness": (
                "Accuracy on disturbed test images. The left end of each line is the "
                "clean accuracy, so compare how steeply the lines fall as well as "
                "where they end. Bands reach from the lowest to the highest seed."
            ),
            "cost": _COST.format(noun="mixer"),
            "trade_off": (
                "Accuracy against work. Shades reach one standard deviation up and "
                "down. What `none` costs is in every point: it is the part of the "
                "model that does not mix."
            ),
        },
    ),
    "caption": _About(
        "Captioners",
        "Captions",
        "A captioner is named after the mixers of its encoder and decoder. CIDEr is on "
        "a scale from 0 to 10, BLEU and ROUGE-L from 0 to 1, all of the whole test "
        "split against all references. ± is the standard deviation between seeds; the "
        "best of each column is bold.",
        "Times of steps are medians per batch, that of a caption is per caption; "
        "memory is the peak of a training step.",
        {
            "accuracy": (
                "CIDEr, the best captioner on top. Left: means on a scale from zero, "
                "with the standard deviation between seeds behind them. Right: the "
                "same enlarged; every dot is a seed, the tick their mean, the shade "
                "one standard deviation to either side."
            ),
            "learning": f"{_LEARNING} The accuracy is that of the next word.",
            "gallery": (
                "Test images with what each captioner wrote, and one of the "
                "references. Green captions are right: equal to a reference, or in "
                "`scenes` true. Some captioner was wrong in half of the images or "
                "more, where there are so many; of both kinds they are spread evenly."
            ),
            "gallery_unseen": (
                "Scenes in which one object has a colour and a shape that never came "
                "together in training, chosen like those above."
            ),
            "attention": (
                "Cross-attention of the last block while the words were written, mean "
                "over the heads: bright is where a word looks. Each map has a scale of "
                "its own."
            ),
            "cost": _COST.format(noun="captioner"),
            "trade_off": (
                "CIDEr against the time of a training step. Shades reach one standard "
                "deviation up and down."
            ),
        },
    ),
}
