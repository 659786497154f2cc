"""A benchmark as text: a table per grid, and how cost grows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keras_stt.experiments.bench.floor import DEPTHWISE_FLOOR, FLOORS, floor_of
from keras_stt.experiments.bench.limits import least_ms
from keras_stt.experiments.reports.table import pipe_table, plain_table, wrapped
from keras_stt.experiments.reports.tasks import MISSING

Results = dict[str, Any]
Row = dict[str, Any]

_TIMES = {"forward_ms": "forward (ms)", "training_ms": "training (ms)"}

#: What the others are compared with.
_STT = "stt-dense"

#: Below so many calls a median is a rough one.
_FEW_CALLS = 10

#: Above this share of the median between the quartiles, a median is a rough one, too.
_NOISY = 0.3


def terminal_table(results: Results) -> str:
    """The benchmark as aligned plain text: a table per grid, and notes."""
    blocks = [
        f"{_title(rows)}\n{plain_table(_headings(results), _cells(results, rows))}"
        for rows in by_grid(results).values()
    ]
    return "\n\n".join([*blocks, *map(wrapped, notes(results))])


def markdown_table(results: Results) -> str:
    """The same as Markdown."""
    blocks = [
        f"**{_title(rows)}**\n\n{pipe_table(_headings(results), _cells(results, rows))}"
        for rows in by_grid(results).values()
    ]
    return "\n\n".join([*blocks, *notes(results)]) + "\n"


def by_grid(results: Results) -> dict[tuple[int, int], list[Row]]:
    """The rows of each grid, in the order in which grids were measured."""
    rows: dict[tuple[int, int], list[Row]] = {}
    for row in results["rows"]:
        rows.setdefault(tuple(row["grid"]), []).append(row)
    return rows


def slopes(results: Results, quantity: str) -> dict[str, float]:
    """The exponent of the number of positions by which a quantity grows, by mixer.

    The slope of the least-squares line through the logarithms, per example, for every
    mixer with two grids at least. Quantities are `"forward_ms"`, `"training_ms"` and
    `"peak_bytes"`.
    """
    exponents = {}
    for mixer in dict.fromkeys(row["mixer"] for row in results["rows"]):
        x, y = points(results, mixer, quantity)
        if len(x) > 1:
            exponents[mixer] = float(np.polyfit(np.log(x), np.log(y), 1)[0])
    return exponents


def points(
    results: Results, mixer: str, quantity: str
) -> tuple[list[float], list[float]]:
    """Numbers of positions, and the quantity per example, of a mixer."""
    pairs = sorted(
        (math.prod(row["grid"]), row[quantity] / row["batch"])
        for row in results["rows"]
        if row["mixer"] == mixer and row[quantity]
    )
    return [x for x, _ in pairs], [y for _, y in pairs]


def notes(results: Results) -> list[str]:
    """Sentences that belong under the tables."""
    settings, device = results["settings"], results["device"]
    depthwise = any(row["mixer"] == DEPTHWISE_FLOOR for row in results["rows"])
    count = f" ({device['count']} cores)" if device["kind"] == "cpu" else ""
    lines = [
        f"{settings['channels']} channels, {settings['num_heads']} heads, "
        f"{settings['dtype']}; {results['backend']} on {device['name']}{count}. Times "
        "are medians per batch. Training: output and gradients for input and weights. "
        "Multiply-adds are counted for one example, forward. The floor is the matrix "
        "products of STT alone, in one program"
        + ("; of stt-depthwise*, those of depthwise STT." if depthwise else ".")
    ]
    lines += _limits(results) + _ratios_to_stt(results) + _rough_numbers(results)
    training, memory = slopes(results, "training_ms"), slopes(results, "peak_bytes")
    if training:
        exponents = "; ".join(
            f"{mixer} {slope:.2f}"
            + (f" ({memory[mixer]:.2f})" if mixer in memory else "")
            for mixer, slope in training.items()
        )
        lines.append(
            "Training time (memory) per example grows with the number of positions to "
            f"the power of: {exponents}. Small grids pay what a call costs whatever "
            "its size, so a slope of time can be less than that of the multiply-adds."
        )
    for row in results["rows"]:
        if row["error"]:
            lines.append(f"{_where(row)}: {row['error']}.")
            continue
        for form, error in row.get("failed_forms", {}).items():
            lines.append(f"{_where(row)}: form {form} failed: {error}.")
    return lines


def _where(row: Row) -> str:
    return f"{row['mixer']} at {_size(row['grid'])}"


def _limits(results: Results) -> list[str]:
    """What the device can do at most, and what a profile shows."""
    lines = []
    if limits := results.get("limits"):
        lines.append(
            "The limit is the time for the products at the rate of a large matrix "
            f"product ({limits['multiply_adds_per_second'] / 1e12:.3g} T "
            "multiply-adds/s), or for moving input and output once at the bandwidth of "
            f"a large copy ({limits['bytes_per_second'] / 1e9:,.3g} GB/s), whichever "
            "is longer; in training three times the products, and gradients moved, too."
        )
    if any(
        len({row["batch"] for row in rows}) > 1 for rows in by_grid(results).values()
    ):
        lines.append(
            "Layers that need more memory have a smaller batch, which is named. Ratios "
            "are per example."
        )
    for row in results["rows"]:
        if row.get("profile_error"):
            lines.append(f"{_where(row)}: no profile: {row['profile_error']}.")
        if row.get("profile"):
            items = ", ".join(
                f"{item['name']} {_number(item['ms'])}" for item in row["profile"]
            )
            lines.append(f"Largest items of {_where(row)}, training, in ms: {items}.")
    return lines


def _ratios_to_stt(results: Results) -> list[str]:
    """How long training steps take, as multiples of STT's."""
    lines = []
    for grid, rows in by_grid(results).items():
        times = {
            row["mixer"]: row["training_ms"] / row["batch"]
            for row in rows
            if row["training_ms"] and row["mixer"] not in FLOORS
        }
        if len(times) > 1 and (ours := times.pop(_STT, None)):
            ratios = ", ".join(
                f"{mixer} {_number(time / ours)}" for mixer, time in times.items()
            )
            lines.append(f"Training steps at {_size(grid)}, {_STT} being 1: {ratios}.")
    return lines


def _rough_numbers(results: Results) -> list[str]:
    """Which numbers are less exact than the others."""
    lines = []
    few = [
        _where(row)
        for row in results["rows"]
        if row["training_ms"] and row["training_calls"] < _FEW_CALLS
    ]
    if few:
        lines.append(
            f"Fewer than {_FEW_CALLS} training steps were timed of {', '.join(few)}; "
            "for more, raise --seconds."
        )
    noisy = [_where(row) for row in results["rows"] if _spread(row) > _NOISY]
    if noisy:
        lines.append(
            "The middle half of the training times spreads over more than "
            f"{100 * _NOISY:.0f} % of the median for {', '.join(noisy)}: the machine "
            "may have been busy with something else."
        )
    if any(row["peak_bytes"] == 0 for row in results["rows"]):
        lines.append(
            "A peak of 0 was too small for the allocator to show; slopes and figures "
            "leave it out."
        )
    return lines


def _spread(row: Row) -> float:
    """The distance of the quartiles of the training times, as a share of the median."""
    low, high = row.get("training_quartiles_ms") or (0.0, 0.0)
    return (high - low) / row["training_ms"] if row["training_ms"] else 0.0


def _title(rows: list[Row]) -> str:
    return f"Grid {_size(rows[0]['grid'])}, batch {rows[0]['batch']}"


def _size(grid: Any) -> str:
    return "×".join(map(str, grid))


def _headings(results: Results) -> list[str]:
    ratios = ["× floor", "× limit"] if "limits" in results else ["× floor"]
    times = [heading for time in _TIMES.values() for heading in (time, *ratios)]
    return ["mixer", *times, "peak (MiB)", "multiply-adds (M)", "parameters"]


def _cells(results: Results, rows: list[Row]) -> list[list[str]]:
    floors = {row["mixer"]: row for row in rows if row["mixer"] in FLOORS}
    limits, channels = results.get("limits"), results["settings"]["channels"]
    cells = []
    for row in rows:
        name = row["mixer"]
        # Older files have no floor of depthwise STT.
        floor = floors.get(name) or floors.get(floor_of(name), {})
        same = row["batch"] == rows[0]["batch"]
        line = [name if same else f"{name} (batch {row['batch']})"]
        for key in _TIMES:
            time, least = row[key], floor.get(key)
            line.append(_number(time) if time else MISSING)
            share = time and least and time / row["batch"] * floor["batch"] / least
            line.append(f"{share:,.2f}" if share else MISSING)
            if limits:
                least = least_ms(row, key.removesuffix("_ms"), channels, limits)
                line.append(f"{time / least:,.2f}" if time and least else MISSING)
        peak, parameters = row["peak_bytes"], row["parameters"]
        line.append(MISSING if peak is None else _number(peak / 2**20))
        line.append(_number(row["multiply_adds"] / 1e6))
        line.append(MISSING if parameters is None else f"{parameters:,}")
        cells.append(line)
    return cells


def _number(value: float) -> str:
    """Three significant digits, or all digits of the whole number if that is more."""
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:,.{min(digits, 3)}f}"
