"""The tables that documents show are those of committed results."""

import json
import re
import statistics
from pathlib import Path

import pytest

from keras_stt.experiments.bench import table as bench_table
from keras_stt.experiments.files import read_json
from keras_stt.experiments.reports import robustness
from keras_stt.experiments.reports.results import difference, task_of
from keras_stt.experiments.reports.table import markdown_table

ROOT = Path(__file__).parent.parent
RESULTS = sorted(ROOT.glob("docs/results/*/results.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_table_beside_the_results_is_made_from_them(path):
    assert markdown_table(read_json(path)) in (path.parent / "README.md").read_text()


@pytest.mark.parametrize("family", robustness.FAMILIES, ids=lambda family: family.name)
def test_tables_of_robustness_are_those_of_the_results(family):
    folder = ROOT / "docs/results/cifar10_robustness"
    made = robustness.table(read_json(folder / "results.json"), family)
    lines = (folder / "README.md").read_text().split(f"## {family.title}\n")[1]
    rows = [re.findall(r"[\w.-]+", line) for line in lines.splitlines()]
    for row in made["rows"]:
        assert [row["name"], *(cell["number"] for cell in row["cells"])] in rows


@pytest.mark.parametrize("name", ["cifar10_depthwise", "scenes", "ucm_captions"])
def test_readme_shows_the_committed_results(name):
    readme = (ROOT / "README.md").read_text()
    shown = re.search(rf"<!-- {name} -->\n(.*)<!-- /{name} -->", readme, re.DOTALL)
    results = read_json(ROOT / "docs" / "results" / name / "results.json")
    assert markdown_table(results, brief=True) in shown[1]


#: What pages say of the difference between two mixers, in the results of a page.
QUOTED = [
    (
        "README.md",
        "cifar10",
        "stt-random",
        "mha",
        r"`stt-random` ([\d.]+) points above",
    ),
    ("cifar10", "cifar10", "mha", "none", r"`mha` is ([\d.]+) points above `none`"),
    (
        "cifar10",
        "cifar10",
        "stt-random",
        "mha",
        r"`stt-random` is ([\d.]+) points above",
    ),
    *(
        ("cifar10_depthwise", "cifar10_depthwise", mixer, "depthwise-conv-5", words)
        for mixer, words in (
            ("stt-depthwise", r"`stt-depthwise` is ([\d.]+) points above it"),
            (
                "stt-depthwise-synthesized",
                r"`stt-depthwise-synthesized` is ([\d.]+) points above the 5×5",
            ),
        )
    ),
    *(
        ("cifar10_grid16", "cifar10_grid16", mixer, "depthwise-conv-5", words)
        for mixer, words in (
            ("stt-depthwise", r"`stt-depthwise` is ([\d.]+) points above the 5×5"),
            (
                "stt-depthwise-synthesized",
                r"`stt-depthwise-synthesized` ([\d.]+), twice",
            ),
        )
    ),
    (
        *("README.md", "cifar10_grid16", "stt-depthwise", "depthwise-conv-5"),
        r"clearly: `stt-depthwise` is ([\d.]+) points above that convolution",
    ),
    *(
        ("cifar10_long", "cifar10_long", "stt-depthwise", other, words)
        for other, words in (
            ("mha", r"Depthwise STT is ([\d.]+) points above full attention"),
            ("depthwise-conv-5", r"and ([\d.]+) points above the convolution"),
        )
    ),
    (
        *("README.md", "cifar10_long", "stt-depthwise", "mha"),
        r"77.7 %: ([\d.]+) points above MultiHeadAttention",
    ),
    (
        *("README.md", "cifar10_long", "stt-depthwise", "depthwise-conv-5"),
        r"and ([\d.]+) above that convolution",
    ),
    (
        *("README.md", "cifar10_depthwise", "stt-depthwise-synthesized"),
        *("depthwise-conv-5", r"from the image it is ([\d.]+) points better"),
    ),
    (
        *("cifar10_depthwise", "cifar10_depthwise", "depthwise-conv-5"),
        *("depthwise-conv", r"5×5 is ([\d.]+) points better"),
    ),
    *(
        (page, source, "stt-depthwise-synthesized", "depthwise-conv-5", words)
        for page, source, words in (
            (
                *2 * ("cifar10_convolution_depthwise",),
                r"is ([\d.]+) points above the 5×5",
            ),
            (
                *("docs/choosing.md", "cifar10_depthwise"),
                r"MultiHeadAttention, ([\d.]+) above the best convolution",
            ),
            (
                *("docs/choosing.md", "cifar10_grid16"),
                r"and ([\d.]+) above it on a \[finer grid\]",
            ),
            (
                *("docs/results/README.md", "cifar10_depthwise"),
                r"up to ([\d.]+) points above the best convolution",
            ),
            (
                *("docs/results/README.md", "cifar10_grid16"),
                r"([\d.]+) points above the best convolution at 16×16",
            ),
        )
    ),
]


@pytest.mark.parametrize(("page", "source", "mixer", "other", "words"), QUOTED)
def test_quoted_differences_are_those_of_the_results(page, source, mixer, other, words):
    folder = ROOT / "docs" / "results"
    results = read_json(folder / source / "results.json")
    path = ROOT / page if page.endswith(".md") else folder / page / "README.md"
    text = " ".join(path.read_text().split())
    assert re.findall(words, text) == [f"{difference(results, mixer, other):.1f}"]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_committed_results_are_whole_and_name_no_folder_of_a_machine(path):
    results = read_json(path)
    assert results["finished"]
    task = task_of(results)
    for entry in results[task.variants_key].values():
        assert len(entry[task.quality]["runs"]) == len(results["settings"]["seeds"])
    assert not re.search(r"/(home|root|work|tmp|Users)/", path.read_text())


def test_the_table_of_the_ablation_is_that_of_its_results():
    folder = ROOT / "docs/results/depthwise"
    content = read_json(folder / "validation.json")
    assert not re.search(r"/(home|root|work|tmp|Users)/", json.dumps(content))
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (folder / "README.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    shown = {row[0]: row[1:] for row in rows if row[0] not in ("variant", ":--")}
    assert set(shown) == set(content["variants"])
    for name, entry in content["variants"].items():
        by_rate = entry["validation_accuracy"]
        rate = max(by_rate, key=lambda rate: statistics.fmean(by_rate[rate]))
        runs = [100 * run for run in by_rate[rate]]
        assert len(runs) == len(content["seeds"])
        mean, deviation = statistics.fmean(runs), statistics.stdev(runs)
        assert shown[name] == [
            f"{entry['parameters']:,}",
            f"{float(rate):g}",
            *(f"{run:.1f}" for run in runs),
            f"{mean:.1f} ± {deviation:.1f}",
        ], name


def test_the_table_of_quantisation_is_that_of_its_results():
    folder = ROOT / "docs/results/quantization"
    content = read_json(folder / "test.json")
    text = (folder / "README.md").read_text()
    assert not re.search(r"/(home|root|work|tmp|Users)/", json.dumps(content))
    for mixer, runs in content["mixers"].items():
        assert len(runs) == len(content["seeds"]) == 3
        modes = ("float32", "int8", "int4")
        means = {
            (mode, key): statistics.fmean(run[mode][key] for run in runs)
            for mode in modes
            for key in ("test_accuracy", "file_bytes")
        }
        accuracies = [f"{100 * means[mode, 'test_accuracy']:.1f}" for mode in modes]
        sizes = [f"{means[mode, 'file_bytes'] / 1000:.0f}" for mode in modes]
        assert f"| `{mixer}` | {' | '.join(accuracies + sizes)} |" in text


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


@pytest.mark.parametrize(("backend", "name"), [("jax", "JAX"), ("torch", "PyTorch")])
def test_the_page_of_the_benchmarks_shows_depthwise_stt(backend, name):
    page = (ROOT / "docs/results/speed/README.md").read_text()
    rows = read_json(ROOT / f"docs/results/speed/depthwise-{backend}/results.json")
    for side in (8, 16, 32, 64):
        ms = {
            row["mixer"]: row["training_ms"]
            for row in rows["rows"]
            if row["grid"] == [side, side]
        }
        stt, convolution = ms["stt-depthwise"], ms["depthwise-conv-5"]
        floor, synthesized = ms["floor-depthwise"], ms["stt-depthwise-synthesized"]
        assert (
            f"| {name}, {side}×{side} | {stt:.3g} | {stt / floor:.2f} | "
            f"{synthesized / floor:.2f} | {convolution:.3g} | {stt / convolution:.2f} |"
        ) in page


def test_the_tests_that_a_page_names_are_there():
    rows = [
        line
        for line in (ROOT / "docs/multi_head_attention.md").read_text().splitlines()
        if "test_" in line
    ]
    assert len(rows) > 15
    for row in rows:
        files = [
            path
            for name in re.findall(r"`([\w/]*test_\w+\.py)`", row)
            for path in (ROOT / "tests").rglob("test_*.py")
            if path.as_posix().endswith(f"/{name}")
        ]
        assert files, row
        sources = "".join(path.read_text() for path in files)
        for test in re.findall(r"`(test_\w+)`", row):
            assert f"def {test}(" in sources, row


def test_the_tables_of_surgery_are_those_of_its_results():
    folder = ROOT / "docs/results/surgery"
    found = read_json(folder / "validation.json")["validation_accuracy"]
    page = (folder / "README.md").read_text()
    for part, measures in found.items():
        numbers = {name: f"{100 * runs[0]:.1f}" for name, runs in measures.items()}
        kind, _, mixer = part.partition(" ")
        if kind == "resize":
            row = " | ".join([f"`{mixer}`", *numbers.values()])
            assert f"| {row} |" in page
    replaced = {n: f"{100 * r[0]:.1f}" for n, r in found["replace"].items()}
    for name, shown in (
        ("with attention", "with attention"),
        ("fitted", "STT, fitted to the mean maps"),
        ("projections kept", "STT, projections kept, no fit"),
        ("depthwise STT", "depthwise STT"),
    ):
        after = replaced[f"{name}, an epoch more"]
        assert f"| {shown} | {replaced[name]} | {after} |" in page
    assert f"| – | {replaced['STT, an epoch from scratch']} |" in page
    inserted = {n: f"{100 * r[0]:.1f}" for n, r in found["insert"].items()}
    before, after = inserted["convolutions"], inserted["inserted"]
    more = inserted["inserted, two epochs more"]
    assert f"| {before} | {after} | {more} |" in page
    assert f"| {before} | – | {inserted['convolutions, two epochs more']} |" in page
