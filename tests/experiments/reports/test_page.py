"""Tests of the page: complete, self-contained, escaped."""

import base64
import re
from html.parser import HTMLParser

import pytest
from samples import SAMPLE, partial_results, sample_results

from keras_stt.experiments.reports.page import write_report
from keras_stt.experiments.reports.results import summary
from keras_stt.experiments.reports.table import unfinished, verdict

pytestmark = pytest.mark.backend_free

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Elements, attributes and texts; raises where tags do not match."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert self.open == []
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def with_class(self, name):
        return [each for _, each in self.tags if name in each.get("class", "").split()]


def plain(text):
    """A text without the marks of code and unbreakable spaces."""
    return text.replace("`", "").replace("\xa0", " ")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of a whole comparison; draws five figures, hence seconds."""
    return Page(write_report(sample_results(), tmp_path_factory.mktemp("report")))


def test_it_is_written_beside_its_figures(tmp_path):
    path = write_report(sample_results(["mha", "none"]), tmp_path / "out")
    assert path == tmp_path / "out" / "report.html"
    assert len(list(path.parent.glob("*.png"))) == 5
    assert len(list(path.parent.iterdir())) == 6
    for picture in path.parent.glob("*.png"):
        inside = base64.b64encode(picture.read_bytes()).decode()
        assert inside in path.read_text(encoding="utf-8")


def test_it_needs_no_other_file(page):
    assert not re.search(r"https?://|<script|<link|@import|url\(", page.source)
    assert len(page.all("img")) == 5
    for image in page.all("img"):
        assert image["src"].startswith("data:image/png;base64,")
        assert image["alt"]


def test_it_fits_a_phone(page):
    assert "viewport" in [meta.get("name") for meta in page.all("meta")]


def test_it_forbids_scripts_and_the_network(page):
    policies = [meta for meta in page.all("meta") if "http-equiv" in meta]
    assert [meta["http-equiv"] for meta in policies] == ["Content-Security-Policy"]
    assert "default-src 'none'" in policies[0]["content"]


def test_it_opens_with_the_verdict(page):
    assert "10 mixers" in page.text
    assert "cifar10" in page.text
    assert plain(verdict(sample_results())) in plain(page.text)
    assert not page.with_class("notice")


def test_it_has_every_mixer_and_measure(page):
    results = sample_results()
    for name, entry in results["mixers"].items():
        assert page.text.count(name) >= 3
        accuracy = entry["accuracy_noise_0.2"]
        shown = f"{100 * accuracy['mean']:.1f} ± {100 * accuracy['std']:.1f}"
        assert shown in page.text
        assert f"{SAMPLE[name][2]:,}" in page.text
    assert len(page.all("table")) == 3
    assert len(page.all("tr")) == 3 * 11


def test_the_best_of_each_accuracy_is_bold(page):
    quality = page.source.split("<table>")[1].split("</table>")[0]
    entries = sample_results()["mixers"].values()
    best = max(entry["accuracy_fgsm_8_255"]["mean"] for entry in entries)
    assert quality.count("<b>") == 6
    assert f"<b>{100 * best:.1f}</b>" in quality


def test_it_shows_the_search_and_its_choice(page):
    search = page.source.split("<table>")[3].split("</table>")[0]
    for rate in ("0.0005", "0.001", "0.002"):
        assert f'<th scope="col">{rate}</th>' in search
    assert search.count("<b>") == len(SAMPLE)
    row = search.split("stt-dense</th>")[1].split("</tr>")[0]
    assert re.findall(r"<td>(.*?)</td>", row) == ["64.1", "<b>67.1</b>", "64.1"]


def test_it_says_how_it_was_measured(page):
    results = sample_results()
    for fact in ("3.0.2", "20,000", "10,000", "AMD EPYC", "8 × 8", "0, 1, 2"):
        assert fact in page.text
    assert f"KERAS_BACKEND={results['backend']} {results['command']}" in page.text
    for package, version in results["versions"].items():
        assert package in page.text
        assert version in page.text


def test_a_report_of_captioners(tmp_path):
    """With the pictures that its comparison has left in the folder."""
    results = {
        "schema": 1,
        "task": "caption",
        "settings": {"variants": ["mha+mha"], "seeds": [0]},
        "variants": {"mha+mha": {"cider": summary([1.25]), "correct": summary([0.5])}},
    }
    (tmp_path / "gallery.png").write_bytes(b"picture")
    page = Page(write_report(results, tmp_path))
    assert "1.25" in page.text
    assert "50.0" in page.text
    assert base64.b64encode(b"picture").decode() in page.source
    assert {figure["id"] for figure in page.all("figure")} == {"accuracy", "gallery"}


def test_partial_results(tmp_path):
    page = Page(write_report(partial_results(), tmp_path))
    assert plain(verdict(partial_results())) in plain(page.text)
    for text in unfinished(partial_results()):
        assert plain(text) in plain(page.text)
    assert page.with_class("notice")
    assert len(page.all("img")) == 4


def test_results_that_hold_next_to_nothing(tmp_path):
    page = Page(write_report({"schema": 1}, tmp_path))
    assert verdict({"schema": 1}) in page.text
    assert page.all("img") == []


def test_without_a_search(tmp_path):
    results = sample_results(["mha", "own"], seeds=(0,), search=False)
    page = Page(write_report(results, tmp_path))
    assert len(page.all("table")) == 2
    assert "0.001" in page.text


def test_what_comes_from_outside_is_escaped(tmp_path):
    evil = '<img src=x onerror="alert(1)">&`$title`'
    results = sample_results([evil, "mha"])
    results["command"] = results["backend"] = evil
    results["dataset"]["name"] = results["dataset"]["version"] = evil
    results["device"] = {"kind": evil, "name": evil, "count": evil, "system": evil}
    results["versions"] = {evil: evil}
    results["settings"][evil] = [evil, {evil: evil}]
    del results["mixers"]["mha"]["test_accuracy"]
    page = Page(write_report(results, tmp_path))
    assert "onerror" in page.text
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert len(page.all("img")) == 5
    assert evil in page.text


def test_other_schemas_are_refused(tmp_path):
    with pytest.raises(ValueError, match="schema"):
        write_report({"schema": "1"}, tmp_path)
    assert not list(tmp_path.iterdir())
