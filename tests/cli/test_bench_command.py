"""The command `keras-stt bench`."""

import json
import os
import re
import sys

import keras
import pytest
from command_line import settings_of

from keras_stt import cli
from keras_stt.experiments.bench.bench import Bench

BENCH = ("bench", "--grid", "3x4", "--batch", "2", "--seconds", "0.01")


@pytest.fixture
def kept_memory(monkeypatch):
    """As the command starts itself: with a C library that keeps memory."""
    for name in ("ARENA_MAX", "MMAP_THRESHOLD_", "TRIM_THRESHOLD_"):
        monkeypatch.setenv(f"MALLOC_{name}", "1000000000")


@pytest.mark.usefixtures("kept_memory")
def test_bench_prints_a_table_and_writes_its_files(tmp_path, capsys):
    form = {"torch": "traced", "jax": "xla"}.get(keras.backend.backend(), "graph")
    output = tmp_path / "results"
    options = (
        "--channels",
        "8",
        "--mixers",
        "pooling",
        "--forms",
        form,
        "--output",
        str(output),
    )
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
def test_benchmarks_have_folders_of_their_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Bench, "run", lambda self: {"rows": [], **self._results})
    monkeypatch.setattr(
        "keras_stt.experiments.bench.table.terminal_table", lambda results: ""
    )
    monkeypatch.chdir(tmp_path)
    for channels in ("8", "16", "8"):
        assert cli.main([*BENCH, "--channels", channels]) == 0
    first, second, again = re.findall("Files: (.*)", capsys.readouterr().out)
    assert first == again != second
    for folder in (first, second):
        assert folder.startswith(f"runs/bench-{keras.backend.backend()}-3x4-")
        assert (tmp_path / folder / "experiment.json").exists()


@pytest.mark.usefixtures("kept_memory")
@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (["--channels", "8"], ["channels=64", "channels=8"]),
        (["--heads", "8"], ["heads=4", "heads=8"]),
    ],
)
def test_a_refused_folder_of_bench_says_what_differs(
    options, messages, tmp_path, capsys
):
    Bench(settings_of(" ".join(["keras-stt", *BENCH])), tmp_path)
    assert cli.main([*BENCH, "--output", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert [message for message in messages if message not in error] == []


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_bench_restarts_with_memory_that_is_kept(monkeypatch):
    started = []

    def execv(*call):
        started.append(call)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        # Set first, so that they are unset again after the test.
        monkeypatch.setenv(name, "1")
        monkeypatch.delenv(name)
    with pytest.raises(SystemExit):
        cli.main(list(BENCH))
    assert started == [(sys.executable, [sys.executable, "-m", "keras_stt", *BENCH])]
    # What the user has chosen stays.
    assert os.environ["MALLOC_ARENA_MAX"] == "7"
    assert int(os.environ["MALLOC_TRIM_THRESHOLD_"]) > 2**32


@pytest.mark.usefixtures("kept_memory")
def test_a_suite_runs_into_the_folder(tmp_path, capsys, monkeypatch):
    ran = []
    suite = "keras_stt.experiments.bench.suite"

    def run_suite(settings, folder, command, progress):
        ran.append((settings.mixers[0], folder, command, progress))
        return []

    monkeypatch.setattr(f"{suite}.run_suite", run_suite)
    output = tmp_path / "gpu"
    assert (
        cli.main(["bench", "--suite", "gpu", "--output", str(output), "--quiet"]) == 0
    )
    command = "keras-stt bench --suite gpu --output DIR --quiet"
    assert ran == [("stt-dense", output, command, False)]
    assert f"Files: {output}" in capsys.readouterr().out


def test_a_dry_run_lists_what_the_suite_will_do(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "--suite", "gpu", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("mha-unfused" in line for line in lines) == 10
    assert any(
        line.split() == ["float32", "14x14", "none", "64", "0.19"] for line in lines
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--dry-run"], "--dry-run"),
        (["--suite", "gpu", "--channels", "64"], "--channels"),
        (["--suite", "tpu"], "--suite"),
        (["--memory", "0"], "--memory"),
        (["--profile", "mha", "--mixers", "none"], "--profile"),
    ],
)
def test_options_that_do_not_go_together(options, named, capsys):
    assert cli.main(["bench", *options]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
