"""The command `keras-stt bench`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import keras

from keras_stt.cli.command import (
    Arguments,
    RunOptions,
    check_backend,
    check_installed,
    recorded,
    restart,
)
from keras_stt.experiments.bench.settings import BenchSettings
from keras_stt.experiments.files import claimed

#: What the command needs in addition to Keras.
BENCH_PACKAGES = ("filelock", "matplotlib", "PIL", "tabulate", "tqdm")


def bench(
    *,
    settings: BenchSettings = BenchSettings(),
    options: RunOptions = RunOptions(),
    arguments: Arguments,
) -> None:
    """Time single layers.

    Times one layer of each kind, forward and in training, compiled, next to the bare
    matrix products of STT (the floor), and writes a table, results.json and pictures.
    If it is stopped, run the same command to resume it with the next grid.
    """
    check_backend(options.backend, arguments)
    check_installed(compare=BENCH_PACKAGES)
    _keep_memory(arguments)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from keras_stt.experiments.bench.bench import Bench
    from keras_stt.experiments.bench.table import terminal_table

    name = f"bench-{keras.backend.backend()}-{settings.label}"
    benchmark = Bench(
        settings,
        options.output or Path("runs") / name,
        command=recorded(arguments),
        progress=not options.quiet,
    )
    with claimed(benchmark.folder):
        results = benchmark.run()
    print(terminal_table(results))
    print(f"\nFiles: {benchmark.folder}")


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
