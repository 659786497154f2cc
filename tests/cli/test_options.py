"""Options: recorded, documented, with defaults and help."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from command_line import run, settings_of

from keras_stt.cli.app import app
from keras_stt.mixers import MIXERS

REPOSITORY = Path(__file__).parents[2]


RECORDED = [
    path
    for path in sorted((REPOSITORY / "docs" / "results").rglob("results.json"))
    if json.loads(path.read_text())["command"].startswith("keras-stt ")
]


@pytest.mark.backend_free
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_recorded_commands_give_the_recorded_settings(path):
    results = json.loads(path.read_text())
    settings = settings_of(results["command"])
    parsed = json.loads(json.dumps(dataclasses.asdict(settings)))
    recorded = results["settings"]
    if "--dataset DIR" in results["command"]:
        del parsed["dataset"], recorded["dataset"]
    if "--mixers" not in results["command"] and "mixers" in recorded:
        # All that there were; there are more now.
        assert set(recorded.pop("mixers")) <= set(parsed.pop("mixers"))
    assert parsed == parsed | recorded


def documented_commands():
    """Every command line in the documents, the Makefile and the tutorials."""
    files = [REPOSITORY / "README.md", REPOSITORY / "Makefile"]
    files += [*REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("tutorials/src/*.py")]
    for path in files:
        text = path.read_text().replace("\\\n", "")
        for line in re.findall(r"keras-stt (?:compare \w+|bench) +--[^\n`]+", text):
            yield pytest.param(line, id=f"{path.name}: {line[:40]}")


@pytest.mark.backend_free
@pytest.mark.parametrize("line", [*documented_commands()])
def test_documented_commands_parse(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in re.findall(r"--stem (\S+\.keras)", line):
        (tmp_path / file).touch()
    if "--help" not in line:
        assert settings_of(line)


@pytest.mark.backend_free
def test_a_comparison_takes_all_mixers_and_by_default_nine():
    assert settings_of("keras-stt compare classify").mixers == (
        *("stt-depthwise-synthesized", "stt-depthwise", "stt-dense", "stt-random"),
        *("mha", "axial-mha", "depthwise-conv", "depthwise-conv-5", "none"),
    )
    every = settings_of(f"keras-stt compare classify --mixers {' '.join(MIXERS)}")
    assert every.mixers == tuple(MIXERS)


@pytest.mark.backend_free
def test_help_shows_defaults_as_they_are_typed_and_mixers(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run("--help") == 0
    shown = " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    for default in ("8x8", "0.002", "64", "convolution"):
        assert f"[default: {default}]" in shown
    assert "default: (" not in shown
    assert "default: None" not in shown
    choices = re.search(r"\[choices: ([^]]*pooling[^]]*)\]", shown)[1]
    assert choices.split(", ") == list(MIXERS)


@pytest.mark.backend_free
@pytest.mark.parametrize("line", ["compare classify", "compare caption", "bench"])
def test_every_option_has_a_help_text(line):
    _, commands, _ = app.parse_commands(line.split())
    options = commands[-1].assemble_argument_collection(parse_docstring=True)
    shown = [option for option in options if option.show]
    assert len(shown) > 10
    assert [option.name for option in shown if not option.parameter.help] == []
