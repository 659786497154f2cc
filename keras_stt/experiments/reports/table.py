"""A comparison as text: tables, the verdict, and what the numbers do not show."""

import math
import textwrap

from keras_stt.experiments.reports.results import (
    MISSING,
    Measure,
    Results,
    check,
    found,
    measures,
    quality_of,
    ranked,
    seeds_done,
    task_of,
    values,
    variants,
)

WIDTH = 120


#: What a terminal has no room for; Markdown and the report have all.
_WIDE = ("bleu_1", "bleu_2", "bleu_3", "exact_match", "unseen_", "inference_ms")
_KEPT = ("unseen_cider", "unseen_correct")


def columns(results: Results, brief: bool = False) -> list[Measure]:
    """The columns of a table behind the variant's name.

    Qualities that no variant has are left out: those that only some data sets know.

    Args:
        results: Results of schema 1.
        brief: Whether to leave out what a terminal has no room for.
    """
    shown = ("accuracy", "noise", "fgsm", "caption", "unseen", "size", "cost")
    found = [
        measure
        for measure in measures(results, *shown)
        if measure.group not in ("caption", "unseen") or values(results, measure)
    ]
    if not brief or task_of(results).choices == "mixers":
        return found
    return [m for m in found if m.name in _KEPT or not m.name.startswith(_WIDE)]


def terminal_table(results: Results) -> str:
    """The comparison as aligned plain text of at most 120 columns.

    One row per variant in the order of the settings, two lines of headings, and notes
    below: what the numbers are, and what is unfinished. The best test accuracy
    carries a star. Works on partial results.

    Args:
        results: Results of schema 1 (see `keras_stt.experiments.reports.results`).

    Returns:
        The text, without a newline at its end.
    """
    noun, shown = task_of(results).noun, columns(results, brief=True)
    heads = [["", *(column.heading[0] for column in shown)]]
    heads.append([noun, *(column.heading[1] for column in shown)])
    rows = _cells(results, "±", "{}*", shown)
    # A column for the star keeps the digits of starred and other rows aligned.
    for row in (*heads, *rows):
        row[1] = row[1] if row[1].endswith("*") else row[1] + " "
    lines = _align([*heads, *rows])
    rule = "-" * max(map(len, lines))
    lines = [rule, *lines[:2], rule, *lines[2:], rule]
    for note in notes(results):
        lines.extend(_wrap(note))
    return "\n".join(lines)


def markdown_table(results: Results) -> str:
    """The comparison as a Markdown table, the best test accuracy in bold.

    Args:
        results: Results of schema 1 (see `keras_stt.experiments.reports.results`).

    Returns:
        The table and one paragraph of notes, with a newline at the end.
    """
    heads = [task_of(results).noun, *map(_heading, columns(results))]
    lines = [_pipes(heads), _pipes([":--", *("--:" for _ in heads[1:])])]
    rows = _cells(results, " ± ", "**{}**", columns(results))
    lines += [_pipes(row) for row in rows]
    return "\n".join([*lines, "", " ".join(notes(results, "Bold")), ""])


def notes(results: Results, star: str = "*") -> list[str]:
    """Sentences that belong under a table, the last ones on what is unfinished.

    Args:
        results: Results of schema 1.
        star: How the best test accuracy is marked.
    """
    settings = results.get("settings", {})
    seeds = settings.get("seeds", [])
    names = ", ".join(map(str, seeds))
    over = (
        f"mean ± standard deviation over {len(seeds)} seeds ({names})"
        if len(seeds) > 1
        else f"one seed ({names}), so without a spread"
    )
    batch = settings.get("batch_size")
    medians = f"medians per batch{f' of {batch}' if batch else ''}{_where(results)}"
    if task_of(results).choices == "mixers":
        lines = [
            f"Accuracies in %: {over}.",
            "Noise is Gaussian, its standard deviation in units of the [0, 1] pixel "
            "range; FGSM is one signed gradient step.",
            f"Multiply-adds (MACs) are per image, times are {medians}.",
        ]
    else:
        lines = [
            f"Qualities of captions: {over}.",
            "CIDEr is on a scale from 0 to 10, BLEU and ROUGE-L from 0 to 1, all of "
            "the whole test split against all references.",
            f"Times are {medians}; those of a caption are per caption.",
        ]
    if ranked(results):
        lines.append(f"{star}: best {quality_of(results).title}.")
    if any(MISSING in row for row in _cells(results, "", "{}", columns(results))):
        lines.append(f"{MISSING}: not measured.")
    return lines + unfinished(results)


def unfinished(results: Results) -> list[str]:
    """One sentence on what is still missing, or nothing if all is there."""
    wanted = len(results.get("settings", {}).get("seeds", []))
    done = {mixer: seeds_done(results, mixer) for mixer in variants(results)}
    some = [
        f"`{mixer}` has {count} of {wanted} seeds"
        for mixer, count in done.items()
        if 0 < count < wanted
    ]
    none = [f"`{mixer}`" for mixer, count in done.items() if not count]
    if none:
        some.append(f"no result yet of {', '.join(none)}")
    if some:
        return [f"Unfinished: {'; '.join(some)}."]
    return [] if results.get("finished") else ["Unfinished: measures are missing."]


def verdict(results: Results) -> str:
    """Which variant is best, its lead, and whether that exceeds the spread.

    The lead is over the task's baseline, or over the second where the baseline is best
    or missing. The spread of a difference is the root of the sum of the two squared
    standard deviations between seeds.

    Args:
        results: Results of schema 1, also partial ones.

    Returns:
        One sentence; names of variants stand in backticks.
    """
    order, task, quality = ranked(results), task_of(results), quality_of(results)
    if not order:
        return f"No {quality.title} has been measured yet."
    best, reached = order[0], {name: _text(results, name) for name in order}
    if len(order) == 1:
        return f"`{best}`, the only {task.noun} measured, reaches {reached[best]}."
    rival = task.baseline if task.baseline in order[1:] else order[1]
    pair = [found(results, name, quality) or {} for name in (best, rival)]
    lead = quality.scale * (pair[0]["mean"] - pair[1]["mean"])
    points = " points" if quality.unit == "%" else ""
    now = "So far, " if unfinished(results) else ""
    start = (
        f"{now}`{best}` has the best {quality.title} of {len(order)} {task.noun}s, "
        f"{reached[best]}: {quality.number(lead)}{points} above `{rival}` "
        f"({reached[rival]})"
    )
    if any(len(each["runs"]) < 2 for each in pair):
        return f"{start}, with too few seeds to know the spread."
    spread = quality.scale * math.hypot(*(each["std"] for each in pair))
    times = "more than twice" if lead > 2 * spread else "more than"
    if lead <= spread:
        times = "within"
    return f"{start}, {times} the spread between seeds ({quality.number(spread)})."


def _text(results: Results, variant: str) -> str:
    quality = quality_of(results)
    unit = f" {quality.unit}" if quality.unit else ""
    return quality.text(found(results, variant, quality)) + unit


#: What the numbers of a comparison do not show.
LIMITS = (
    "A margin of less than twice the spread between seeds is a hint, not a finding; "
    "with one seed, nothing is known about chance.",
    "The best is picked on the images that it is quoted on, which flatters its lead a "
    "little.",
    "One size of model and one training budget: others may change the order.",
    "Where the best learning rate tried lies at an end of the range, a better one may "
    "lie beyond.",
    "Times and memory hold for this device, backend and batch size only. Multiply-adds "
    "hold everywhere, and predict times poorly.",
    "FGSM is a weak attack of one step, and noise one disturbance of many: neither "
    "promises robustness.",
    "BLEU, ROUGE-L and CIDEr count words shared with references: a true caption in "
    "other words scores low.",
    "`scenes` is drawn by a program: it says nothing about photographs.",
    "STT here is this project's reading of a published abstract (arXiv 2201.01410); no "
    "number of that paper is reproduced or contradicted.",
)


def _where(results: Results) -> str:
    device = results.get("device", {}).get("name")
    backend = results.get("backend")
    return (f" on {device}" if device else "") + (f" with {backend}" if backend else "")


def _cells(
    results: Results, between: str, best: str, shown: list[Measure]
) -> list[list[str]]:
    check(results)
    top, rows = ranked(results)[:1], []
    for mixer in variants(results):
        row = [column.text(found(results, mixer, column), between) for column in shown]
        if mixer in top:
            place = shown.index(quality_of(results))
            row[place] = best.format(row[place])
        rows.append([mixer, *row])
    return rows


def _heading(column: Measure) -> str:
    """The heading of a column on one line; disturbances keep their short one."""
    title = column.title
    if column.group in ("noise", "fgsm"):
        title = " ".join(column.heading)
    return f"{title} ({column.unit})" if column.unit else title


def _pipes(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _align(rows: list[list[str]]) -> list[str]:
    """Rows with equal columns: names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = sum(widths[1:])
    gap = 3
    while gap > 1 and widths[0] + numbers + gap * (len(widths) - 1) > WIDTH:
        gap -= 1
    widths[0] = min(widths[0], WIDTH - numbers - gap * (len(widths) - 1))
    lines = []
    for name, *cells in rows:
        if len(name) > widths[0]:
            name = name[: widths[0] - 1] + "…"
        aligned = [
            cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)
        ]
        lines.append((" " * gap).join([name.ljust(widths[0]), *aligned]).rstrip())
    return lines


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")
