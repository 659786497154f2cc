"""Peak memory of steps that are known to need some.

Each step runs in a process of its own, so that nothing else that the tests do counts.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from keras_stt.experiments.measures import memory
from keras_stt.experiments.measures.memory import peak_step_bytes

MIB = 2**20
STEPS = Path(__file__).with_name("memory_steps.py")

needs_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads the kernel's own files"
)


def measured(step, *arguments, backend="numpy"):
    """What a function of `memory_steps.py` measures in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(STEPS), step, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def is_about(peak, mib):
    """A little less where pages are shared; the allocator's own memory on top."""
    return mib - 4 <= peak / MIB <= mib + 10


@needs_linux
@pytest.mark.backend_free
@pytest.mark.parametrize("where", ["here", "in_a_thread"])
def test_known_allocations(where):
    """The small one first: glibc then keeps what is freed, thread by thread."""
    peaks = measured("allocations", where)
    assert [is_about(peak, size) for peak, size in peaks] == [True] * 3, peaks


@needs_linux
@pytest.mark.backend_free
def test_only_what_comes_on_top_counts():
    assert is_about(measured("two_after_each_other"), 60)


@needs_linux
@pytest.mark.backend_free
def test_what_goes_after_the_result_is_not_there_before_the_next_step():
    assert is_about(measured("freed_after_the_result"), 20)


@needs_linux
@pytest.mark.backend_free
def test_holes_between_live_memory_count():
    # 10 MB, and what glibc and the kernel's counters add: some of it anywhere.
    assert 9_000_000 <= measured("holes") <= 18_000_000


@needs_linux
@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("repeats", "sizes"), [(1, [200, 5]), (5, [200, 5, 5, 100, 5, 5])]
)
def test_the_first_call_and_outliers_do_not_count(repeats, sizes):
    peak, left = measured("of_sizes", repeats, *sizes)
    assert peak / MIB == pytest.approx(5, abs=4)
    assert left == 0


@pytest.mark.parametrize(
    ("mmap", "trim", "expected"),
    [
        (None, None, (32 * MIB, 64 * MIB)),
        ("65536", "0", (65536, 0)),
        ("4000000000", "8000000000", (2**31 - 1, 2**31 - 1)),
        ("", "much", (32 * MIB, 64 * MIB)),
    ],
)
def test_thresholds_of_malloc_come_back(mmap, trim, expected, monkeypatch):
    thresholds = {}

    def mallopt(parameter, value):
        thresholds[parameter] = value
        return 1

    monkeypatch.setattr(memory, "_libc_function", {"mallopt": mallopt}.get)
    for name, value in (("MMAP", mmap), ("TRIM", trim)):
        name = f"MALLOC_{name}_THRESHOLD_"
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with memory._eagerly_returned_memory():
        assert thresholds == {-3: 128 * 1024, -1: 128 * 1024}
    # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of <malloc.h>.
    assert (thresholds[-3], thresholds[-1]) == expected


def test_unknown_where_the_kernel_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_allocator_measure", lambda: None)
    monkeypatch.setattr(memory, "_CLEAR_REFS", tmp_path / "no" / "such")
    assert peak_step_bytes(lambda: pytest.fail("must not run")) is None


@needs_linux
def test_backend_allocation():
    """An array of the backend itself, whoever counts."""
    peak = measured("backend_array", backend=keras.backend.backend())
    assert 63 <= peak / MIB <= 92


@needs_linux
@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="fuses attention, and keeps no scores"
)
def test_attention_needs_its_scores():
    backend = keras.backend.backend()
    scores, with_scores, without = measured("attention_scores", backend=backend)
    assert scores < with_scores < 4 * scores
    assert without < scores / 4


class FakeDevice:
    """An allocator like that of JAX on a GPU, whose peak can't be reset."""

    def __init__(self, in_use, peak, limit):
        self.in_use, self.peak, self.limit = in_use, peak, limit

    def memory_stats(self):
        return {"bytes_in_use": self.in_use, "peak_bytes_in_use": self.peak}

    def allocate(self, size):
        size = -(-size // 256) * 256
        if self.in_use + size > self.limit:
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")
        self.in_use += size
        self.peak = max(self.peak, self.in_use)

    def step(self):
        before = self.in_use
        self.allocate(3000)
        self.in_use = before


@pytest.mark.parametrize(
    ("in_use", "limit", "expected"),
    [(1000, 10**6, 3072), (70_000, 10**6, 3072), (1000, 70_100, None)],
)
def test_peak_that_cannot_be_reset(in_use, limit, expected, monkeypatch):
    jax = pytest.importorskip("jax")
    device = FakeDevice(in_use, peak=70_000, limit=limit)

    class Ballast:
        def __init__(self, size, dtype, device):
            assert dtype == "uint8"
            self.device, before = device, device.in_use
            device.allocate(size)
            self.size = device.in_use - before

        def block_until_ready(self):
            return self

        def __del__(self):
            self.device.in_use -= getattr(self, "size", 0)

    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    monkeypatch.setattr(jax.numpy, "zeros", Ballast)
    for _ in range(2):
        assert memory._jax_peak(device.step) == expected
        assert device.in_use == in_use
