"""Peak memory of one step: a branch per backend that has an allocator of its own.

Where the backend keeps memory in a pool (on a GPU, and TensorFlow with oneDNN on a
CPU), its allocator knows the peak. Else, under Linux, the kernel keeps the peak of the
process's resident memory, which can be reset. Elsewhere nothing is known.
"""

import ctypes
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

Measure = Callable[[Callable[[], object]], int | None]

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
# Of <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_GREATEST_INT = 2**31 - 1


def peak_step_bytes(step: Callable[[], object], *, repeats: int = 5) -> int | None:
    """Memory that a warm step needs at its peak, above what was resident before it.

    Weights, optimizer state and the batch are resident already, so they don't count;
    activations, gradients and temporary results do. On a CPU the number has the
    grain of pages and of the allocator, some hundred kB.

    Args:
        step: The step. It must wait for its own result. It is called once before
            the measurement, so that compilation does not count.
        repeats: Number of measurements, of which the median counts.

    Returns:
        The median in bytes, or None where the platform can't tell.
    """
    measure = _measure()
    if measure is None:
        return None
    with _eagerly_returned_memory():
        step()
        gc.collect()
        peaks = [peak for _ in range(repeats) if (peak := measure(step)) is not None]
    return int(statistics.median(peaks)) if peaks else None


def _measure() -> Measure | None:
    """The way to measure on the device that this backend computes on."""
    return _allocator_measure() or (_resident_peak if _kernel_keeps_peak() else None)


def _allocator_measure() -> Measure | None:
    """The way to ask the backend's own allocator, if it keeps statistics."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow_measure()
    if backend == "jax":
        import jax

        stats = jax.local_devices()[0].memory_stats() or {}
        return _jax_peak if "peak_bytes_in_use" in stats else None
    if backend == "torch":
        import torch

        return _torch_peak if torch.cuda.is_available() else None
    return None


def _tensorflow_measure() -> Measure | None:
    import tensorflow as tf

    memory = tf.config.experimental
    devices = tf.config.list_logical_devices("GPU")
    devices += tf.config.list_logical_devices("CPU")
    device = devices[0].name
    try:
        memory.get_memory_info(device)
    except ValueError:  # No statistics: the allocator is malloc.
        return None

    def peak(step: Callable[[], object]) -> int:
        memory.reset_memory_stats(device)
        before = memory.get_memory_info(device)["current"]
        step()
        return int(memory.get_memory_info(device)["peak"] - before)

    return peak


def _jax_peak(step: Callable[[], object]) -> int | None:
    import jax

    device = jax.local_devices()[0]
    # JAX keeps the peak of the whole process and can't reset it. With as much memory
    # in use as that peak, whatever the step needs on top raises it.
    stats, ballast = device.memory_stats(), None
    missing = stats["peak_bytes_in_use"] - stats["bytes_in_use"]
    if missing > 0:
        try:
            ballast = jax.numpy.zeros(missing, "uint8", device=device)
            ballast.block_until_ready()
        except RuntimeError:  # Out of memory.
            return None
        stats = device.memory_stats()
    before = stats["bytes_in_use"]
    step()
    peak = int(device.memory_stats()["peak_bytes_in_use"] - before)
    del ballast
    return peak


def _torch_peak(step: Callable[[], object]) -> int:
    import torch

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)


def _kernel_keeps_peak() -> bool:
    """Whether the kernel reports and resets the peak of the resident memory."""
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
        return "VmHWM:" in _STATUS.read_text()
    except OSError:
        return False


def _resident_peak(step: Callable[[], object]) -> int:
    _settle()
    _CLEAR_REFS.write_text(_RESET_PEAK)
    before = proc_bytes(_STATUS, "VmRSS")
    step()
    return max(0, proc_bytes(_STATUS, "VmHWM") - before)


def _settle(quiet: float = 0.05, limit: float = 1.0) -> None:
    """Waits until the process has given back what it is about to give back.

    A result can be there before what it was computed from is gone: the thread that
    runs a step on JAX announces the result first and then drops the step's buffers, 1
    to 2 ms later, or 20 ms later where other processes want the core. What is still
    resident then counts as there before the next step, which seems to need nothing.

    Args:
        quiet: Seconds without a fall that are enough; more than a thread waits for its
            turn on a busy machine.
        limit: Seconds to wait at most, for a process that never is quiet.
    """
    trim = _libc_function("malloc_trim")
    start = fell = time.monotonic()
    lowest = None
    while (now := time.monotonic()) < min(fell + quiet, start + limit):
        if trim is not None:
            trim(0)
        resident = proc_bytes(_STATUS, "VmRSS")
        if lowest is None or resident < lowest:
            lowest, fell = resident, now
        time.sleep(quiet / 10)


@contextmanager
def _eagerly_returned_memory() -> Iterator[None]:
    """Has glibc give freed memory back to the kernel.

    Freed memory that stays resident is used again by the next step and not seen. With
    time glibc keeps up to 64 MiB for every thread, which `malloc_trim` doesn't touch.
    """
    mallopt = _libc_function("mallopt")
    if mallopt is None:
        yield
        return
    mallopt(_M_MMAP_THRESHOLD, 128 * 1024)
    mallopt(_M_TRIM_THRESHOLD, 128 * 1024)
    try:
        yield
    finally:
        # What the process was started with, else where glibc's own adjustment ends up:
        # fast again.
        mallopt(_M_MMAP_THRESHOLD, _threshold("MALLOC_MMAP_THRESHOLD_", 32 * 1024**2))
        mallopt(_M_TRIM_THRESHOLD, _threshold("MALLOC_TRIM_THRESHOLD_", 64 * 1024**2))


def _threshold(name: str, default: int) -> int:
    """A threshold of glibc from the environment, as `mallopt` takes it: a C int."""
    text = os.environ.get(name, "")
    return min(int(text), _GREATEST_INT) if text.isdecimal() else default


def _libc_function(name: str) -> Callable[..., int] | None:
    """A function of glibc; None with another C library."""
    try:
        return getattr(ctypes.CDLL("libc.so.6"), name, None)
    except OSError:
        return None


def proc_bytes(file: Path, key: str) -> int:
    """An entry of a file in /proc, which is in units of 1,024 bytes."""
    for line in file.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return 1024 * int(value.split()[0])
    raise ValueError(f"{file} must have an entry '{key}'. Received: none")
