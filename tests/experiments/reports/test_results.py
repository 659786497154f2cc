"""Tests of the schema, the statistics and the files of results."""

import dataclasses
import json
import math
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from samples import SAMPLE, partial_results, sample_results

from keras_stt.experiments.files import read_json, write_json
from keras_stt.experiments.measures import environment as environment_module
from keras_stt.experiments.measures.environment import environment
from keras_stt.experiments.reports import results as results_module
from keras_stt.experiments.reports.results import (
    TASKS,
    check,
    difference,
    measures,
    ranked,
    seeds_done,
    summary,
    summary_of,
    variants,
)
from keras_stt.experiments.robustness.suite import NAMES

pytestmark = pytest.mark.backend_free

MEASURES = TASKS["classify"].measures


def test_summary_by_hand():
    # Squared deviations 4 + 1 + 9 = 14 around 5; 14 / (3 - 1) = 7.
    assert summary([3, 4, 8]) == {
        "mean": 5.0,
        "std": pytest.approx(math.sqrt(7)),
        "median": 4.0,
        "runs": [3.0, 4.0, 8.0],
    }


def test_summary_agrees_with_numpy():
    values = np.random.default_rng(1).normal(size=17)
    made = summary(values)
    assert made["mean"] == pytest.approx(np.mean(values))
    assert made["std"] == pytest.approx(np.std(values, ddof=1))
    assert made["median"] == pytest.approx(np.median(values))


def test_summary_of_one_run_has_no_spread():
    assert summary([0.5]) == {"mean": 0.5, "std": 0.0, "median": 0.5, "runs": [0.5]}


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_summary_refuses(values):
    with pytest.raises(ValueError, match=r"at least one value, all finite\. Received"):
        summary(values)


def test_every_measure_of_the_schema_is_described():
    in_schema = (
        "test_accuracy accuracy_noise_0.05 accuracy_noise_0.1 accuracy_noise_0.2 "
        "accuracy_fgsm_2_255 accuracy_fgsm_8_255 training_seconds parameters "
        "multiply_adds mixer_parameters mixer_multiply_adds training_step_ms "
        "inference_ms peak_step_bytes"
    )
    further = (
        "accuracy_subset accuracy_attacked_subset accuracy_gaussian_noise "
        "accuracy_shot_noise accuracy_impulse_noise accuracy_defocus_blur "
        "accuracy_glass_blur accuracy_motion_blur accuracy_zoom_blur accuracy_snow "
        "accuracy_frost accuracy_fog accuracy_brightness accuracy_contrast "
        "accuracy_elastic_transform accuracy_pixelate accuracy_jpeg_compression "
        "accuracy_pgd_0.5_255 accuracy_pgd_1_255 accuracy_pgd_2_255 "
        "accuracy_pgd_4_255 accuracy_square_2_255 accuracy_universal_4_255 "
        "accuracy_universal_8_255 shift_consistency_1 shift_consistency_2 "
        "shift_consistency_4 accuracy_occlusion_0.1 accuracy_occlusion_0.25 "
        "accuracy_occlusion_0.5 accuracy_resolution_0.75 accuracy_resolution_0.875 "
        "accuracy_resolution_1.25 accuracy_resolution_1.5 calibration_error"
    )
    assert set(NAMES) == set(further.split())
    assert set(MEASURES) == set(in_schema.split()) | set(NAMES)
    names = "cider bleu_1 bleu_2 bleu_3 bleu_4 rouge_l exact_match correct"
    qualities = names.split()
    assert set(TASKS["caption"].measures) == {
        *qualities,
        *(f"unseen_{name}" for name in qualities),
        *("parameters", "training_step_ms", "inference_ms", "peak_step_bytes"),
        *("caption_ms", "training_seconds"),
    }
    for task in TASKS.values():
        assert all(name == measure.name for name, measure in task.measures.items())
        assert task.quality in task.measures
    better = {name for name, measure in MEASURES.items() if measure.is_quality}
    assert better == {name for name in MEASURES if "accuracy" in name or name in NAMES}
    assert [
        measure.strength for measure in measures(sample_results(), "noise", "fgsm")
    ] == [*(0.05, 0.1, 0.2, 2, 8)]


def test_measures_show_their_unit():
    runs = summary([0.62, 0.63, 0.64])
    assert MEASURES["test_accuracy"].text(runs) == "63.0 ± 1.0"
    assert MEASURES["test_accuracy"].text(runs, "±") == "63.0±1.0"
    assert MEASURES["test_accuracy"].text(summary([0.62])) == "62.0"
    assert MEASURES["parameters"].text(summary([1234567])) == "1,234,567"
    assert MEASURES["multiply_adds"].text(summary([12_340_000])) == "12.3"
    assert MEASURES["multiply_adds"].text(summary([340_000])) == "0.34"
    assert MEASURES["peak_step_bytes"].text(summary([5 * 2**20])) == "5"
    # The median counts for times: one slow repeat changes nothing.
    assert MEASURES["training_step_ms"].text(summary([20, 21, 900])) == "21.0"
    assert MEASURES["test_accuracy"].label == "test accuracy (%)"
    assert MEASURES["parameters"].label == "parameters"
    for nothing in (None, {"mean": None, "median": None, "runs": []}):
        assert MEASURES["peak_step_bytes"].text(nothing) == "–"


def test_order_and_progress():
    results = partial_results()
    results["mixers"]["own"] = {}
    assert variants(results) == [*SAMPLE, "own"]
    assert seeds_done(results, "stt-dense") == 3
    assert seeds_done(results, "mha") == 1
    assert seeds_done(results, "axial-mha") == seeds_done(results, "none") == 0
    means = {
        name: entry["test_accuracy"]["mean"]
        for name, entry in results["mixers"].items()
        if "test_accuracy" in entry
    }
    assert ranked(results) == sorted(means, key=means.get, reverse=True)
    assert summary_of(results, "none", MEASURES["parameters"]) is None
    assert variants({}) == ranked({}) == []


def test_a_difference_is_that_of_means_that_were_not_rounded():
    # Shown as 55.8 and 58.5, whose difference would be 2.7.
    results = sample_results(["mha", "none"])
    for name, accuracy in (("mha", 0.58453), ("none", 0.5581)):
        results["mixers"][name]["test_accuracy"] = summary([accuracy])
    assert difference(results, "mha", "none") == pytest.approx(2.643)
    assert difference(results, "none", "mha") == pytest.approx(-2.643)


@pytest.mark.parametrize("other", [{}, {"schema": 2}, [], None])
def test_check_refuses_other_schemas(other):
    with pytest.raises(ValueError, match=r"Expected results of schema 1\. Received"):
        check(other)


def test_check_returns_results():
    results = sample_results(["mha"])
    assert check(results) is results


def test_json_round_trip(tmp_path):
    path = tmp_path / "results.json"
    results = sample_results()
    write_json(path, results)
    assert read_json(path) == results
    assert json.loads(path.read_text(encoding="utf-8")) == results
    assert [item.name for item in tmp_path.iterdir()] == ["results.json"]


def test_json_takes_numpy(tmp_path):
    path = tmp_path / "x.json"
    data = {"a": np.float32(0.5), "b": np.arange(3), "c": np.int64(4), "d": "σ"}
    write_json(path, data)
    assert read_json(path) == {"a": 0.5, "b": [0, 1, 2], "c": 4, "d": "σ"}


@pytest.mark.parametrize("value", [math.nan, -math.inf, np.float32("nan")])
def test_json_refuses_what_is_not_finite(tmp_path, value):
    path = tmp_path / "x.json"
    write_json(path, {"kept": 1})
    with pytest.raises(ValueError, match=r"finite numbers to write to x\.json"):
        write_json(path, {"value": [value]})
    assert read_json(path) == {"kept": 1}


def test_json_refuses_objects(tmp_path):
    with pytest.raises(TypeError, match=r"JSON form\. Received: <object"):
        write_json(tmp_path / "x.json", object())
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_json(path, 1)

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_json(path, 2)
    assert read_json(path) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["x.json"]


def test_the_file_appears_whole(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    steps = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: steps.append("fsync"))
    replace = os.replace

    def watched(source, target):
        steps.append("replace")
        assert Path(source).parent == path.parent
        assert json.loads(Path(source).read_text(encoding="utf-8")) == [1, 2]
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    write_json(path, [1, 2])
    assert steps == ["fsync", "replace"]


def test_read_json_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match=r"Expected a readable JSON file\. Received"):
        read_json(tmp_path / "missing.json")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"Expected a readable JSON file\. Received"):
        read_json(tmp_path / "broken.json")


def test_environment():
    made = environment()
    backend = keras.backend.backend()
    assert made["backend"] == backend
    assert made["versions"]["keras"] == keras.__version__
    assert made["versions"]["numpy"] == np.__version__
    assert made["versions"]["python"] == sys.version.split()[0]
    others = {"tensorflow", "jax", "torch"} - {backend}
    assert not others & set(made["versions"])
    assert all(re.match(r"\d+\.", version) for version in made["versions"].values())
    assert set(made["device"]) == {"kind", "name", "count", "system"}


def test_the_processor_stands_in_for_a_missing_accelerator(monkeypatch):
    monkeypatch.setattr(environment_module, "accelerator", dict)
    device = environment()["device"]
    assert device["kind"] == "cpu"
    assert 1 <= device["count"] <= (os.cpu_count() or 1)
    found = {"kind": "gpu", "name": "Some GPU", "count": 3}
    monkeypatch.setattr(environment_module, "accelerator", lambda: found)
    assert environment()["device"] == {**found, "system": device["system"]}


def test_environment_holds_nothing_private():
    text = json.dumps(environment())
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text
    assert os.getcwd() not in text


def test_processor_name(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU\n", encoding="utf-8")
    assert environment_module._processor(str(cpuinfo)) == "Some CPU"
    assert environment_module._processor(str(tmp_path / "none"))


def test_docstring_names_every_key_of_the_schema():
    results = sample_results()
    keys = {*results, *results["dataset"], *results["device"]}
    keys |= {"learning_rate", "history", "validation_accuracy", "runs", "best"}
    for key in keys - {"mixer", *SAMPLE}:
        assert re.search(rf"\b{key}\b", results_module.__doc__), key


def test_sample_settings_are_settings():
    from keras_stt.experiments.compare.settings import ClassifySettings

    names = {field.name for field in dataclasses.fields(ClassifySettings)}
    assert set(sample_results()["settings"]) <= names


def test_modules_import_no_backend():
    """A fresh interpreter, hence a second or so."""
    code = (
        "import sys, types\n"
        # The package itself may import Keras; these modules must not.
        "package = types.ModuleType('keras_stt')\n"
        f"package.__path__ = [{str(Path(results_module.__file__).parents[2])!r}]\n"
        "sys.modules['keras_stt'] = package\n"
        "from keras_stt.experiments.reports import page, plots, results, table\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'matplotlib.pyplot'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
