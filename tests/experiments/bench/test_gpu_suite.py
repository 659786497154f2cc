"""The suite for a device: what it plans, how it ends in time, and what it adds."""

import dataclasses
import importlib.util
import time

import keras
import numpy as np
import pytest

from keras_stt.experiments.bench import bench as bench_module
from keras_stt.experiments.bench import layers as layers_module
from keras_stt.experiments.bench import measure
from keras_stt.experiments.bench import suite as suite_module
from keras_stt.experiments.bench.bench import Bench
from keras_stt.experiments.bench.layers import (
    CONTENDERS,
    build_layer,
    fitting_batch,
    step_bytes,
)
from keras_stt.experiments.bench.limits import least_ms
from keras_stt.experiments.bench.profile import totals_of
from keras_stt.experiments.bench.settings import BenchSettings
from keras_stt.experiments.bench.suite import SUITES, plan, run_suite
from keras_stt.experiments.bench.table import markdown_table

FORM = {"jax": "xla", "tensorflow": "graph", "torch": "traced"}[keras.backend.backend()]
TOY = dataclasses.replace(
    SUITES["gpu"],
    grids=((2, 3), (4, 3)),
    channels=8,
    num_heads=2,
    batches=(4,),
    mixers=("stt-dense", "stt-depthwise", "mha-unfused"),
    forms=(FORM,),
    seconds=0.01,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A toy suite: what it returned, and its folder."""
    folder = tmp_path_factory.mktemp("suite")
    return run_suite(TOY, folder, "keras-stt bench --suite gpu", progress=False), folder


def test_two_dtypes_beside_the_limits_of_the_device(finished):
    found, folder = finished
    assert [results["settings"]["dtype"] for results in found] == [
        "bfloat16",
        "float32",
    ]
    for results in found:
        assert results["finished"]
        assert [row["error"] for row in results["rows"]] == [None] * 2 * 5
        assert min(results["limits"].values()) > 0
        profiles = {
            (row["mixer"], *row["grid"]): row["profile"]
            for row in results["rows"]
            if "profile" in row
        }
        assert set(profiles) == {("stt-dense", 4, 3)}
        if keras.backend.backend() != "tensorflow":
            ms = [item["ms"] for item in profiles["stt-dense", 4, 3]]
            assert ms
            assert ms == sorted(ms, reverse=True)
            assert ms[-1] > 0
        table = (folder / results["settings"]["dtype"] / "table.md").read_text()
        assert table.count("× limit") == 4


def test_what_fits_into_the_memory():
    # 2·16 positions, 4 heads, float16: 16 tensors of the input, 6 of the scores.
    shape = (8, 2, 16, 12)
    scores, inputs = 4 * 32 * 32, 32 * 12
    assert step_bytes("mha", shape, 4, "float16") == 2 * 8 * (6 * scores + 16 * inputs)
    assert step_bytes("stt-dense", shape, 4, "float32") == 4 * 8 * 16 * inputs
    one = 2 * (6 * scores + 16 * inputs)
    for memory, batch in ((None, 8), (8 * one, 8), (8 * one - 1, 4), (one, 1), (9, 0)):
        assert fitting_batch("mha", shape, 4, "float16", memory) == batch


@pytest.mark.parametrize("kind", ["gpu", "tpu"])
def test_fused_attention_needs_no_memory_for_scores(monkeypatch, kind):
    monkeypatch.setattr(layers_module, "accelerator", lambda: {"kind": kind})
    shape, inputs = (1, 8, 8, 4), 16 * 256
    fused = {
        ("jax", "bfloat16"),
        ("torch", "bfloat16"),
        ("torch", "float32"),
    }
    for dtype, size in (("bfloat16", 2), ("float32", 4)):
        expected = kind == "gpu" and (keras.backend.backend(), dtype) in fused
        for name in ("mha", "axial-mha"):
            assert (step_bytes(name, shape, 2, dtype) == size * inputs) is expected
        assert step_bytes("mha-unfused", shape, 2, dtype) > size * inputs


def test_no_tensor_has_more_elements_than_32_bits_count():
    # Two terms of 64 examples would have 2³¹ elements.
    shape = (64, 256, 256, 256)
    assert fitting_batch("none", shape, 8, "bfloat16", 1e15) == 32
    assert fitting_batch("none", shape, 8, "bfloat16", None) == 64


def test_the_plan_names_smaller_batches(monkeypatch):
    monkeypatch.setattr(suite_module, "device_bytes", lambda: 2**30)
    rows = {(r["dtype"], r["grid"], r["mixer"]): r for r in plan(SUITES["gpu"])}
    assert len(rows) == 2 * 5 * 12
    row = rows["float32", "14x14", "mha-unfused"]
    # 0.45 GiB for 6 matrices of 196² in 8 heads and 16 tensors of 196 × 256.
    one = 4 * (6 * 8 * 196**2 + 16 * 196 * 256)
    limit = round(0.45, 1) * 2**30
    assert row["batch"] == max(b for b in (1, 2, 4, 8, 16, 32, 64) if b * one < limit)
    assert row["gib"] == pytest.approx(row["batch"] * one / 2**30)
    row = rows["float32", "256x256", "mha-unfused"]
    assert row["batch"] == 0
    assert row["gib"] > 100


def test_no_grid_is_begun_that_would_end_too_late(tmp_path, capsys, monkeypatch):
    now, memory = [0.0], [2.0**34]
    begun = []

    def measure(settings, grid, batch, progress):
        """A grid takes three minutes."""
        begun.append((settings.dtype, grid))
        now[0] += 180
        return [{"grid": list(grid)}]

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(bench_module, "measure_grid", measure)
    monkeypatch.setattr(suite_module, "device_bytes", lambda: memory[0])
    monkeypatch.setattr(bench_module, "measure_limits", lambda dtype: {})
    monkeypatch.setattr(
        "keras_stt.experiments.bench.table.markdown_table", lambda results: ""
    )
    monkeypatch.setattr(
        "keras_stt.experiments.bench.figures.write_figures", lambda *args: None
    )
    found = run_suite(TOY, tmp_path, progress=False, minutes=10)
    # A fourth one would end after twelve minutes.
    assert begun == [
        *(("bfloat16", grid) for grid in TOY.grids),
        ("float32", TOY.grids[0]),
    ]
    assert [results["finished"] for results in found] == [True, False]
    assert "Run the same command" in capsys.readouterr().err
    # Less memory is available now; what is there is resumed all the same.
    memory[0] = 2.0**33
    found = run_suite(TOY, tmp_path, progress=False, minutes=10)
    assert begun[3:] == [("float32", TOY.grids[1])]
    assert [results["finished"] for results in found] == [True, True]


def test_a_profiler_that_fails_costs_the_profile_alone(tmp_path, monkeypatch):
    def largest_items(run):
        raise RuntimeError("no permission to count\nmore")

    monkeypatch.setattr(measure, "largest_items", largest_items)
    settings = dataclasses.replace(TOY, grids=((2, 2),), limits=False)
    results = Bench(settings, tmp_path, progress=False).run()
    (row,) = (row for row in results["rows"] if "profile" in row)
    assert (row["mixer"], row["profile"], row["error"]) == ("stt-dense", None, None)
    assert row["training_ms"] > 0
    assert "stt-dense at 2×2: no profile: no permission to count." in markdown_table(
        results
    )


def test_inputs_that_do_not_fit_are_errors_of_their_rows(tmp_path, monkeypatch):
    def noise_tensors(dtype, seed=0):
        raise MemoryError("out of memory")

    monkeypatch.setattr(measure, "noise_tensors", noise_tensors)
    settings = dataclasses.replace(TOY, grids=((2, 2),), limits=False, profile=None)
    rows = Bench(settings, tmp_path, progress=False).run()["rows"]
    assert {row["error"] for row in rows} == {"out of memory"}


def test_kernels_of_a_gpu_are_those_on_its_streams():
    events = [
        {
            "ph": "M",
            "name": "thread_name",
            "pid": 1,
            "tid": 7,
            "args": {"name": "Stream #7"},
        },
        {
            "ph": "M",
            "name": "thread_name",
            "pid": 1,
            "tid": 8,
            "args": {"name": "XLA Ops"},
        },
        {"ph": "X", "name": "gemm", "pid": 1, "tid": 7, "dur": 3.0},
        {"ph": "X", "name": "gemm", "pid": 1, "tid": 7, "dur": 2.0},
        {
            "ph": "X",
            "name": "fusion",
            "pid": 1,
            "tid": 8,
            "dur": 5.0,
            "args": {"hlo_op": "f"},
        },
        {"ph": "X", "name": "host", "pid": 2, "tid": 7, "dur": 9.0},
    ]
    assert totals_of(events) == {"gemm": 5.0}
    # Without a stream: what says which of XLA's operations it is.
    assert totals_of(events[1:]) == {"fusion": 5.0}


def test_pictures_can_wait(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    settings = BenchSettings(
        grids=((2, 2),), channels=4, mixers=("pooling",), forms=(FORM,), seconds=0.01
    )
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.util,
            "find_spec",
            lambda name: None if name == "matplotlib" else find(name),
        )
        Bench(settings, tmp_path, progress=False).run()
    assert (tmp_path / "table.md").exists()
    assert not list(tmp_path.glob("*.png"))
    Bench(settings, tmp_path, progress=False).run()
    assert (tmp_path / "time.png").exists()


def test_a_layer_with_a_smaller_batch(tmp_path):
    # Two examples of `mha-unfused` fit, four of the others.
    memory = step_bytes("mha-unfused", (2, 6, 6, 8), 2, "float32") / 2**30
    settings = BenchSettings(
        grids=((6, 6),),
        channels=8,
        num_heads=2,
        batches=(4,),
        mixers=("stt-dense", "mha-unfused"),
        forms=(FORM,),
        seconds=0.01,
        memory=memory,
    )
    results = Bench(settings, tmp_path, progress=False).run()
    batches = {row["mixer"]: row["batch"] for row in results["rows"]}
    assert batches == {"floor": 4, "stt-dense": 4, "mha-unfused": 2}
    times = {"floor": 3.0, "stt-dense": 6.0, "mha-unfused": 6.0}
    for row in results["rows"]:
        row["training_ms"] = times[row["mixer"]]
    table = markdown_table(results)
    # Per example: 6 ms for two against 3 ms for four, and against 6 ms for four.
    (line,) = (line for line in table.splitlines() if "mha-unfused (batch 2)" in line)
    assert line.split("|")[5].strip() == "4.00"
    assert "stt-dense being 1: mha-unfused 2.00" in table


def test_a_layer_for_which_there_is_no_memory(tmp_path):
    settings = BenchSettings(
        grids=((8, 8),),
        channels=4,
        batches=(8,),
        mixers=("mha-unfused",),
        forms=(FORM,),
        seconds=0.01,
        memory=step_bytes("floor", (2, 8, 8, 4), 4, "float32") / 2**30,
    )
    results = Bench(settings, tmp_path, progress=False).run()
    floor, attention = results["rows"]
    assert (floor["batch"], floor["error"]) == (2, None)
    assert attention["batch"] == 0
    assert "GiB" in attention["error"]
    assert attention["training_ms"] is None
    assert "mha-unfused at 8×8: needs more than" in markdown_table(results)


def test_the_least_time():
    row = {"multiply_adds": 500, "batch": 2, "grid": [3, 4], "dtype": "bfloat16"}
    products = {"multiply_adds_per_second": 1e3, "bytes_per_second": 1e9}
    assert least_ms(row, "forward", 8, products) == pytest.approx(1e3 * 1000 / 1e3)
    assert least_ms(row, "training", 8, products) == pytest.approx(1e3 * 3000 / 1e3)
    moves = {"multiply_adds_per_second": 1e12, "bytes_per_second": 100.0}
    # 2 × 12 positions × 8 channels × 2 bytes, read and written.
    assert least_ms(row, "forward", 8, moves) == pytest.approx(1e3 * 2 * 384 / 100)
    assert least_ms(row, "training", 8, moves) == pytest.approx(1e3 * 4 * 384 / 100)


@pytest.mark.parametrize("enabled", [True, False])
def test_attention_without_flash(enabled):
    before = keras.config.is_flash_attention_enabled()
    try:
        if not enabled:
            keras.config.disable_flash_attention()
        layer = build_layer("mha-unfused", (1, 2, 3, 8), 2, "float32")
        assert layer.attention._flash_attention is False
        assert (keras.config.is_flash_attention_enabled() is False) is not enabled
    finally:
        if before is not False:
            keras.config.enable_flash_attention()
    fused = build_layer("mha", (1, 2, 3, 8), 2, "float32")
    fused.set_weights(layer.get_weights())
    inputs = np.random.default_rng(0).normal(size=(1, 2, 3, 8)).astype("float32")
    first, second = (
        keras.ops.convert_to_numpy(each(inputs)) for each in (layer, fused)
    )
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
    assert set(CONTENDERS) >= {"mha", "mha-unfused", "stt-dense"}
