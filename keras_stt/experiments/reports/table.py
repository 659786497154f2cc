"""A comparison as text: tables, what came out, and what the numbers do not show."""

import math
import textwrap
from typing import Any

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


def outcome(results: Results) -> list[str]:
    """What came out, in sentences; mixers' names stand in backticks.

    The first says which mixer is best and by how much, the others where the
    attention baseline stands, what the best STT reaches, and what it costs. A
    difference of means is held against the spread between seeds: the root of the
    sum of the two squared standard deviations.

    Args:
        results: Results of schema 1, also partial ones.
    """
    order, task = ranked(results), task_of(results)
    title, base = quality_of(results).title, task.baseline
    if not order:
        return [f"No {title} has been measured yet."]
    best, reached = order[0], {name: _text(results, name) for name in order}
    if len(order) == 1:
        return [f"`{best}`, the only {task.noun} measured, reaches {reached[best]}."]
    rival = base if base in order[1:] else order[1]
    now = "So far, " if unfinished(results) else ""
    lines = [
        f"{now}`{best}` has the best {title} of {len(order)} {task.noun}s, "
        f"{reached[best]}, {_difference(results, best, rival)}."
    ]
    if rival != order[1]:
        lines.append(f"It is {_difference(results, best, order[1])}.")
    if task.choices == "mixers":
        lines.append(_baseline(results))
    stt = next((name for name in order if name.startswith("stt-")), None)
    if stt and stt != best:
        text = f"The best STT, `{stt}`, reaches {reached[stt]}"
        text += "" if stt == order[1] else f", {_difference(results, stt, best)}"
        if base in order and best != base:
            text += f"; it is {_difference(results, stt, base, False)}"
        lines.append(text + ".")
    step = task.measures["training_step_ms"]
    times = values(results, step)
    if stt in times and base in times:
        one, other = step.number(times[stt]), step.number(times[base])
        lines.append(
            f"A training step of `{stt}` takes {times[stt] / times[base]:.2f} times "
            f"as long as one of `{base}` ({one} against {other} ms)."
        )
    return lines


def _text(results: Results, variant: str) -> str:
    quality = quality_of(results)
    unit = f" {quality.unit}" if quality.unit else ""
    return quality.text(found(results, variant, quality)) + unit


def _gap(results: Results, one: str, other: str) -> tuple[float, float | None]:
    """Difference of two qualities as shown, and the spread to hold it against."""
    quality = quality_of(results)
    pair = [found(results, variant, quality) or {} for variant in (one, other)]
    points = quality.scale * (pair[0]["mean"] - pair[1]["mean"])
    if any(len(each["runs"]) < 2 for each in pair):
        return points, None
    return points, quality.scale * math.hypot(*(each["std"] for each in pair))


def _difference(results: Results, one: str, other: str, reached: bool = True) -> str:
    points, spread = _gap(results, one, other)
    quality = quality_of(results)
    noun = " points" if quality.unit == "%" else ""
    side = f"{quality.number(abs(points))}{noun} {'above' if points > 0 else 'below'}"
    if abs(points) < 0.5 * 10**-quality.digits:
        side = "level with"
    between = "" if spread is None else f"({quality.number(spread)}{noun})"
    where = f" ({_text(results, other)})" if reached else ""
    if spread is None:
        verdict = "with too few seeds to know the spread"
    elif abs(points) > 2 * spread:
        verdict = f"more than twice the spread between seeds {between}"
    elif abs(points) > spread:
        verdict = f"more than the spread between seeds {between}"
        verdict += " but not twice it"
    else:
        verdict = f"within the spread between seeds {between}"
    return f"{side} `{other}`{where}, {verdict}"


def _baseline(results: Results) -> str:
    """Whether attention helps at all at this budget; if not, margins say little."""
    order = ranked(results)
    if "mha" not in order or "none" not in order:
        lacking = "none" if "mha" in order else "mha"
        return (
            f"Without a result of `{lacking}` it is open whether dot-product attention "
            "helps at this budget."
        )
    points, spread = _gap(results, "mha", "none")
    text = f"`mha` is {_difference(results, 'mha', 'none')}"
    if points > 0 and spread is None:
        return f"{text}; `none` is the same model without mixing."
    if points > 2 * (spread or 0.0):
        return f"{text}: dot-product attention helps at this budget."
    if points > (spread or 0.0):
        return (
            f"{text}: dot-product attention helps little at this budget, so read a "
            "margin over it with care."
        )
    return (
        f"{text}: dot-product attention has not begun to help at this budget, so a "
        "margin over it says little."
    )


def limits(results: Results) -> list[str]:
    """What the numbers do not show, as far as the results tell."""
    settings, data = results.get("settings", {}), results.get("dataset", {})
    seeds, tested = len(settings.get("seeds", [])), data.get("test_images")
    noun, classified = task_of(results).noun, task_of(results).choices == "mixers"
    lines = [
        "With a single seed nothing is known about chance."
        if seeds < 2
        else f"{seeds} seeds show a spread only roughly; a margin of less than twice "
        "the spread is a hint, not a finding."
    ]
    share = max(values(results, quality_of(results)).values(), default=None)
    if classified and tested and share is not None:
        error = math.sqrt(share * (100 - share) / tested)
        lines.append(
            f"{tested:,} test images leave a standard error of {error:.1f} points on "
            f"an accuracy of {share:.0f} %. All mixers see the same images, so "
            "differences are surer than that, but not free of it."
        )
    lines.append(
        f"The best {noun} is picked on the images it is then quoted on, which flatters "
        "its lead a little."
    )
    lines.append(
        "One size of model and one budget of training: other sizes, more images or "
        "more epochs may turn the order around."
    )
    lines.append(_tuning(results))
    if data.get("name") == "scenes":
        lines.append(
            f"`scenes` is drawn by a program: it shows what a {noun} can do, and "
            "nothing about photographs."
        )
    lines.append(
        "FGSM is a weak attack of one step, and noise one disturbance of many: neither "
        "promises robustness."
        if classified
        else "BLEU, ROUGE-L and CIDEr count words that captions share with references; "
        "a true caption in other words scores low, and a false one in the same words "
        "high."
    )
    if classified:
        lines.append(
            "Times and memory hold for this device, backend and batch size only; "
            "multiply-adds hold everywhere and predict times poorly."
        )
    else:
        lines.append(
            "Times and memory hold for this device, backend and batch size only."
        )
    lines.append(
        "STT here is this project's reading of a published abstract (arXiv "
        "2201.01410); no number of that paper is reproduced or contradicted."
    )
    return lines


def _tuning(results: Results) -> str:
    search = results.get("search")
    if not search:
        return (
            f"No learning rate was searched: each {task_of(results).noun} might do "
            "better with its own."
        )
    text = "The search was small: more values, or more than one option, may gain more."
    edge = [f"`{mixer}`" for mixer, entry in search.items() if _at_edge(entry)]
    if edge:
        text += (
            " The best learning rate tried lies at an end of the range, so that a "
            f"better one may lie beyond, for {', '.join(edge)}."
        )
    return text


def _at_edge(entry: dict[str, Any]) -> bool:
    rates = {run["learning_rate"] for run in entry.get("runs", [])}
    return len(rates) > 1 and entry.get("best") in (min(rates), max(rates))


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
