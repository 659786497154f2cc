"""A benchmark as text: a table per grid, and how cost grows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keras_stt.experiments.bench.layers import FLOOR

Results = dict[str, Any]
Row = dict[str, Any]

_HEADS = (
    *("mixer", "forward (ms)", "× floor", "training (ms)", "× floor", "peak (MiB)"),
    *("multiply-adds (M)", "parameters"),
)


#: What the others are compared with.
_STT = "stt-dense"

#: Below so many calls a median is a rough one.
_FEW_CALLS = 10


def terminal_table(results: Results) -> str:
    """The benchmark as aligned plain text.

    Args:
        results: As in `results.json`.

    Returns:
        A table per grid, with the notes below, without a newline at the end.
    """
    blocks = []
    for grid in grids(results):
        cells = [_HEADS, *map(_cells, rows_of(results, grid), _floors(results, grid))]
        widths = [max(len(row[i]) for row in cells) for i in range(len(_HEADS))]
        lines = [
            "  ".join(
                [row[0].ljust(widths[0])]
                + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
            ).rstrip()
            for row in cells
        ]
        rule = "-" * max(map(len, lines))
        blocks.append(
            "\n".join([_title(results, grid), rule, lines[0], rule, *lines[1:]])
        )
    return "\n\n".join([*blocks, *notes(results)])


def markdown_table(results: Results) -> str:
    """The benchmark as Markdown, with the same content.

    Args:
        results: As in `results.json`.
    """
    blocks = []
    for grid in grids(results):
        cells = [_HEADS, *map(_cells, rows_of(results, grid), _floors(results, grid))]
        cells.insert(1, (":--", *("--:" for _ in _HEADS[1:])))
        lines = [f"| {' | '.join(row)} |" for row in cells]
        blocks.append("\n".join([f"**{_title(results, grid)}**", "", *lines]))
    return "\n\n".join([*blocks, *notes(results)]) + "\n"


def grids(results: Results) -> list[tuple[int, int]]:
    """The grids that are measured, in their order."""
    return list(dict.fromkeys(tuple(row["grid"]) for row in results["rows"]))


def rows_of(results: Results, grid: tuple[int, int]) -> list[Row]:
    """The rows of a grid."""
    return [row for row in results["rows"] if tuple(row["grid"]) == grid]


def slopes(results: Results, quantity: str) -> dict[str, float]:
    """The exponent of the number of positions by which a quantity grows, by mixer.

    The slope of the least-squares line through the logarithms, per example.

    Args:
        results: As in `results.json`.
        quantity: `"forward_ms"`, `"training_ms"` or `"peak_bytes"`.

    Returns:
        A number for every mixer with two grids at least.
    """
    found = {}
    for mixer in dict.fromkeys(row["mixer"] for row in results["rows"]):
        x, y = points(results, mixer, quantity)
        if len(x) > 1:
            found[mixer] = float(np.polyfit(np.log(x), np.log(y), 1)[0])
    return found


def points(
    results: Results, mixer: str, quantity: str
) -> tuple[list[float], list[float]]:
    """Numbers of positions, and the quantity per example, of a mixer."""
    rows = sorted(
        (r for r in results["rows"] if r["mixer"] == mixer and r[quantity]),
        key=lambda row: math.prod(row["grid"]),
    )
    return (
        [math.prod(row["grid"]) for row in rows],
        [row[quantity] / row["batch"] for row in rows],
    )


def notes(results: Results) -> list[str]:
    """Sentences that belong under the tables."""
    settings, device = results["settings"], results["device"]
    count = f" ({device['count']} cores)" if device["kind"] == "cpu" else ""
    lines = [
        f"{settings['channels']} channels, {settings['num_heads']} heads, "
        f"{settings['dtype']}; {results['backend']} on {device['name']}{count}. Times "
        "are medians per batch. Training: output and gradients for input and weights. "
        "Multiply-adds are counted for one example, forward. The floor is the matrix "
        "products of STT alone, in one program."
    ]
    lines += _against_stt(results) + _doubts(results)
    training, memory = slopes(results, "training_ms"), slopes(results, "peak_bytes")
    if training:
        told = "; ".join(
            f"{mixer} {slope:.2f}"
            + (f" ({memory[mixer]:.2f})" if mixer in memory else "")
            for mixer, slope in training.items()
        )
        lines.append(
            "Training time (memory) per example grows with the number of positions to "
            f"the power of: {told}. Small grids pay what a call costs whatever its "
            "size, so a slope of time can be less than that of the multiply-adds."
        )
    lines += [
        f"{row['mixer']} at {_size(row['grid'])}: form {form} failed: {error}."
        for row in results["rows"]
        if not row["error"]
        for form, error in row.get("failed_forms", {}).items()
    ]
    failed = [row for row in results["rows"] if row["error"]]
    lines += [
        f"{row['mixer']} at {_size(row['grid'])}: {row['error']}." for row in failed
    ]
    return lines


def _against_stt(results: Results) -> list[str]:
    """How many times as long as STT's the training steps take."""
    lines = []
    for grid in grids(results):
        times = {
            row["mixer"]: row["training_ms"]
            for row in rows_of(results, grid)
            if row["training_ms"] and row["mixer"] != FLOOR
        }
        if len(times) > 1 and (ours := times.pop(_STT, None)):
            told = ", ".join(
                f"{mixer} {_number(taken / ours)}" for mixer, taken in times.items()
            )
            lines.append(f"Training steps at {_size(grid)}, {_STT} being 1: {told}.")
    return lines


def _doubts(results: Results) -> list[str]:
    """Which numbers are to be taken with care."""
    lines = []
    few = [
        f"{row['mixer']} at {_size(row['grid'])}"
        for row in results["rows"]
        if row["training_ms"] and row["training_calls"] < _FEW_CALLS
    ]
    if few:
        lines.append(
            f"Fewer than {_FEW_CALLS} training steps were timed of {', '.join(few)}; "
            "more --seconds bring more."
        )
    if any(row["peak_bytes"] == 0 for row in results["rows"]):
        lines.append(
            "A peak of 0 is less than the allocator lets one see; it is no part of "
            "slopes and figures."
        )
    return lines


def _title(results: Results, grid: tuple[int, int]) -> str:
    return f"Grid {_size(grid)}, batch {rows_of(results, grid)[0]['batch']}"


def _size(grid: Any) -> str:
    return "×".join(map(str, grid))


def _floors(results: Results, grid: tuple[int, int]) -> list[Row]:
    """The floor of the grid, once per row."""
    rows = rows_of(results, grid)
    floor = next(row for row in rows if row["mixer"] == FLOOR)
    return [floor] * len(rows)


def _cells(row: Row, floor: Row) -> tuple[str, ...]:
    def time(key: str) -> list[str]:
        if not row[key]:
            return ["–", "–"]
        ratio = f"{row[key] / floor[key]:,.2f}" if floor[key] else "–"
        return [_number(row[key]), ratio]

    peak = row["peak_bytes"]
    return (
        row["mixer"],
        *time("forward_ms"),
        *time("training_ms"),
        "–" if peak is None else _number(peak / 2**20),
        _number(row["multiply_adds"] / 1e6),
        "–" if row["parameters"] is None else f"{row['parameters']:,}",
    )


def _number(value: float) -> str:
    """Three significant digits, and all before the point."""
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:,.{min(digits, 3)}f}"
