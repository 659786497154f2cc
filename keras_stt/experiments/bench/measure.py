"""The measurements of one grid: all contenders side by side."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_stt.experiments.bench.compiled import (
    FORMS,
    Program,
    Step,
    compile_step,
    forward_program,
    training_program,
)
from keras_stt.experiments.bench.floor import FLOOR, FLOORS, floor_of, noise_tensors
from keras_stt.experiments.bench.layers import (
    CONTENDERS,
    HELD,
    build_layer,
    fast_growing_elements,
    fitting_batch,
    itemsize,
)
from keras_stt.experiments.bench.profile import largest_items
from keras_stt.experiments.bench.settings import BenchSettings
from keras_stt.experiments.bench.trial import available_bytes, try_step
from keras_stt.experiments.errors import first_line
from keras_stt.experiments.measures.device import accelerator
from keras_stt.experiments.measures.memory import peak_step_bytes
from keras_stt.experiments.measures.timing import interleaved
from keras_stt.typing import Tensor

Row = dict[str, Any]

#: What is timed of every contender.
KINDS = ("forward", "training")

#: Seconds that a contender has for a turn.
TURN = 0.02


def measure_grid(
    settings: BenchSettings, grid: tuple[int, int], batch: int, progress: bool = True
) -> list[Row]:
    """Measures the floors and all contenders on one grid.

    Args:
        settings: What is measured.
        grid: Rows and columns.
        batch: Examples per step.
        progress: Whether to show progress bars.

    Returns:
        One row for each floor and each mixer, in their order (see
        `keras_stt.experiments.bench.bench`).
    """
    from tqdm import tqdm

    names = dict.fromkeys([FLOOR, *map(floor_of, settings.mixers), *settings.mixers])
    rows = {name: _row(settings, name, (batch, *grid)) for name in names}

    @functools.cache
    def inputs(size: int) -> list[Tensor]:
        shape = (size, *grid, settings.channels)
        return [noise_tensors(settings.dtype, seed)(*shape) for seed in (0, 1)]

    steps: dict[str, dict[str, Step]] = {kind: {} for kind in KINDS}
    bar = tqdm(
        rows,
        desc=f"{grid[0]}×{grid[1]}: compiling",
        unit="layer",
        leave=False,
        disable=None if progress else True,
    )
    for name in bar:
        row = rows[name]
        if not row["error"]:
            for kind, step in _compiled(settings, row, inputs).items():
                steps[kind][name] = step
    for kind in KINDS:
        _time(kind, steps[kind], rows, settings.seconds, progress)
    for name, step in steps["training"].items():
        # A floor's results are all there at once, which those of a layer are not.
        if name not in FLOORS and rows[name]["error"] is None:
            planned = step.planned_bytes
            rows[name]["peak_bytes"] = planned or peak_step_bytes(step.run, repeats=3)
    if settings.profile in steps["training"] and grid == settings.profiled_grid:
        _profile(rows[settings.profile], steps["training"][settings.profile])
    return list(rows.values())


def _profile(row: Row, step: Step) -> None:
    """Writes the largest items of a step into its row, or why there are none."""
    if row["error"] is None:
        try:
            row["profile"] = largest_items(step.run)
        # Profilers need more of a machine than the step does.
        except Exception as error:
            row["profile"], row["profile_error"] = None, first_line(error)


def _row(settings: BenchSettings, name: str, size: tuple[int, int, int]) -> Row:
    """The row of a contender for `(B, H, W)`, before anything is measured."""
    _, *grid = size
    channels, heads, dtype = settings.channels, settings.num_heads, settings.dtype
    shape = (*size, channels)
    batch = fitting_batch(name, shape, heads, dtype, settings.bytes)
    count = (FLOORS | CONTENDERS)[name].multiply_adds
    of_kinds = {
        f"{kind}_{what}": None
        for kind in KINDS
        for what in ("ms", "quartiles_ms", "calls", "form")
    }
    return {
        "mixer": name,
        "grid": grid,
        "batch": batch,
        "dtype": dtype,
        **of_kinds,
        "peak_bytes": None,
        "multiply_adds": count((grid[0], grid[1]), channels, heads),
        "parameters": None,
        "failed_forms": {},
        "error": None
        if batch
        else f"needs more than the {settings.memory} GiB there are",
    }


def _compiled(
    settings: BenchSettings, row: Row, inputs: Callable[[int], Sequence[Tensor]]
) -> dict[str, Step]:
    """Forward and training step of a contender in their fastest forms.

    `inputs` gives input and gradient for a batch. The row records what failed.
    """
    forms = settings.forms or [
        form for form in FORMS[keras.backend.backend()] if form != "eager"
    ]
    found = {}
    try:
        tensors = inputs(row["batch"])
        for kind, program in _programs(settings, row, tensors).items():
            step = found[kind] = _fastest(program, forms, row["failed_forms"])
            row[f"{kind}_form"] = step.form
    # Whatever goes wrong with one layer, the others shall be measured.
    except Exception as error:
        row["error"] = first_line(error)
    return found


def _programs(
    settings: BenchSettings, row: Row, tensors: Sequence[Tensor]
) -> dict[str, Program]:
    name, batch, grid = row["mixer"], row["batch"], tuple(row["grid"])
    heads, dtype = settings.num_heads, settings.dtype
    if name in FLOORS:
        row["parameters"] = 0
        programs = FLOORS[name].programs(grid, settings.channels, heads, batch, dtype)
        return dict(zip(KINDS, programs, strict=True))
    shape = tuple(tensors[0].shape)
    _check_memory(name, shape, heads, dtype)
    layer = build_layer(name, shape, heads, dtype)
    row["parameters"] = layer.count_params()
    return {
        "forward": forward_program(layer, tensors[0]),
        "training": training_program(layer, *tensors),
    }


def _check_memory(
    name: str, shape: tuple[int, ...], num_heads: int, dtype: str
) -> None:
    """Tries a contender in a process of its own first, where memory may not do.

    Linux grants more memory than there is and kills the process that uses it, and with
    it all that was measured. On a GPU an allocator says no.
    """
    available = available_bytes()
    if available is None or accelerator():
        return
    batch, *grid, _ = shape
    elements = fast_growing_elements(name, (grid[0], grid[1]), num_heads, batch)
    if HELD * itemsize(dtype) * elements > available:
        try_step(name, shape, num_heads, dtype, available)


def _fastest(program: Program, forms: Sequence[str], failed: dict[str, str]) -> Step:
    """The step in the fastest of some forms, by its best of five calls.

    Args:
        program: What to compile.
        forms: The forms to try.
        failed: Gets the first line of the error of each form that fails.
    """
    found: list[Step] = []
    errors: list[Exception] = []
    for form in forms:
        try:
            found.append(compile_step(program, form))
        # The machine or the layer may lack a form: the others count.
        except Exception as error:
            errors.append(error)
            failed.setdefault(form, first_line(error))
    if not found:
        raise errors[0]
    return found[0] if len(found) == 1 else min(found, key=_best_seconds)


def _best_seconds(step: Step) -> float:
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        step.run()
        best = min(best, time.perf_counter() - start)
        if best > 1:
            break
    return best


def _time(
    kind: str,
    steps: dict[str, Step],
    rows: dict[str, Row],
    seconds: float,
    progress: bool,
) -> None:
    """Times the steps of one kind in turns, and writes into the rows what came out."""

    def guarded(row: Row, run: Callable[[], object]) -> Callable[[], None]:
        """A step that drops out, and not all others with it, when it fails."""

        def step() -> None:
            if row["error"] is None:
                try:
                    run()
                except Exception as error:
                    row["error"] = first_line(error)

        return step

    # Also where training failed, forward is timed.
    failed = {name: rows[name]["error"] for name in steps}
    for name in steps:
        rows[name]["error"] = None
    times = interleaved(
        {name: guarded(rows[name], step.run) for name, step in steps.items()},
        rounds=10_000,
        warmup=1,
        seconds=seconds,
        least=3,
        turn=TURN,
        progress=progress,
    )
    for name, found in times.items():
        row = rows[name]
        if row["error"] is None:
            row[f"{kind}_ms"] = statistics.median(found)
            quartiles = np.percentile(found, [25, 75])
            row[f"{kind}_quartiles_ms"] = [float(q) for q in quartiles]
            row[f"{kind}_calls"] = len(found)
        row["error"] = row["error"] or failed[name]
