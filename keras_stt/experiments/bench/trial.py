"""One training step in a process of its own, which may run out of memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras

from keras_stt.experiments.measures.device import accelerator
from keras_stt.experiments.measures.memory import proc_bytes

#: What a training step that may need more memory than there is may take.
SECONDS = 120.0

_MEMORY = Path("/proc/meminfo")


def available_bytes() -> int | None:
    """Memory that can be had without swapping; None where the system can't tell."""
    try:
        return proc_bytes(_MEMORY, "MemAvailable")
    except (OSError, ValueError):
        return None


def device_bytes() -> int | None:
    """Memory of the accelerator, on a CPU what is available; None if not known."""
    if not accelerator():
        return available_bytes()
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if backend == "torch":
        import torch

        return int(torch.cuda.mem_get_info()[1])
    from tensorflow.python.client import device_lib

    limits = [
        device.memory_limit
        for device in device_lib.list_local_devices()
        if device.device_type == "GPU"
    ]
    return limits[0] if limits else None


def try_step(
    name: str, shape: tuple[int, ...], num_heads: int, dtype: str, limit: int
) -> None:
    """Runs one training step in a new process with limited memory.

    Args:
        name: Name of the mixer.
        shape: Shape of the input, `(B, H, W, C)`.
        num_heads: Number of heads.
        dtype: What is computed in.
        limit: Bytes that it may take on top of what the backend itself reserves.

    Raises:
        MemoryError: If the step does not fit, or its process takes more than `SECONDS`.
        RuntimeError: If it fails for another reason.
    """
    task = json.dumps([name, shape, num_heads, dtype, limit])
    try:
        done = subprocess.run(  # noqa: S603 - this very interpreter
            [sys.executable, "-m", __name__, task],
            capture_output=True,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise MemoryError(
            f"too large: one training step, with start and compilation, takes more "
            f"than {SECONDS:g} s"
        ) from None
    if not done.returncode:
        return
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    of_memory = [line[:160] for line in lines if _mentions_memory(line)]
    if not of_memory and done.returncode > 0:
        raise RuntimeError(lines[-1] if lines else f"status {done.returncode}")
    why = of_memory[-1] if of_memory else f"ended by signal {-done.returncode}"
    raise MemoryError(
        f"out of memory: a training step needs more than the {limit / 2**30:.1f} GiB "
        f"there are ({why})"
    )


def _mentions_memory(line: str) -> bool:
    """Whether a line of an error message is about memory."""
    words = ("memory", "alloc", "resource_exhausted", "exhausted")
    return any(word in line.lower() for word in words)


def main(task: str) -> None:
    """What the new process does."""
    import resource

    from keras_stt.experiments.bench.compiled import (
        FORMS,
        compile_step,
        training_program,
    )
    from keras_stt.experiments.bench.layers import build_layer

    name, shape, num_heads, dtype, limit = json.loads(task)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    allowed = pages * resource.getpagesize() + limit
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    layer = build_layer(name, tuple(shape), num_heads, dtype)
    tensors = [keras.ops.ones(shape, dtype) for _ in range(2)]
    backend = keras.backend.backend()
    # The form that takes no time to compile.
    form = "eager" if backend == "torch" else FORMS[backend][0]
    compile_step(training_program(layer, *tensors), form)


if __name__ == "__main__":
    main(sys.argv[1])
