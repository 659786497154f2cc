"""The measurements of one grid: all contenders side by side."""

from __future__ import annotations

import gc
import os
import statistics
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_stt.benchmark.compiled import (
    FORMS,
    Program,
    Step,
    compile_step,
    forward_program,
    training_program,
)
from keras_stt.benchmark.contenders import CONTENDERS, FLOOR
from keras_stt.benchmark.floor import floor_multiply_adds, floor_programs
from keras_stt.benchmark.settings import BenchSettings
from keras_stt.experiments.device import accelerator
from keras_stt.experiments.memory import peak_step_bytes
from keras_stt.experiments.timing import interleaved
from keras_stt.typing import Tensor

Row = dict[str, Any]

#: The programs of a contender by what they are: "forward" and "training".
Programs = dict[str, Program]

#: Seconds that a contender has for a turn.
TURN = 0.02

#: Tensors as large as the N×N scores that a training step of self-attention holds.
_HELD_SCORES = 3


def measure_grid(
    settings: BenchSettings, grid: tuple[int, int], batch: int, progress: bool = True
) -> list[Row]:
    """Measures the floor and all contenders on one grid.

    Args:
        settings: What is measured.
        grid: Rows and columns.
        batch: Examples per step.
        progress: Whether to show progress bars.

    Returns:
        One row for the floor and each mixer, in their order (see
        `keras_stt.benchmark.bench`).
    """
    from tqdm import tqdm

    rows: dict[str, Row] = {}
    steps: dict[str, dict[str, Step]] = {"forward": {}, "training": {}}
    names = tqdm(
        [FLOOR, *settings.mixers],
        desc=f"{grid[0]}×{grid[1]}: compiling",
        unit="layer",
        leave=False,
        disable=None if progress else True,
    )
    for name in names:
        rows[name] = _row(settings, name, grid, batch)
        try:
            compiled = _compiled(settings, name, grid, batch, rows[name])
        # Whatever goes wrong with one layer, the others shall be measured.
        except Exception as error:
            rows[name]["error"] = _first_line(error)
            continue
        for kind, step in compiled.items():
            steps[kind][name] = step
            rows[name][f"{kind}_form"] = step.form
    for kind, contenders in steps.items():
        times = interleaved(
            {name: step.run for name, step in contenders.items()},
            rounds=10_000,
            warmup=1,
            seconds=settings.seconds,
            least=3,
            turn=TURN,
            progress=progress,
        )
        for name, found in times.items():
            rows[name][f"{kind}_ms"] = statistics.median(found)
            rows[name][f"{kind}_quartiles_ms"] = _quartiles(found)
    for name, step in steps["training"].items():
        planned = step.planned_bytes
        rows[name]["peak_bytes"] = planned or peak_step_bytes(step.run, repeats=3)
    del steps
    keras.backend.clear_session()
    gc.collect()
    return list(rows.values())


def _row(settings: BenchSettings, name: str, grid: tuple[int, int], batch: int) -> Row:
    """The row of a contender, before anything is measured."""
    size = (grid, settings.channels, settings.num_heads)
    count = (
        floor_multiply_adds(*size[:2])
        if name == FLOOR
        else CONTENDERS[name].multiply_adds(*size)
    )
    return {
        "mixer": name,
        "grid": list(grid),
        "batch": batch,
        "dtype": settings.dtype,
        "forward_ms": None,
        "training_ms": None,
        "peak_bytes": None,
        "multiply_adds": count,
        "parameters": None,
        "error": None,
    }


def _compiled(
    settings: BenchSettings, name: str, grid: tuple[int, int], batch: int, row: Row
) -> dict[str, Step]:
    """Forward and training step of a contender, in its fastest forms."""
    if name == FLOOR:
        programs = _floor(settings, grid, batch)
        row["parameters"] = 0
    else:
        layer, inputs, gradient = contender(settings, name, grid, batch)
        row["parameters"] = layer.count_params()
        _check_memory(settings, name, grid, batch)
        programs = {
            "forward": forward_program(layer, inputs),
            "training": training_program(layer, inputs, gradient),
        }
    forms = settings.forms or [
        form for form in FORMS[keras.backend.backend()] if form != "eager"
    ]
    return {kind: _fastest(program, forms) for kind, program in programs.items()}


def _floor(settings: BenchSettings, grid: tuple[int, int], batch: int) -> Programs:
    forward, training = floor_programs(
        grid, settings.channels, settings.num_heads, batch, settings.dtype
    )
    return {"forward": forward, "training": training}


def contender(
    settings: BenchSettings, name: str, grid: tuple[int, int], batch: int
) -> tuple[keras.layers.Layer, Tensor, Tensor]:
    """A built layer, its input, and a gradient for its output.

    Args:
        settings: What is measured.
        name: Name of the mixer.
        grid: Rows and columns.
        batch: Examples per step.
    """
    shape = (batch, *grid, settings.channels)
    before = keras.config.dtype_policy()
    half = settings.dtype != "float32"
    keras.config.set_dtype_policy(f"mixed_{settings.dtype}" if half else "float32")
    try:
        keras.utils.set_random_seed(0)
        layer = CONTENDERS[name].build(settings.channels, settings.num_heads)
        layer.build(shape)
    finally:
        keras.config.set_dtype_policy(before)
    rng = np.random.default_rng(0)
    inputs, gradient = (
        ops.cast(
            ops.convert_to_tensor(rng.standard_normal(shape, dtype=np.float32)),
            settings.dtype,
        )
        for _ in range(2)
    )
    return layer, inputs, gradient


def _fastest(program: Program, forms: Any) -> Step:
    """The step in the fastest of some forms, by its best of three calls."""
    from time import perf_counter

    def seconds(step: Step) -> float:
        best = float("inf")
        for _ in range(3):
            start = perf_counter()
            step.run()
            best = min(best, perf_counter() - start)
            if best > 1:
                break
        return best

    found, errors = [], []
    for form in forms:
        try:
            found.append(compile_step(program, form))
        # A form that a layer or a machine does not have: the next one counts.
        except Exception as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found[0] if len(found) == 1 else min(found, key=seconds)


def _check_memory(
    settings: BenchSettings, name: str, grid: tuple[int, int], batch: int
) -> None:
    """Tries a contender in a process of its own first, where memory may not do.

    Linux grants more memory than there is and kills the process that uses it, and with
    it all that was measured. On a GPU an allocator says no.
    """
    from keras_stt.benchmark.trial import available_bytes, try_step

    available = available_bytes()
    if available is None or accelerator():
        return
    itemsize = 4 if settings.dtype == "float32" else 2
    heads = {"mha": settings.num_heads, "mha-axes": settings.num_heads}.get(name, 0)
    scores = batch * heads * (grid[0] * grid[1]) ** 2 * itemsize
    if _HELD_SCORES * scores > available:
        try_step(settings, name, grid, batch, available)


def _quartiles(times: list[float]) -> list[float]:
    return [float(q) for q in np.percentile(times, [25, 75])]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # Paths are this machine's.
    return lines[0].replace(os.path.expanduser("~"), "~")[:300]
