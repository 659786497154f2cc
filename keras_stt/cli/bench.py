"""The command `keras-stt bench`."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import keras
from cyclopts import Parameter

from keras_stt.cli.command import (
    Arguments,
    RunOptions,
    check_backend,
    check_installed,
    recorded,
    restart,
)
from keras_stt.experiments.bench.settings import BenchSettings
from keras_stt.experiments.errors import UserError
from keras_stt.experiments.files import claimed

#: What the command needs in addition to Keras; pictures need Matplotlib, too.
BENCH_PACKAGES = ("filelock", "tabulate", "tqdm")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SuiteOptions:
    """A benchmark with settings of its own.

    Attributes:
        suite: Predefined settings for a kind of device. gpu: 14×14 to 256×256
            positions, 256 channels, 8 heads, batches of 64 where the memory allows it,
            in bfloat16 and float32, compared with the limits of the device. It stops
            after 8 minutes; run the command again to resume.
        dry_run: Show what the suite will measure and the memory that it needs.
    """

    suite: Literal["gpu"] | None = None
    dry_run: Annotated[bool, Parameter(negative=(), show_default=False)] = False

    def __post_init__(self) -> None:
        if self.dry_run and self.suite is None:
            raise UserError("`dry_run` needs a suite. Received: no --suite")


def bench(
    *,
    settings: BenchSettings = BenchSettings(),
    options: RunOptions = RunOptions(),
    suite: SuiteOptions = SuiteOptions(),
    arguments: Arguments,
) -> None:
    """Time single layers.

    Times one layer of each kind, forward and in training, compiled, next to the bare
    matrix products of STT (the floor), and writes a table, results.json and pictures.
    If it is stopped, run the same command to resume it with the next grid.
    """
    check_backend(options.backend, arguments)
    check_installed(bench=BENCH_PACKAGES)
    if suite.suite:
        _check_alone(arguments)
    if suite.suite and suite.dry_run:
        print(_plan(suite.suite))
        return
    _keep_memory(arguments)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from keras_stt.experiments.bench.bench import Bench
    from keras_stt.experiments.bench.suite import SUITES, run_suite
    from keras_stt.experiments.bench.table import terminal_table

    backend, command = keras.backend.backend(), recorded(arguments)
    if suite.suite:
        folder = options.output or Path("runs") / f"bench-{suite.suite}-{backend}"
        with claimed(folder):
            found = run_suite(SUITES[suite.suite], folder, command, not options.quiet)
        print("\n\n".join(terminal_table(results) for results in found))
        print(f"\nFiles: {folder}")
        return
    name = f"bench-{backend}-{settings.label}"
    benchmark = Bench(
        settings,
        options.output or Path("runs") / name,
        command=command,
        progress=not options.quiet,
    )
    with claimed(benchmark.folder):
        results = benchmark.run()
    print(terminal_table(results))
    print(f"\nFiles: {benchmark.folder}")


def _check_alone(arguments: list[str]) -> None:
    """Raises a `UserError` for options that a suite sets itself."""
    known = ("--suite", "--dry-run", "--output", "--backend", "--quiet")
    given = [text.split("=")[0] for text in arguments if text.startswith("--")]
    others = [name for name in given if name not in known]
    if others:
        raise UserError(
            "`suite` has settings of its own, so others must be left out. "
            f"Received: {' '.join(others)}"
        )


def _plan(suite: str) -> str:
    """What a suite will measure, as a table."""
    from keras_stt.experiments.bench.suite import SUITES, plan
    from keras_stt.experiments.reports.table import plain_table

    rows = [
        [
            *(row["dtype"], row["grid"], row["mixer"]),
            str(row["batch"] or "left out"),
            f"{row['gib']:.2f}",
        ]
        for row in plan(SUITES[suite])
    ]
    return plain_table(("dtype", "grid", "mixer", "batch", "at most (GiB)"), rows)


def _keep_memory(arguments: list[str]) -> None:
    """Restarts the command with a C library that keeps the memory it has freed.

    Otherwise glibc returns the larger tensors to the kernel in every step, and the page
    faults that follow take longer than many a layer.
    """
    keep = {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "8000000000",
        "MALLOC_TRIM_THRESHOLD_": "16000000000",
    }
    missing = {name: keep[name] for name in keep if name not in os.environ}
    if missing and sys.platform.startswith("linux"):
        os.environ.update(missing)
        restart(arguments)
