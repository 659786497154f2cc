"""The benchmark as a whole: its files, and how it resumes."""

import dataclasses
import json

import keras
import pytest

from keras_stt.experiments.bench import bench as bench_module
from keras_stt.experiments.bench import measure
from keras_stt.experiments.bench.bench import Bench
from keras_stt.experiments.bench.compiled import compile_step, training_program
from keras_stt.experiments.bench.layers import (
    MIXERS,
    build_layer,
    fast_growing_elements,
)
from keras_stt.experiments.bench.settings import BenchSettings
from keras_stt.experiments.errors import UserError

FORM = {"jax": "xla", "tensorflow": "graph", "torch": "traced"}[keras.backend.backend()]
TINY = {"channels": 8, "batches": (2,), "seconds": 0.01, "forms": (FORM,)}
KEYS = {
    *("mixer", "grid", "batch", "dtype", "forward_ms", "training_ms", "peak_bytes"),
    *("multiply_adds", "parameters", "failed_forms", "error"),
    *("forward_form", "training_form"),
    *("forward_quartiles_ms", "training_quartiles_ms"),
    *("forward_calls", "training_calls"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small benchmark: what it returned, and its folder."""
    folder = tmp_path_factory.mktemp("bench")
    settings = BenchSettings(
        grids=((3, 4), (6, 5)), mixers=("stt-dense", "pooling"), **TINY
    )
    return Bench(settings, folder, "keras-stt bench", progress=False).run(), folder


def test_a_row_for_every_mixer_and_grid_and_for_the_floor(finished):
    results, folder = finished
    assert results == json.loads((folder / "results.json").read_text())
    assert results["finished"]
    assert [(row["mixer"], row["grid"]) for row in results["rows"]] == [
        (mixer, grid)
        for grid in ([3, 4], [6, 5])
        for mixer in ("floor", "stt-dense", "pooling")
    ]
    for row in results["rows"]:
        assert set(row) == KEYS
        assert row["error"] is None
        low, high = row["training_quartiles_ms"]
        assert 0 < low <= row["training_ms"] <= high
        assert row["forward_ms"] > 0
        assert row["training_form"] == FORM
        assert row["training_calls"] >= 3
    assert results["backend"] == keras.backend.backend()
    assert {"keras", "python", "numpy"} <= set(results["versions"])
    assert results["device"]["name"]
    assert results["settings"]["channels"] == 8


def test_what_is_counted(finished):
    _, dense, pooling = finished[0]["rows"][:3]
    # 12 positions, 8 channels: projections, mode products, and the synthesis with 32
    # hidden features of 4 heads.
    synthesis = sum(n * 8 * 32 + n * 32 * 4 * n for n in (3, 4))
    assert dense["multiply_adds"] == 2 * 12 * 64 + 12 * 8 * 7 + synthesis
    kernels = 2 * (64 + 8) + sum(8 * 32 + 32 + 33 * 4 * n for n in (3, 4))
    assert dense["parameters"] == kernels
    assert pooling["parameters"] == 0


def test_a_table_and_pictures(finished):
    _, folder = finished
    table = (folder / "table.md").read_text()
    for name in ("floor", "stt-dense", "pooling", "Grid 3×4, batch 2", "Grid 6×5"):
        assert name in table
    assert (folder / "time.png").read_bytes().startswith(b"\x89PNG")


def test_stopped_it_resumes_with_the_next_grid(tmp_path, monkeypatch):
    settings = BenchSettings(grids=((3, 4), (6, 5)), mixers=("pooling",), **TINY)
    measured = []

    def stopped(settings, grid, batch, progress):
        if len(measured) == 1:
            raise KeyboardInterrupt
        measured.append(grid)
        return measure.measure_grid(settings, grid, batch, progress)

    monkeypatch.setattr(bench_module, "measure_grid", stopped)
    with pytest.raises(KeyboardInterrupt):
        Bench(settings, tmp_path, progress=False).run()
    before = json.loads((tmp_path / "results.json").read_text())
    assert not before["finished"]
    monkeypatch.setattr(bench_module, "measure_grid", measure.measure_grid)
    after = Bench(settings, tmp_path, progress=False).run()
    assert measured == [(3, 4)]
    assert after["finished"]
    assert after["rows"][:2] == before["rows"]
    assert [row["grid"] for row in after["rows"]] == [[3, 4]] * 2 + [[6, 5]] * 2


def test_progress_names_every_grid(tmp_path, capsys):
    settings = BenchSettings(grids=((3, 4), (6, 5)), mixers=("pooling",), **TINY)
    Bench(settings, tmp_path).run()
    shown = capsys.readouterr().err
    assert "[1/2] 3×4: measured" in shown
    assert "[2/2] 6×5: measured" in shown


def test_another_benchmark_is_refused(tmp_path):
    Bench(BenchSettings(mixers=("pooling",), **TINY), tmp_path)
    # What differs, and nothing else.
    expected = r"--output.*here with mixers=\['none'\]\. .*with mixers=\['pooling'\]$"
    with pytest.raises(ValueError, match=expected):
        Bench(BenchSettings(mixers=("none",), **TINY), tmp_path)


def test_a_layer_that_fails_does_not_stop_the_others(tmp_path, monkeypatch):
    def failing(name, *_):
        if name == "mha":
            raise MemoryError("out of memory: said so")

    monkeypatch.setattr(measure, "_check_memory", failing)
    settings = BenchSettings(grids=((3, 4),), mixers=("mha", "none"), **TINY)
    results = Bench(settings, tmp_path, progress=False).run()
    _, mha, none = results["rows"]
    assert mha["error"] == "out of memory: said so"
    assert set(mha) == KEYS
    assert mha["training_ms"] is None
    assert mha["multiply_adds"] > 0
    assert none["error"] is None
    assert "mha at 3×4: out of memory: said so." in (tmp_path / "table.md").read_text()


def test_the_fastest_form_counts(monkeypatch):
    import time

    def compile_step(program, form):
        if form == "broken":
            raise RuntimeError("no compiler")
        seconds = {"slow": 0.02, "fast": 0.001}[form]
        return measure.Step(form, lambda: time.sleep(seconds))

    monkeypatch.setattr(measure, "compile_step", compile_step)
    failed = {}
    assert measure._fastest(None, ["slow", "broken", "fast"], failed).form == "fast"
    assert failed == {"broken": "no compiler"}
    with pytest.raises(RuntimeError, match="no compiler"):
        measure._fastest(None, ["broken"], {})


def test_forms_that_fail_are_recorded(tmp_path, monkeypatch):
    def compile_step(program, form):
        if form == "broken":
            raise RuntimeError("no compiler\nfor this machine")
        return measure.Step(form, lambda: None, planned_bytes=1)

    monkeypatch.setattr(measure, "compile_step", compile_step)
    monkeypatch.setitem(measure.FORMS, keras.backend.backend(), ("broken", FORM))
    settings = BenchSettings(
        grids=((3, 4),), mixers=("none",), **{**TINY, "forms": None}
    )
    _, row = Bench(settings, tmp_path, progress=False).run()["rows"]
    assert row["failed_forms"] == {"broken": "no compiler"}
    assert row["error"] is None
    assert row["training_form"] == FORM
    assert row["training_ms"] is not None
    table = (tmp_path / "table.md").read_text()
    assert "none at 3×4: form broken failed: no compiler." in table


# Every layer compiles: seconds on every backend; three of them are tested on all below.
@pytest.mark.backend_free
def test_all_layers_in_half_precision(tmp_path):
    settings = BenchSettings(grids=((3, 4),), dtype="bfloat16", **TINY)
    rows = Bench(settings, tmp_path, progress=False).run()["rows"]
    assert {row["mixer"]: row["error"] for row in rows} == dict.fromkeys(
        ["floor", "floor-depthwise", *MIXERS]
    )
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("name", ["stt-dense", "none", "depthwise-conv"])
def test_what_is_computed_in_half_precision(name):
    layer = build_layer(name, (2, 3, 4, 8), 4, "bfloat16")
    x = keras.ops.ones((2, 3, 4, 8), "bfloat16")
    output, *_ = keras.tree.flatten(
        compile_step(training_program(layer, x, x), FORM).run()
    )
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    assert layer.trainable_variables[0].dtype == "float32"


def test_a_step_that_fails_while_it_is_timed_drops_out(tmp_path, monkeypatch):
    calls = []

    def compile_step(program, form):
        number = len(calls)
        calls.append(0)

        def run():
            calls[number] += 1
            # The third is the forward step of the first layer.
            if number == 2 and calls[number] > 1:
                raise RuntimeError("out of memory while timing")

        return measure.Step(form, run, planned_bytes=1)

    monkeypatch.setattr(measure, "compile_step", compile_step)
    settings = BenchSettings(grids=((3, 4),), mixers=("none", "pooling"), **TINY)
    _, none, pooling = Bench(settings, tmp_path, progress=False).run()["rows"]
    assert none["error"] == "out of memory while timing"
    assert none["forward_ms"] is None
    assert none["training_ms"] > 0
    assert pooling["error"] is None
    assert pooling["forward_ms"] > 0


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("mha", 2 * 4 * 15 * 15),
        ("mha-axes", 2 * 4 * 15 * 15),
        ("axial-mha", 2 * 4 * 15 * 5),
        ("gmlp", 15 * 15),
        # Logits (B, H, S, W, W), or a kernel (W·r, W²) with r = 2.
        ("dynamixer", max(2 * 3 * 4 * 25, 2 * 5 * 25)),
        ("stt-dense", 0),
        ("pooling", 0),
    ],
)
def test_tensors_that_grow_faster_than_the_image(name, elements):
    assert fast_growing_elements(name, (3, 5), 4, 2) == elements


def test_what_may_not_fit_is_tried_first(monkeypatch):
    tried = []
    monkeypatch.setattr(measure, "available_bytes", lambda: 6 * 4 * 1800 - 1)
    monkeypatch.setattr(measure, "accelerator", dict)
    monkeypatch.setattr(measure, "try_step", lambda *task: tried.append(task))
    measure._check_memory("mha", (2, 3, 5, 8), 4, "float32")
    assert tried == [("mha", (2, 3, 5, 8), 4, "float32", 6 * 4 * 1800 - 1)]
    measure._check_memory("mha", (2, 3, 5, 8), 4, "bfloat16")
    measure._check_memory("stt-dense", (2, 3, 5, 8), 4, "float32")
    assert len(tried) == 1


def test_a_form_of_another_backend_is_refused(tmp_path):
    other = {"jax": "graph", "torch": "xla", "tensorflow": "inductor"}
    form = other[keras.backend.backend()]
    settings = BenchSettings(**{**TINY, "forms": (form,)})
    with pytest.raises(UserError, match=f"`forms` must be among .*Received: {form}"):
        Bench(settings, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixers": ("magic",)}, "`mixers` must be among .*Received: magic$"),
        ({"mixers": ("stt-densee",)}, "did you mean stt-dense?"),
        ({"mixers": ()}, "`mixers` .*Received: none"),
        ({"mixers": ("none", "mha", "none")}, "`mixers` .*none mha none"),
        ({"channels": 0}, "`channels` must be a positive integer"),
        ({"num_heads": -4}, "`num_heads` must be a positive integer"),
        ({"grids": ((0, 8),)}, "`grids` must be a positive integer"),
        ({"channels": 6}, "multiple of `num_heads`.*channels=6"),
        ({"grids": ((2, 3), (2, 3))}, "`grids` must hold .* no value twice"),
        ({"grids": ((2, 3), (3, 2)), "batches": (1, 2, 3)}, "each of the 2 grids"),
        ({"batches": (0,)}, "`batches` must be a positive integer"),
        ({"dtype": "int8"}, "`dtype` must be among float32, bfloat16, float16"),
        ({"seconds": 0}, "`seconds` must be a positive"),
        ({"seconds": float("nan")}, "`seconds` must be a positive"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(UserError, match=message):
        BenchSettings(**arguments)


def test_benchmarks_of_other_settings_have_other_labels():
    settings = [
        BenchSettings(),
        BenchSettings(channels=32),
        BenchSettings(grids=((8, 8), (16, 4))),
    ]
    labels = [item.label for item in settings]
    assert len(set(labels)) == len(settings)
    assert labels == [dataclasses.replace(item).label for item in settings]
    assert labels[2].startswith("8x8-16x4-")


def test_a_batch_for_each_grid():
    settings = BenchSettings(grids=((2, 3), (4, 5)), batches=(8, 2))
    assert settings.rounds == [((2, 3), 8), ((4, 5), 2)]
    settings = BenchSettings(grids=((2, 3), (4, 5)), batches=(8,))
    assert settings.rounds == [((2, 3), 8), ((4, 5), 8)]
