"""The tables that documents show are those of committed results."""

import re
from pathlib import Path

import pytest

from keras_stt.experiments.bench import table as bench_table
from keras_stt.experiments.reports.files import read_json
from keras_stt.experiments.reports.results import difference, task_of
from keras_stt.experiments.reports.table import markdown_table

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


@pytest.mark.parametrize("page", ["README.md", "docs/results/cifar10/README.md"])
def test_quoted_differences_are_those_of_the_results(page):
    results = read_json(ROOT / "docs" / "results" / "cifar10" / "results.json")
    text = " ".join((ROOT / page).read_text().split())
    quoted = re.findall(r"`mha` is ([\d.]+) points above (?:`none`|no mixing)", text)
    assert quoted == [f"{difference(results, 'mha', 'none'):.1f}"]
    quoted = re.findall(r"`?stt-random`?\)? is ([\d.]+) points above `mha`", text)
    quoted += re.findall(r"to ([\d.]+) points above it \(`stt-random`\)", text)
    assert quoted == [f"{difference(results, 'stt-random', 'mha'):.1f}"]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_committed_results_are_whole_and_name_no_folder_of_a_machine(path):
    results = read_json(path)
    assert results["finished"]
    task = task_of(results)
    for entry in results[task.variants_key].values():
        assert len(entry[task.quality]["runs"]) == len(results["settings"]["seeds"])
    assert not re.search(r"/(home|root|work|tmp|Users)/", path.read_text())


SPEED = sorted(ROOT.glob("docs/results/speed/*/results.json"))


@pytest.mark.parametrize("path", SPEED, ids=lambda path: path.parent.name)
def test_committed_benchmarks_are_whole(path):
    results = read_json(path)
    assert results["finished"]
    assert not re.search(r"/(home|root|work|tmp|Users)/", path.read_text())
    table = (path.parent / "table.md").read_text()
    assert table == bench_table.markdown_table(results)


def test_the_page_of_the_benchmarks_shows_what_they_hold():
    page = (ROOT / "docs/results/speed/README.md").read_text()
    names = {"JAX": "jax", "TensorFlow": "tensorflow", "PyTorch": "torch"}
    shown = re.findall(r"\| (\w+) \| (\d+)×\d+ \| ([\d.]+) \| ([\d.,]+) \|", page)
    assert len(shown) == 9
    for backend, side, *times in shown:
        path = ROOT / "docs/results/speed" / names[backend] / "results.json"
        rows = {
            row["mixer"]: row
            for row in read_json(path)["rows"]
            if row["grid"] == [int(side)] * 2
        }
        for mixer, time in zip(("stt-dense", "mha"), times, strict=True):
            found = rows[mixer]["training_ms"]
            assert float(time.replace(",", "")) == pytest.approx(found, rel=5e-3)
