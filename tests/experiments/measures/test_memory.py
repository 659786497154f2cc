"""Peak memory of steps that are known to need some.

The steps are repeated and give memory back to the kernel in between, which takes a
second for the larger ones.
"""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.measures import memory
from keras_stt.experiments.measures.memory import peak_step_bytes
from keras_stt.experiments.measures.timing import inference_step

MIB = 2**20

needs_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads the kernel's own files"
)


def quietest_peak(step):
    """The least of three: whatever else this process does at that moment adds to it."""
    return min(peak_step_bytes(step) for _ in range(3))


def is_about(peak, mib):
    """A little less where pages are shared; some MiB more while other threads work."""
    return mib - 4 <= peak / MIB <= mib + 10


@pytest.fixture
def without_allocator(monkeypatch):
    """As if the backend's allocator kept no statistics: NumPy's are not in them."""
    monkeypatch.setattr(memory, "_allocator_measure", lambda: None)


@needs_linux
@pytest.mark.usefixtures("without_allocator")
@pytest.mark.parametrize("size", [8, 20, 50])
@pytest.mark.parametrize("thread", [False, True])
def test_known_allocation(size, thread):
    """Of a small size first: glibc then keeps what is freed, thread by thread."""
    with ThreadPoolExecutor(1) as pool:

        def step():
            made = pool.submit(allocate) if thread else None
            return made.result() if made else allocate()

        def allocate():
            return int(np.ones(size * MIB, np.uint8)[-1])

        for _ in range(3):
            step()
        assert is_about(quietest_peak(step), size)


@needs_linux
@pytest.mark.usefixtures("without_allocator")
def test_only_what_comes_on_top_counts():
    """Not what is there already, and not the sum of what comes one after the other."""
    kept = [np.ones(100 * MIB, np.uint8)]

    def step():
        first = np.ones(60 * MIB, np.uint8)
        del first
        second = np.ones(40 * MIB, np.uint8)
        kept[0][:] = second[0]

    assert is_about(quietest_peak(step), 60)


@needs_linux
@pytest.mark.usefixtures("without_allocator")
def test_what_goes_after_the_result_is_not_there_before_the_next_step():
    with ThreadPoolExecutor(1) as pool:

        def step():
            ready = threading.Event()
            pool.submit(allocate, ready)
            ready.wait()

        def allocate(ready):
            made = np.ones(20 * MIB, np.uint8)
            ready.set()
            time.sleep(0.01)
            del made

        assert is_about(peak_step_bytes(step), 20)


@needs_linux
@pytest.mark.usefixtures("without_allocator")
def test_holes_between_live_memory_count():
    """What is freed between small things that live on does not go back by itself."""

    def some():
        return np.ones(100_000, np.uint8)

    kept = []
    holes = [(some(), kept.append(np.ones(5_000, np.uint8)))[0] for _ in range(100)]
    del holes
    peak = quietest_peak(lambda: sum(int(x[0]) for x in [some() for _ in range(100)]))
    # 10 MB, and what glibc's arenas and the kernel's counters add: some of it anywhere.
    assert 9_000_000 <= peak <= 20_000_000


@needs_linux
@pytest.mark.usefixtures("without_allocator")
@pytest.mark.parametrize(
    ("repeats", "sizes"), [(1, [200, 5]), (5, [200, 5, 5, 100, 5, 5])]
)
def test_the_first_call_and_outliers_do_not_count(repeats, sizes):
    left = iter(sizes)
    peak = peak_step_bytes(
        lambda: np.ones(next(left) * MIB, np.uint8)[-1], repeats=repeats
    )
    assert peak / MIB == pytest.approx(5, abs=4)
    assert next(left, None) is None


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


def test_unknown_where_the_kernel_does_not_tell(
    without_allocator, monkeypatch, tmp_path
):
    monkeypatch.setattr(memory, "_CLEAR_REFS", tmp_path / "no" / "such")
    assert peak_step_bytes(lambda: pytest.fail("must not run")) is None


@needs_linux
def test_backend_allocation():
    """An array of the backend itself, whoever counts."""
    size = 24 * MIB // 4

    def step():
        return float(keras.ops.ones((size,), "float32")[-1])

    assert 23 <= peak_step_bytes(step) / MIB <= 52


@needs_linux
@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="fuses attention, and keeps no scores"
)
def test_attention_needs_its_scores():
    heads, positions, batch = 2, 512, 4

    def build(attention):
        inputs = keras.Input((32, 16, 8))
        x = keras.layers.Reshape((positions, 8))(inputs)
        if attention:
            x = keras.layers.MultiHeadAttention(heads, 4)(x, x)
        return keras.Model(inputs, keras.layers.Dense(8)(x))

    data = Images(np.zeros((batch, 32, 16, 8), np.uint8), np.zeros(batch, np.int32))
    scores = 4 * batch * heads * positions**2
    with_scores = peak_step_bytes(inference_step(build(True), data))
    without = peak_step_bytes(inference_step(build(False), data))
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
