import importlib.util
import json
import os
import subprocess
import sys

import keras
import pytest

from keras_stt import __version__, cli
from keras_stt.cli import command, compare

TINY = [
    *("--mixers", "none", "--train-images", "32", "--batch-size", "16"),
    *("--grid", "4x4", "--width", "8", "--depth", "1", "--epochs", "1", "--quiet"),
]


def run(*arguments):
    return cli.main(["compare", "classify", *map(str, arguments)])


def test_compare_classify(tmp_path, scenes_dir, capsys):
    output = tmp_path / "results"
    status = run(*TINY, "--data-dir", scenes_dir, "--output", output)
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
        *("--batch-size", "2", "--epochs", "1", "--output", tmp_path / "results"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *map(str, command)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert results["dataset"]["name"] == "photographs"
    assert results["variants"]["stt-random+stt-random"]["bleu_1"]["runs"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mixers", "magic"], "magic"),
        (["--dataset", "no_such_data_set"], "no_such_data_set"),
        (["--data-dir", "no/such/folder"], "no/such/folder"),
        (["--grid", "5x5"], "grid"),
        (["--learning-rate", "1e-3", "1e-2"], "`--validation-images` must be"),
        (["--epochs", "0"], "`--epochs` must be"),
        (["--output", __file__], "folder"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments, message, tmp_path, scenes_dir, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run(*TINY, "--data-dir", scenes_dir, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("keras-stt: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "theano"], "theano"),
        (["--grid", "5"], "ROWSxCOLUMNS"),
        (["--grid", "0x8"], "ROWSxCOLUMNS"),
        (["--seeds", "one"], "one"),
        (["--stem", "magic"], "magic"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_unknown_options_are_one_line_and_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_interrupted_says_how_to_go_on(capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "check_backend", interrupted)
    assert run() == 130
    assert "goes on" in capsys.readouterr().err


def test_a_defect_is_not_taken_for_bad_input(capsys, monkeypatch, tmp_path, scenes_dir):
    def defect(self):
        return keras.layers.Dense(-1)  # a ValueError of Keras's own

    monkeypatch.setattr(
        "keras_stt.experiments.compare.comparison.Comparison.run", defect
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="units"):
        run(*TINY, "--data-dir", scenes_dir)


def test_a_full_disk_is_one_line(capsys, monkeypatch, tmp_path, scenes_dir):
    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_stt.experiments.compare.comparison.Comparison.run", full)
    monkeypatch.chdir(tmp_path)
    assert run(*TINY, "--data-dir", scenes_dir) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_shows_defaults_as_they_are_typed(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "(default: 8x8)" in shown
    assert "(default: 0.002)" in shown
    assert "(default: 64)" in shown
    assert "default: (" not in shown
    assert "default: None" not in shown


def test_missing_packages_are_named(capsys, monkeypatch):
    monkeypatch.setattr(compare, "COMPARE_PACKAGES", ("no_such_package",))
    assert run() == 2
    error = capsys.readouterr().err
    assert "no_such_package" in error
    assert "keras-stt[compare,tensorflow]" in error


def test_another_backend_starts_the_command_anew(monkeypatch):
    running = keras.backend.backend()
    other = next(backend for backend in command.BACKENDS if backend != running)
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


def test_version_by_module():
    # A process of its own: some seconds, most of them the backend's import.
    command = [sys.executable, "-m", "keras_stt", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == __version__


def test_folders_of_the_machine_stay_out_of_the_record():
    arguments = ["compare", "--data-dir", "/somewhere/data", "--seeds", "0"]
    recorded = command.recorded(arguments)
    assert recorded == "keras-stt compare --data-dir DIR --seeds 0"


BENCH = (
    "bench",
    "--grid",
    "3x4",
    "--channels",
    "8",
    "--batch",
    "2",
    "--seconds",
    "0.01",
)


@pytest.fixture
def kept_memory(monkeypatch):
    """As the command starts itself: with a C library that keeps memory."""
    for name in ("ARENA_MAX", "MMAP_THRESHOLD_", "TRIM_THRESHOLD_"):
        monkeypatch.setenv(f"MALLOC_{name}", "1000000000")


@pytest.mark.usefixtures("kept_memory")
def test_bench_prints_a_table_and_writes_its_files(tmp_path, capsys):
    form = {"torch": "traced", "jax": "xla"}.get(keras.backend.backend(), "graph")
    output = tmp_path / "results"
    options = ("--mixers", "pooling", "--forms", form, "--output", str(output))
    assert cli.main([*BENCH, *options]) == 0
    printed = capsys.readouterr().out
    for word in ("Grid 3×4, batch 2", "floor", "pooling", "training (ms)"):
        assert word in printed
    results = json.loads((output / "results.json").read_text())
    assert results["settings"]["grids"] == [[3, 4]]
    assert results["command"].startswith("keras-stt bench --grid 3x4")
    assert results["command"].endswith("--output DIR")
    assert (output / "table.md").exists()


@pytest.mark.usefixtures("kept_memory")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mixers", "magic"], "`--mixers` must be among"),
        (["--heads", "3"], "`--heads`"),
        (["--batch", "1", "2"], "`--batch` must be one number"),
        (["--seconds", "0"], "`--seconds` must be positive"),
        (["--output", __file__], "folder"),
    ],
)
def test_bad_input_of_bench_is_one_line(
    arguments, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*BENCH, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("keras-stt: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_bench_starts_itself_with_memory_that_is_kept(monkeypatch):
    started = []

    def execv(*call):
        started.append(call)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        # Set first, so that they are unset again behind the test.
        monkeypatch.setenv(name, "1")
        monkeypatch.delenv(name)
    with pytest.raises(SystemExit):
        cli.main(list(BENCH))
    assert started == [(sys.executable, [sys.executable, "-m", "keras_stt", *BENCH])]
    # What the user has chosen stays.
    assert os.environ["MALLOC_ARENA_MAX"] == "7"
    assert int(os.environ["MALLOC_TRIM_THRESHOLD_"]) > 2**32
