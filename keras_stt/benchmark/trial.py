"""One training step in a process of its own, which may run out of memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keras_stt.benchmark.settings import BenchSettings

#: What a training step that may need more memory than there is may take.
SECONDS = 120.0

_MEMORY = Path("/proc/meminfo")


def available_bytes() -> int | None:
    """Memory that can be had without swapping; None where the system can't tell."""
    try:
        for line in _MEMORY.read_text().splitlines():
            key, _, value = line.partition(":")
            if key == "MemAvailable":
                return 1024 * int(value.split()[0])
    except OSError:
        pass
    return None


def try_step(
    settings: BenchSettings,
    name: str,
    grid: tuple[int, int],
    batch: int,
    limit: int,
) -> None:
    """Runs one training step in a new process with limited memory.

    Args:
        settings: What is measured.
        name: Name of the mixer.
        grid: Rows and columns.
        batch: Examples per step.
        limit: Bytes that it may take on top of what the backend itself reserves.

    Raises:
        MemoryError: If the step fails, with what the process said last, or takes more
            than `SECONDS`.
    """
    task = json.dumps(
        {"settings": asdict(settings), "name": name, "grid": grid, "batch": batch}
    )
    try:
        done = subprocess.run(  # noqa: S603 - this very interpreter
            [sys.executable, "-m", __name__, task, str(limit)],
            capture_output=True,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise MemoryError(
            f"too large: a training step takes more than {SECONDS:g} s"
        ) from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if _tells(line)]
        why = said[-1].strip() if said else f"ended by signal {-done.returncode}"
        raise MemoryError(
            f"out of memory: a training step needs more than the {limit / 2**30:.1f} "
            f"GiB there are ({why[:160]})"
        )


def _tells(line: str) -> bool:
    """Whether a line of an error is about memory."""
    words = ("memory", "alloc", "resource_exhausted", "exhausted")
    return any(word in line.lower() for word in words)


def main(task: str, limit: str) -> None:
    """What the new process does."""
    import resource

    import keras

    from keras_stt.benchmark.compiled import FORMS, compile_step, training_program
    from keras_stt.benchmark.measure import contender

    found = json.loads(task)
    options = {name: _tuples(value) for name, value in found["settings"].items()}
    settings = BenchSettings(**options)
    layer, inputs, gradient = contender(
        settings, found["name"], tuple(found["grid"]), found["batch"]
    )
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    allowed = pages * resource.getpagesize() + int(limit)
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    program = training_program(layer, inputs, gradient)
    backend = keras.backend.backend()
    # The one that takes no time to compile.
    compile_step(program, "eager" if backend == "torch" else FORMS[backend][0])


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


if __name__ == "__main__":
    main(*sys.argv[1:])
