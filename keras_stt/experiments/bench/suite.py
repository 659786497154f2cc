"""Benchmarks with settings of their own: one command for a device that is at hand."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_stt.experiments.bench.bench import Bench
from keras_stt.experiments.bench.floor import floor_of
from keras_stt.experiments.bench.layers import fitting_batch, step_bytes
from keras_stt.experiments.bench.settings import BenchSettings, Dtype
from keras_stt.experiments.bench.trial import device_bytes
from keras_stt.experiments.options import grid_text

#: Share of the device's memory that a step may take, by its estimate.
_USED = 0.6

_GPU = BenchSettings(
    grids=((14, 14), (32, 32), (64, 64), (128, 128), (256, 256)),
    channels=256,
    num_heads=8,
    batches=(64,),
    mixers=(
        *("stt-dense", "stt-random", "stt-depthwise", "stt-depthwise-synthesized"),
        *("mha", "mha-unfused", "axial-mha", "depthwise-conv", "mlp-mixer", "none"),
    ),
    limits=True,
    profile="stt-dense",
    seconds=4.0,
)
#: Settings by name of the suite; the dtypes and the memory come on top.
SUITES: dict[str, BenchSettings] = {"gpu": _GPU}
DTYPES: tuple[Dtype, ...] = ("bfloat16", "float32")


def settings_of(suite: BenchSettings) -> dict[str, BenchSettings]:
    """The settings of a suite's benchmarks on this device, by dtype."""
    memory = device_bytes()
    limit = None if memory is None else round(_USED * memory / 2**30, 1)
    return {dtype: replace(suite, dtype=dtype, memory=limit) for dtype in DTYPES}


def plan(suite: BenchSettings) -> list[dict[str, Any]]:
    """What a suite will measure: a row per dtype, grid and contender.

    Returns:
        Dicts with `dtype`, `grid`, `mixer`, `batch` (0: left out) and `gib`, what a
        training step needs at most at that batch, or for a single example.
    """
    rows = []
    for dtype, settings in settings_of(suite).items():
        for grid, batch in settings.rounds:
            shape = (batch, *grid, settings.channels)
            floors = map(floor_of, settings.mixers)
            for name in dict.fromkeys([*floors, *settings.mixers]):
                heads = settings.num_heads
                fits = fitting_batch(name, shape, heads, dtype, settings.bytes)
                asked = (max(fits, 1), *shape[1:])
                needed = step_bytes(name, asked, heads, dtype)
                rows.append(
                    {
                        "dtype": dtype,
                        "grid": grid_text(grid),
                        "mixer": name,
                        "batch": fits,
                        "gib": needed / 2**30,
                    }
                )
    return rows


def run_suite(
    suite: BenchSettings,
    folder: Path,
    command: str = "",
    progress: bool = True,
    minutes: float = 8,
) -> list[dict[str, Any]]:
    """Runs the benchmarks of a suite, each into a folder of its own.

    Args:
        suite: A value of `SUITES`.
        folder: The output folder; `bfloat16` and `float32` inside are benchmarks.
        command: The command line, for the record.
        progress: Whether to show progress bars.
        minutes: No grid is begun that would not be finished by then, as the longest so
            far tells. The same command resumes.

    Returns:
        The results of each benchmark; of those that were not finished, what there is.
    """
    end = time.monotonic() + 60 * minutes
    found = []
    for dtype, settings in settings_of(suite).items():
        bench = Bench(settings, folder / dtype, command, progress)
        found.append(bench.run(end))
    if progress and not all(results["finished"] for results in found):
        print(
            f"Stopped after {minutes:g} minutes. Run the same command to go on.",
            file=sys.stderr,
        )
    return found
