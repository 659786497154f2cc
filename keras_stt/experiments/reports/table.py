"""A comparison as text: tables, notes and the verdict."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from tabulate import SEPARATING_LINE, tabulate

from keras_stt.experiments.reports.results import (
    Results,
    check,
    difference,
    entry,
    measures,
    quality_of,
    ranked,
    seeds_done,
    summary_of,
    task_of,
    values,
    variants,
)
from keras_stt.experiments.reports.tasks import MISSING, Measure

WIDTH = 120

# Columns of captioners that a terminal has no room for.
_WIDE = {
    *("bleu_1", "bleu_2", "bleu_3", "rouge_l", "exact_match", "inference_ms"),
    *(f"unseen_bleu_{n}" for n in (1, 2, 3, 4)),
    *("unseen_rouge_l", "unseen_exact_match"),
}


def columns(results: Results, brief: bool = False) -> list[Measure]:
    """The columns of a table after the variant's name; a terminal's are brief."""
    shown = measures(results, "accuracy", "noise", "fgsm")
    # Some data sets do not have all qualities of captions.
    captions = measures(results, "caption", "unseen")
    shown += [measure for measure in captions if values(results, measure)]
    shown += measures(results, "size", "cost")
    if brief and captions:
        return [measure for measure in shown if measure.name not in _WIDE]
    return shown


def terminal_table(results: Results) -> str:
    """The comparison as aligned plain text of at most 120 columns.

    One row per variant in the order of the settings, the best with a star, and notes
    below: what the numbers are, and what is unfinished. Works on partial results.
    """
    shown = columns(results, brief=True)
    headings = [task_of(results).noun, *(column.heading for column in shown)]
    rows = _rows(results, shown, "±", "{}*")
    table = plain_table(headings, rows)
    excess = max(map(len, table.splitlines())) - WIDTH
    if excess > 0:
        # Names, the only cells that can be long, go over several lines.
        longest = max(10, max(len(row[0]) for row in rows) - excess)
        rows = [[textwrap.fill(name, longest), *cells] for name, *cells in rows]
        table = plain_table(headings, rows)
    return "\n".join([table, "", *map(wrapped, notes(results, shown=shown))])


def markdown_table(results: Results, brief: bool = False) -> str:
    """The comparison as Markdown: a table, the best in bold, and notes.

    Args:
        results: Results of schema 1.
        brief: Whether to show no more than the quality, sizes, and the training step.
    """
    shown = columns(results)
    if brief:
        wanted = {quality_of(results).name, "training_step_ms", "peak_step_bytes"}
        shown = [each for each in shown if each.name in wanted or each.group == "size"]
    headings = [task_of(results).noun, *(column.label for column in shown)]
    table = pipe_table(headings, _rows(results, shown, " ± ", "**{}**"))
    return f"{table}\n\n{' '.join(notes(results, 'Bold', shown))}\n"


Cells = Sequence[str]


def plain_table(headings: Cells, rows: Sequence[Cells]) -> str:
    """A table for a terminal: names to the left, numbers to the right."""
    # As headings of `tabulate`, they would make every column two letters wider.
    lines = [headings, SEPARATING_LINE, *rows]
    return tabulate(lines, tablefmt="simple", **_alignment(headings))


def pipe_table(headings: Cells, rows: Sequence[Cells]) -> str:
    """The same in Markdown."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return tabulate(rows, headings, tablefmt="pipe", **_alignment(headings))


def wrapped(text: str) -> str:
    """A note on lines that a terminal has room for."""
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def _alignment(headings: Cells) -> dict[str, Any]:
    align = ["left", *["right"] * (len(headings) - 1)]
    return {"disable_numparse": True, "colalign": align}


def notes(
    results: Results, star: str = "*", shown: list[Measure] | None = None
) -> list[str]:
    """Sentences that belong under a table.

    Args:
        results: Results of schema 1.
        star: What marks the best in the table.
        shown: The columns of the table. None: all.
    """
    shown = columns(results) if shown is None else shown
    settings = results.get("settings", {})
    seeds = settings.get("seeds", [])
    listed = ", ".join(map(str, seeds))
    spread = (
        f"mean ± standard deviation over {len(seeds)} seeds ({listed})"
        if len(seeds) > 1
        else f"one seed ({listed}), so without a spread"
    )
    conditions = {
        "of": settings.get("batch_size"),
        "on": results.get("device", {}).get("name"),
        "with": results.get("backend"),
    }
    medians = " ".join(
        ["medians per batch", *(f"{key} {x}" for key, x in conditions.items() if x)]
    )
    names, groups = ({getattr(c, key) for c in shown} for key in ("name", "group"))
    if task_of(results).noun == "mixer":
        lines = [f"Accuracies in %: {spread}."]
        if groups & {"noise", "fgsm"}:
            lines.append(
                "Noise is Gaussian, its standard deviation in units of the [0, 1] "
                "pixel range; FGSM is one signed gradient step."
            )
        lines.append(f"Multiply-adds (MACs) are per image, times are {medians}.")
    else:
        others = ", BLEU and ROUGE-L from 0 to 1" if "bleu_4" in names else ""
        own = "; those of a caption are per caption"
        writing = own if "caption_ms" in names else ""
        lines = [
            f"Qualities of captions: {spread}.",
            f"CIDEr is on a scale from 0 to 10{others}, on the whole test split "
            "against all references.",
            f"Times are {medians}{writing}.",
        ]
        if "unseen" in groups:
            lines.append("Unseen: scenes with combinations that training never showed.")
    if ranked(results):
        lines.append(f"{star}: best {quality_of(results).title}.")
    if any(MISSING in row for row in _rows(results, shown, "", "{}")):
        lines.append(f"{MISSING}: not measured.")
    return lines + unfinished(results)


def unfinished(results: Results) -> list[str]:
    """One sentence on what is still missing, or nothing if all is there."""
    wanted = len(results.get("settings", {}).get("seeds", []))
    done = {name: seeds_done(results, name) for name in variants(results)}
    missing = [
        f"`{name}` has {count} of {wanted} seeds"
        for name, count in done.items()
        if 0 < count < wanted
    ]
    without = [f"`{name}`" for name, count in done.items() if not count]
    if without:
        missing.append(f"no result yet of {', '.join(without)}")
    if missing:
        return [f"Unfinished: {'; '.join(missing)}."]
    return [] if results.get("finished") else ["Unfinished: measures are missing."]


def verdict(results: Results) -> str:
    """Which variant is best, its lead, and whether that exceeds the spread.

    The lead is over the task's baseline, or over the second where the baseline is best
    or missing. The spread of a difference is the root of the sum of the two squared
    standard deviations between seeds. Names of variants are in backticks.
    """
    order, task, quality = ranked(results), task_of(results), quality_of(results)
    if not order:
        return f"No {quality.title} has been measured yet."
    unit = f" {quality.unit}" if quality.unit else ""
    reached = {
        name: quality.text(summary_of(results, name, quality)) + unit for name in order
    }
    best = order[0]
    if len(order) == 1:
        return f"`{best}`, the only {task.noun} measured, reaches {reached[best]}."
    rival = task.baseline if task.baseline in order[1:] else order[1]
    lead = difference(results, best, rival)
    points = " points" if quality.unit == "%" else ""
    level = quality.number(lead) == quality.number(0)
    text = (
        f"{'So far, ' if unfinished(results) else ''}`{best}` has the best "
        f"{quality.title} of {len(order)} {task.noun}s, {reached[best]}: "
        + ("level with" if level else f"{quality.number(lead)}{points} above")
        + f" `{rival}` ({reached[rival]})"
    )
    if level:
        return f"{text}."
    pair = [entry(results, name)[quality.name] for name in (best, rival)]
    if any(len(summary["runs"]) < 2 for summary in pair):
        return f"{text}, with too few seeds to know the spread."
    spread = quality.scale * math.hypot(*(summary["std"] for summary in pair))
    if lead <= spread:
        times = "within"
    else:
        times = "more than twice" if lead > 2 * spread else "more than"
    return f"{text}, {times} the spread between seeds ({quality.number(spread)})."


def _rows(
    results: Results, shown: list[Measure], separator: str, best: str
) -> list[list[str]]:
    """The cells of a table; `best` formats the best quality."""
    check(results)
    rows, quality, known = [], quality_of(results), values(results, quality_of(results))
    for name in variants(results):
        cells = {
            column: column.text(summary_of(results, name, column), separator)
            for column in shown
        }
        if name in known and known[name] == max(known.values()):
            cells[quality] = best.format(cells[quality])
        rows.append([name, *cells.values()])
    return rows
