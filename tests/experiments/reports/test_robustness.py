"""Tables and pictures of `--robustness full`, against invented results."""

import numpy as np
import pytest
from samples import sample_results, with_robustness

from keras_stt.experiments.reports import robustness
from keras_stt.experiments.reports.page import write_report

pytestmark = pytest.mark.backend_free

MIXERS = ["stt-dense", "mha", "none"]
FAMILIES = {family.name: family for family in robustness.FAMILIES}


@pytest.fixture(scope="module")
def results():
    return with_robustness(sample_results(MIXERS))


def cells(results, family):
    table = robustness.table(results, FAMILIES[family])
    headings = [" ".join(heading) for heading in table["headings"]]
    return {
        row["name"]: dict(zip(headings, row["cells"], strict=True))
        for row in table["rows"]
    }


def accuracies(results, name):
    return 100 * np.array(results["mixers"][name]["test_accuracy"]["runs"])


def test_corruptions_are_means_over_their_kinds(results):
    found = cells(results, "corruptions")
    assert [*found] == ["stt-dense", "mha", "none"]
    for name, row in found.items():
        clean = accuracies(results, name)
        kinds = {
            "noise": np.mean([0.9, 0.9**2, 0.9**3]),
            "blur": np.mean([0.9**n for n in (4, 5, 6, 7)]),
            "weather": np.mean([0.9**n for n in (8, 9, 10, 11)]),
            "digital": np.mean([0.9**n for n in (12, 13, 14, 15)]),
        }
        for kind, share in kinds.items():
            assert row[kind]["number"] == f"{share * clean.mean():.1f}"
            assert row[kind]["spread"] == f"{share * clean.std(ddof=1):.1f}"
        loss = 100 * (1 - np.mean([*kinds.values()]))
        assert row["relative loss"]["number"] == f"{loss:.1f}"
        assert row["noise"]["bold"] == (name == "stt-dense")


def test_what_is_better_when_lower_is_bold_when_lowest(results):
    found = cells(results, "sizes")
    bold = [name for name in MIXERS if found[name]["calibration error"]["bold"]]
    assert bold == ["none"]
    number = found["none"]["calibration error"]["number"]
    assert number == f"{0.1 * accuracies(results, 'none').mean():.1f}"


def test_a_missing_size_is_a_dash(results):
    found = cells(results, "sizes")
    assert found["mha"]["size ×1.5"] == {"number": "–", "spread": "", "bold": False}
    assert found["none"]["size ×1.5"]["number"] != "–"


def test_the_size_of_training_is_on_the_line(results):
    figure = robustness.figure(results, FAMILIES["sizes"])
    lines = figure.axes[0].lines
    assert len(lines) == 2
    for line, name in zip(lines, ("stt-dense", "none"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [0.75, 0.875, 1, 1.25, 1.5])
        clean = accuracies(results, name).mean()
        shares = [0.9, 0.9**2, 1, 0.9**3, 0.9**4]
        np.testing.assert_allclose(line.get_ydata(), np.multiply(shares, clean))


def test_attacks_start_at_the_undisturbed_accuracy(results):
    left, right = robustness.figure(results, FAMILIES["attacks"]).axes
    np.testing.assert_array_equal(left.lines[0].get_xdata(), [0, 0.5, 1, 2, 4])
    np.testing.assert_array_equal(right.lines[0].get_xdata(), [0, 4, 8])
    for axes in (left, right):
        clean = accuracies(results, "stt-dense").mean()
        assert axes.lines[0].get_ydata()[0] == pytest.approx(clean)


def test_a_dot_for_every_corruption_and_mixer(results):
    (axes,) = robustness.figure(results, FAMILIES["corruptions"]).axes
    assert [len(line.get_xdata()) for line in axes.lines] == [15, 15, 15]
    assert {line.get_linestyle() for line in axes.lines} == {"None"}
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "gaussian noise"
    assert names[-1] == "jpeg compression"


def test_the_report_has_a_section_for_each_family(results, tmp_path):
    source = write_report(results, tmp_path).read_text(encoding="utf-8")
    for family in robustness.FAMILIES:
        assert f"<h3>{family.title}</h3>" in source
        assert (tmp_path / f"{family.name}.png").exists()


def test_a_standard_comparison_has_none_of_them(tmp_path):
    source = write_report(sample_results(MIXERS), tmp_path).read_text(encoding="utf-8")
    assert "<h3>" not in source
    assert not (tmp_path / "attacks.png").exists()
