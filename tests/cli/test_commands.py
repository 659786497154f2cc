"""The commands of `keras-stt`: what they write, and their errors."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from command_line import SMALL, TINY, run

from keras_stt import __version__, cli
from keras_stt.backend import BACKENDS
from keras_stt.cli import bench, command, compare


def test_compare_classify(tmp_path, scenes_dir, capsys):
    output = tmp_path / "results"
    status = run(*TINY, *SMALL, "--data-dir", scenes_dir, "--output", output)
    assert status == 0
    shown = capsys.readouterr().out
    assert "none" in shown
    assert "report.html" in shown
    results = json.loads((output / "results.json").read_text())
    assert results["settings"]["grid"] == [4, 4]
    assert results["settings"]["learning_rates"] == [0.002]
    assert str(tmp_path) not in json.dumps(results)
    assert results["command"].startswith("keras-stt compare classify --mixers none")


WITHOUT_TENSORFLOW = """
import os
import sys
from importlib.machinery import PathFinder


class WithoutTensorFlow:
    @staticmethod
    def find_spec(name, path=None, target=None):
        hidden = name.partition(".")[0] in ("tensorflow", "tensorflow_datasets")
        return None if hidden else PathFinder.find_spec(name, path, target)


if os.environ["KERAS_BACKEND"] != "tensorflow":
    sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTensorFlow
from keras_stt.cli import main
sys.exit(main())
"""


def run_without_tensorflow(*command, output):
    """The results of a command in a process where only its backend is installed."""
    arguments = map(str, (*command, "--output", output))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
    )
    assert done.returncode == 0, done.stderr
    return json.loads((output / "results.json").read_text())


def test_a_folder_of_photographs_needs_no_tensorflow(tmp_path):
    from PIL import Image

    photographs = tmp_path / "photographs"
    (photographs / "images").mkdir(parents=True)
    names = [f"{i}.png" for i in range(4)]
    for i, name in enumerate(names):
        Image.new("RGB", (8, 8), (60 * i, 0, 0)).save(photographs / "images" / name)
    captions = {name: ["A red square."] for name in names}
    (photographs / "captions.json").write_text(json.dumps(captions))
    splits = {"train": names[:2], "test": names[2:]}
    (photographs / "splits.json").write_text(json.dumps(splits))
    command = [
        *("compare", "caption", "--dataset", photographs, "--variants"),
        *("stt-random+stt-random", "--grid", "4x4", "--width", "4", "--heads", "2"),
        *("--encoder-depth", "1", "--decoder-depth", "1", "--max-length", "3"),
        *("--batch-size", "2", "--epochs", "1"),
    ]
    results = run_without_tensorflow(*command, output=tmp_path / "results")
    assert results["dataset"]["name"] == "photographs"
    assert results["variants"]["stt-random+stt-random"]["bleu_1"]["runs"]


def test_images_of_ones_own_need_no_tensorflow(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8),
        "y_train": np.arange(8) % 2,
        "x_test": rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8),
        "y_test": np.arange(4) % 2,
    }
    np.savez(tmp_path / "mine.npz", **arrays)
    command = [
        *("compare", "classify", "--dataset", tmp_path / "mine.npz", "--mixers"),
        *("none", "stt-depthwise", "--grid", "4x4", "--width", "4", "--heads", "2"),
        *("--depth", "1", "--batch-size", "4", "--epochs", "1"),
    ]
    results = run_without_tensorflow(*command, output=tmp_path / "results")
    assert results["dataset"]["name"] == "mine"
    assert set(results["mixers"]) == {"none", "stt-depthwise"}


COMPARE = "compare classify"


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{COMPARE} --mixers magic", "stt-dense"),
        (f"{COMPARE} --mixers stt-dens", 'Did you mean "stt-dense"?'),
        (f"{COMPARE} --mixers none mha none", "`--mixers`"),
        (f"{COMPARE} --mixers", "--mixers"),
        (f"{COMPARE} --backend theano", "--backend"),
        (f"{COMPARE} --grid 5", "--grid: expected ROWSxCOLUMNS"),
        (f"{COMPARE} --grid 0x8", "`--grid`"),
        (f"{COMPARE} --seeds one", "--seeds"),
        (f"{COMPARE} --seeds -1", "`--seeds`"),
        (f"{COMPARE} --stem magic", "--stem"),
        (f"{COMPARE} --stem nowhere.keras", "`--stem` must be convolution, patch"),
        (f"{COMPARE} --no-such-option", "--no-such-option"),
        (f"{COMPARE} --learning-rate 1e-3 1e-2", "`--validation-images` must be"),
        (f"{COMPARE} --learning-rate nan", "`--learning-rate`"),
        (f"{COMPARE} --learning-rate inf", "`--learning-rate`"),
        (f"{COMPARE} --weight-decay nan", "`--weight-decay`"),
        (f"{COMPARE} --mlp-ratio 0", "`--mlp-ratio`"),
        (f"{COMPARE} --mlp-ratio nan", "`--mlp-ratio`"),
        (f"{COMPARE} --epochs 0", "`--epochs` must be"),
        (f"{COMPARE} --width -8", "`--width`"),
        (f"{COMPARE} --heads 0", "`--heads`"),
        (f"{COMPARE} --depth 0", "`--depth`"),
        (f"{COMPARE} --dataset ./no/such/folder", "`--dataset`"),
        ("compare caption --variants stt-dense", "`--variants`"),
        ("compare caption --variants stt-dense+maha", "did you mean mha?"),
        ("compare caption --variants mha+mha+none", "cross-attention"),
        ("compare caption --beam-size 0", "`--beam-size`"),
        ("compare caption --dropout 1", "`--dropout`"),
        ("bench --mixers magic", "stt-dense"),
        ("bench --mixers none none", "`--mixers`"),
        ("bench --heads 3", "`--heads`"),
        ("bench --grid 8x8 8x8", "`--grid`"),
        ("bench --batch 1 2", "`--batch`"),
        ("bench --batch 0", "`--batch`"),
        ("bench --seconds 0", "`--seconds`"),
        ("bench --seconds nan", "`--seconds`"),
        ("bench --forms magic", "inductor"),
        ("bench --dtype int8", "bfloat16"),
        ("magic", "magic"),
    ],
)
def test_bad_options_are_one_line_and_status_2(
    line, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    # Where a command that takes the options would begin.
    monkeypatch.setattr(bench, "_keep_memory", pytest.fail)
    monkeypatch.setattr(compare, "_comparison", pytest.fail)
    assert cli.main(line.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("keras-stt: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "no_such_data_set"], "no_such_data_set"),
        (["--data-dir", "no/such/folder"], "no/such/folder"),
        (["--batch-size", "33"], "`--batch-size`"),
        (["--batch-size", "16", "--grid", "5x5"], "--grid"),
        ([*SMALL, "--mixers", "mha", "--heads", "3"], "--heads"),
        (["--output", __file__], "folder"),
    ],
)
def test_what_data_or_models_refuse_is_one_line_and_status_2(
    arguments, message, tmp_path, scenes_dir, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if "--data-dir" not in arguments:
        arguments = ["--data-dir", scenes_dir, *arguments]
    assert run(*TINY, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("keras-stt: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_a_decoder_without_a_causal_form_is_one_line(tmp_path, capsys, scenes_dir):
    output = tmp_path / "results"
    options = ["--variants", "none+none", "--train-images", "64", "--quiet"]
    options += ["--data-dir", str(scenes_dir), "--output", str(output)]
    assert cli.main(["compare", "caption", *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "causal" in error
    assert not output.exists()


def test_interrupted_says_how_to_resume(capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "check_backend", interrupted)
    assert run() == 130
    assert "same command" in capsys.readouterr().err


def test_a_defect_is_not_taken_for_bad_input(capsys, monkeypatch, tmp_path, scenes_dir):
    def defect(self):
        return keras.layers.Dense(-1)  # a ValueError of Keras's own

    monkeypatch.setattr(
        "keras_stt.experiments.compare.comparison.Comparison.run", defect
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="units"):
        run(*TINY, *SMALL, "--data-dir", scenes_dir)


def test_a_full_disk_is_one_line(capsys, monkeypatch, tmp_path, scenes_dir):
    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_stt.experiments.compare.comparison.Comparison.run", full)
    monkeypatch.chdir(tmp_path)
    assert run(*TINY, *SMALL, "--data-dir", scenes_dir) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.backend_free
def test_without_the_extra_the_command_says_what_to_install(capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "cyclopts" else find(name),
    )
    assert cli.main(["--help"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pip install 'keras-stt[compare]'" in error


@pytest.mark.parametrize(
    ("missing", "extras"),
    [
        (["matplotlib"], "compare"),
        (["tensorflow"], "tensorflow"),
        (["tensorflow_datasets", "tensorflow"], "compare,tensorflow"),
    ],
)
def test_missing_packages_are_named(capsys, monkeypatch, missing, extras):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda p: None if p in missing else find(p),
    )
    assert run() == 2
    error = capsys.readouterr().err
    assert f"keras-stt[{extras}]'. Missing: {', '.join(missing)}" in error


def test_another_backend_restarts_the_command(monkeypatch):
    running = keras.backend.backend()
    other = next(backend for backend in BACKENDS if backend != running)
    started = []

    def execv(*call):
        started.append((call, os.environ["KERAS_BACKEND"]))
        raise SystemExit(0)

    monkeypatch.setenv("KERAS_BACKEND", running)
    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with pytest.raises(SystemExit):
        run("--backend", other)
    arguments = ["-m", "keras_stt", "compare", "classify", "--backend", other]
    call = (sys.executable, [sys.executable, *arguments])
    assert started == [(call, other)]


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="on JAX only")
def test_a_comparison_spread_over_devices_trains_the_same(tmp_path, scenes_dir):
    command = [sys.executable, "-m", "keras_stt", "compare", "classify", *TINY, *SMALL]
    # The last of the test images do not fill the devices.
    command += ["--data-dir", scenes_dir, "--test-images", "30"]
    states = []
    for devices, options in ((1, []), (4, ["--distribute", "data"])):
        output = tmp_path / str(devices)
        flags = f"--xla_force_host_platform_device_count={devices}"
        subprocess.run(
            [*command, *options, "--output", str(output)],
            env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags},
            check=True,
        )
        states.append(np.load(output / "runs/none/seed-0/state.npz"))
    assert len(states[0].files) > 30
    for name in set(states[0].files) - {"run"}:
        np.testing.assert_allclose(states[0][name], states[1][name], atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="on JAX only")
def test_a_batch_is_split_over_all_devices(monkeypatch, capsys, tmp_path, scenes_dir):
    devices, chosen = ["cpu:0"], []
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: devices)
    monkeypatch.setattr(keras.distribution, "DataParallel", lambda: "data")
    monkeypatch.setattr(keras.distribution, "set_distribution", chosen.append)
    options = ["--data-dir", scenes_dir, "--distribute", "data", *TINY, *SMALL]
    assert run(*options, "--output", tmp_path) == 0
    assert chosen == ["data"]
    devices *= 3
    assert run(*options, "--output", tmp_path) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "3 devices, --batch-size=16" in error


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="possible on JAX")
def test_distribution_on_another_backend_is_an_error(capsys, scenes_dir):
    assert run("--data-dir", scenes_dir, "--distribute", "data", *TINY) == 2
    assert "is on JAX only" in capsys.readouterr().err


def test_version_by_module():
    # A process of its own: some seconds, most of them the backend's import.
    command = [sys.executable, "-m", "keras_stt", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == __version__


def test_folders_of_the_machine_stay_out_of_the_record():
    arguments = ["compare", "--data-dir", "/somewhere/data", "--seeds", "0"]
    recorded = command.recorded(arguments)
    assert recorded == "keras-stt compare --data-dir DIR --seeds 0"
