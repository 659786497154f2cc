"""The command `keras-stt bench`."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from pathlib import Path
from typing import Any

import keras

from keras_stt.cli.command import (
    BACKENDS,
    carried_out,
    check_installed,
    recorded,
    settings_of,
    start_anew,
)
from keras_stt.cli.parser import Help, grid_shape
from keras_stt.experiments.bench.compiled import FORMS
from keras_stt.experiments.bench.settings import DTYPES, BenchSettings
from keras_stt.mixers import MIXERS

#: What the command needs besides Keras.
BENCH_PACKAGES = ("matplotlib", "PIL", "tqdm")


def add_bench(commands: Any) -> None:
    """Adds the command to those of `keras-stt`."""
    parser = commands.add_parser(
        "bench",
        help="time single layers",
        description="Times one layer of each kind, forward and in training, compiled, "
        "beside the bare matrix products of STT (the floor), and writes a table, "
        "results.json and pictures. Stopped at any moment, the same command goes on "
        "with the next grid.",
        formatter_class=Help,
    )
    add = parser.add_argument
    add(
        "--grid",
        nargs="+",
        type=grid_shape,
        metavar="ROWSxCOLUMNS",
        dest="grids",
        help="one or several; of several, slopes are fitted (default: 32x32)",
    )
    add("--channels", type=int, help="channels")
    add("--heads", type=int, help="heads", dest="num_heads")
    add(
        "--batch",
        nargs="+",
        type=int,
        metavar="N",
        dest="batches",
        help="examples per step: for all grids, or for each",
    )
    add("--dtype", choices=DTYPES, help="what is computed in")
    add(
        "--mixers",
        nargs="+",
        metavar="MIXER",
        help=f"among {', '.join(MIXERS)}; all by default",
    )
    add(
        "--forms",
        nargs="+",
        metavar="FORM",
        choices=sorted({form for forms in FORMS.values() for form in forms}),
        help="how layers are compiled, of which the fastest counts: graph, xla "
        "(TensorFlow), xla (JAX), inductor, traced, eager (PyTorch); all but eager by "
        "default",
    )
    add("--seconds", type=float, help="time for each grid, forward and training")
    add("--output", type=Path, metavar="DIR", help="default: runs/bench-BACKEND")
    add("--backend", choices=BACKENDS, help="default: Keras's, by KERAS_BACKEND")
    add("--quiet", action="store_true", help="no progress")
    fields = dataclasses.fields(BenchSettings)
    defaults: dict[str, Any] = {field.name: field.default for field in fields}
    parser.set_defaults(
        command=_bench, settings=BenchSettings, spelled=parser.spelled, **defaults
    )


def _bench(options: argparse.Namespace, arguments: list[str]) -> int:
    def run() -> str:
        check_installed(BENCH_PACKAGES, "compare")
        settings = settings_of(options)
        _keep_memory(arguments)
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        from keras_stt.experiments.bench.bench import Bench
        from keras_stt.experiments.bench.table import terminal_table

        bench = Bench(
            settings,
            options.output or Path("runs") / f"bench-{keras.backend.backend()}",
            command=recorded(arguments),
            progress=not options.quiet,
        )
        table = terminal_table(bench.run())
        return f"{table}\n\nFiles: {bench.folder}"

    return carried_out(run, options, arguments)


def _keep_memory(arguments: list[str]) -> None:
    """Starts the command anew with a C library that keeps the memory it has freed.

    Else glibc gives the larger tensors back to the kernel in every step, and the page
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
        start_anew(arguments)
