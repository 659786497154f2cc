"""The tables that documents show are those of committed results."""

import re
from pathlib import Path

import pytest

from keras_stt.experiments.results import read_json, task_of
from keras_stt.experiments.table import markdown_table

ROOT = Path(__file__).parent.parent
RESULTS = sorted(ROOT.glob("docs/results/*/results.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_table_beside_the_results_is_made_from_them(path):
    assert markdown_table(read_json(path)) in (path.parent / "README.md").read_text()


@pytest.mark.parametrize("name", ["cifar10", "scenes", "ucm_captions"])
def test_readme_shows_the_committed_results(name):
    readme = (ROOT / "README.md").read_text()
    shown = re.search(rf"<!-- {name} -->\n(.*)<!-- /{name} -->", readme, re.DOTALL)
    results = read_json(ROOT / "docs" / "results" / name / "results.json")
    assert markdown_table(results) in shown[1]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_committed_results_are_whole_and_name_no_folder_of_a_machine(path):
    results = read_json(path)
    assert results["finished"]
    task = task_of(results)
    for entry in results[task.choices].values():
        assert len(entry[task.quality]["runs"]) == len(results["settings"]["seeds"])
    assert not re.search(r"/(home|root|work|tmp|Users)/", path.read_text())
