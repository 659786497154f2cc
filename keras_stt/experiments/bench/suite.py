"""Benchmarks with settings of their own: one command for a device that is at hand."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from keras_stt.experiments.bench.bench import Bench
from keras_stt.experiments.bench.floor import floor_of
from keras_stt.experiments.bench.layers import fitting_batch, step_bytes
from keras_stt.experiments.bench.settings import BenchSettings, Dtype
from keras_stt.experiments.bench.trial import device_bytes
from keras_stt.experiments.files import read_json
from keras_stt.experiments.options import grid_text

#: Share of the device's memory that a step may take, by its estimate. The inputs, and
#: what the floors need, are held beside it: about as much again.
_USED = 0.45

#: Settings by name of the suite; the dtypes and the memory come on top.
SUITES = {
    "gpu": BenchSettings(
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
}
DTYPES: tuple[Dtype, ...] = ("bfloat16", "float32")


def settings_of(
    suite: BenchSettings, folder: Path | None = None
) -> dict[str, BenchSettings]:
    """The settings of a suite's benchmarks on this device, by dtype.

    Args:
        suite: A value of `SUITES`.
        folder: The output folder. A benchmark that it holds keeps its memory, since
            what a computer has available changes from one minute to the next.
    """
    available = device_bytes()
    memory = None if available is None else round(_USED * available / 2**30, 1)
    # A step takes Inductor ten seconds and more to compile: minutes for each grid.
    forms = ("traced",) if keras.backend.backend() == "torch" else None
    found: dict[str, BenchSettings] = {}
    for dtype in DTYPES:
        record = folder and folder / dtype / "experiment.json"
        if record and record.exists():
            memory = read_json(record)["settings"]["memory"]
        found[dtype] = replace(
            suite, dtype=dtype, memory=memory, forms=suite.forms or forms
        )
    return found


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
        minutes: No grid is begun that would end later if it took as long as the
            longest so far. The same command resumes.

    Returns:
        The results of each benchmark; of those that were not finished, what there is.
    """
    end = time.monotonic() + 60 * minutes
    found, longest = [], 0.0
    for dtype, settings in settings_of(suite, folder).items():
        bench = Bench(settings, folder / dtype, command, progress)
        found.append(bench.run(end - longest))
        longest = max(longest, bench.longest)
    if not all(results["finished"] for results in found):
        print(
            f"Stopped after {minutes:g} minutes. Run the same command to go on.",
            file=sys.stderr,
        )
    return found
