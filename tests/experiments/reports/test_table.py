"""Tests of the tables and the verdict."""

import re

import pytest
from samples import SAMPLE, partial_results, sample_results

from keras_stt.experiments.reports.results import TASKS, summary
from keras_stt.experiments.reports.table import (
    markdown_table,
    notes,
    terminal_table,
    unfinished,
    verdict,
)

pytestmark = pytest.mark.backend_free


def with_accuracies(**runs):
    """Results that hold nothing but these test accuracies in per cent."""
    names = [name.replace("_", "-") for name in runs]
    return {
        "schema": 1,
        "finished": True,
        "settings": {"mixers": names, "seeds": list(range(3))},
        "mixers": {
            name: {"test_accuracy": summary(value / 100 for value in values)}
            for name, values in zip(names, runs.values(), strict=True)
        },
    }


def body(text):
    """The rows of a terminal table by the mixer's name."""
    table = text.split("\n\n")[0]
    rows = re.split(r"^-+ [- ]*\n?", table, flags=re.MULTILINE)[2].splitlines()
    return {row.split()[0]: row for row in rows}


def cells(markdown):
    """The cells of a Markdown table, row by row."""
    table = markdown.split("\n\n")[0].splitlines()
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table
    ]


def test_terminal_table_shows_the_numbers():
    results = sample_results()
    rows = body(terminal_table(results))
    assert list(rows) == list(SAMPLE)
    entry = results["mixers"]["mha"]
    accuracy, steps = entry["test_accuracy"], entry["training_step_ms"]
    assert f" {100 * accuracy['mean']:.1f}±{100 * accuracy['std']:.1f} " in rows["mha"]
    assert f" {sorted(steps['runs'])[2]:.1f} " in rows["mha"]
    assert rows["mha"].split()[7:9] == ["215,178", "17.9"]
    assert rows["mha"].split()[-1] == "688"
    assert len(rows["mha"].split()) == 12


def test_terminal_table_marks_the_best_with_a_star():
    rows = body(terminal_table(sample_results()))
    assert [name for name, row in rows.items() if "*" in row] == ["depthwise-conv"]
    assert "*: best test accuracy." in terminal_table(sample_results())


@pytest.mark.parametrize("make", [sample_results, partial_results])
def test_terminal_table_is_aligned_and_fits(make):
    results = make()
    name = "a-mixer-with-a-name-" + 9 * "that-is-long-"
    results["mixers"][name] = {}
    text = terminal_table(results)
    assert max(map(len, text.splitlines())) <= 120
    # Every column but the starred one ends at the same place in each row.
    rows = [row for row in body(text).values() if len(row.split()) == 12]
    assert len(rows) == len(SAMPLE) + 1
    for column in range(2, 12):
        ends = {[m.end() for m in re.finditer(r"\S+", row)][column] for row in rows}
        assert len(ends) == 1, column
    # All of the name is there, on several lines.
    lines = text.split("\n\n")[0].splitlines()
    assert name in "".join(line[:40].split()[0] for line in lines)


def test_a_table_of_captioners_has_room_for_their_names():
    names = ["stt-factorized-random+mha", "mha+mha"]
    measures = TASKS["caption"].measures
    entry = {
        name: summary([0.123, 0.876]) if measure.is_quality else summary([987_654.3])
        for name, measure in measures.items()
    }
    entry["peak_step_bytes"] = summary([8000 * 2**20])
    entry["training_step_ms"] = entry["caption_ms"] = summary([999.9])
    results = {"schema": 1, "task": "caption", "variants": dict.fromkeys(names, entry)}
    text = terminal_table(results)
    assert list(body(text)) == names
    assert max(map(len, text.splitlines())) <= 120


def test_terminal_table_says_what_is_missing():
    text = terminal_table(partial_results())
    rows = body(text)
    assert rows["none"].split() == ["none", *["–"] * 11]
    assert rows["stt-dense"].split()[-3:] == ["–"] * 3
    assert "±" not in rows["mha"]
    assert text.splitlines()[-2:] == [
        "–: not measured.",
        "Unfinished: `mha` has 1 of 3 seeds; no result yet of `axial-mha`, "
        "`depthwise-conv`, `none`.",
    ]
    assert "Unfinished" not in terminal_table(sample_results())
    assert "not measured" not in terminal_table(sample_results())


def test_one_seed_has_no_spread():
    text = terminal_table(sample_results(["mha", "none"], seeds=(7,)))
    assert "one seed (7), so without a spread" in text
    assert not any("±" in row for row in body(text).values())


def test_unfinished_measures_are_named():
    results = sample_results(["mha"])
    assert unfinished(results) == []
    results["finished"] = False
    assert unfinished(results) == ["Unfinished: measures are missing."]


def test_markdown_table():
    text = markdown_table(sample_results())
    headings, rule, *rows = cells(text)
    assert [row[0] for row in rows] == list(SAMPLE)
    assert {len(row) for row in (headings, rule, *rows)} == {12}
    assert headings[:3] == ["mixer", "test accuracy (%)", "noise 0.05 (%)"]
    assert headings[6:8] == ["FGSM 8/255 (%)", "parameters"]
    assert all(re.fullmatch("-+:", cell) for cell in rule[1:])
    bold = [row[0] for row in rows if "**" in "".join(row)]
    assert bold == ["depthwise-conv"]
    assert "Bold: best test accuracy." in text


def test_markdown_table_escapes_pipes_and_shows_gaps():
    results = partial_results()
    results["mixers"]["a|b"] = {}
    text = markdown_table(results)
    assert cells(text)[-1] == ["a\\|b", *["–"] * 11]
    assert "`mha` has 1 of 3 seeds" in text


def test_notes_name_seeds_batch_and_machine():
    text = " ".join(notes(sample_results(["mha"], seeds=(3, 5), batch_size=64)))
    assert "over 2 seeds (3, 5)" in text
    assert "per batch of 64 on AMD EPYC with tensorflow" in text


@pytest.mark.parametrize("show", [terminal_table, markdown_table])
def test_tables_refuse_another_schema(show):
    with pytest.raises(ValueError, match="schema 1"):
        show({"schema": 3})


# Deviations by hand: (60, 61, 62) has 1.0, so two of them have √2 = 1.4 together.


@pytest.mark.parametrize(
    ("margin", "weight"),
    [
        (0.5, "within the spread"),
        (1.3, "within the spread"),
        (1.5, "more than the spread"),
        (2.7, "more than the spread"),
        (2.9, "more than twice the spread"),
    ],
)
def test_the_verdict_weighs_the_lead_over_the_baseline(margin, weight):
    higher = (60 + margin, 61 + margin, 62 + margin)
    # Between the two stands another, over which the lead is smaller.
    between = (60 + margin / 2,) * 3
    text = verdict(with_accuracies(stt_dense=higher, none=between, mha=(60, 61, 62)))
    assert text.startswith("`stt-dense` has the best test accuracy of 3 mixers")
    assert f"{margin:.1f} points above `mha` (61.0 ± 1.0 %)" in text
    assert f"{weight} between seeds (1.4)." in text


def test_the_verdict_with_the_baseline_ahead():
    runs = {"mha": (70, 71, 72), "none": (65, 66, 67), "stt_dense": (60, 61, 62)}
    text = verdict(with_accuracies(**runs))
    assert text.startswith("`mha` has the best")
    assert "5.0 points above `none`" in text


def test_the_verdict_on_level_mixers():
    runs = {"mha": (70, 71, 72), "none": (65, 66, 67), "stt_dense": (70.01, 71.01, 72)}
    text = verdict(with_accuracies(**runs))
    assert text.endswith("level with `mha` (71.0 ± 1.0 %).")
    assert "points" not in text


def test_the_verdict_of_little():
    assert "No test accuracy" in verdict(with_accuracies())
    only = verdict(with_accuracies(mha=(60, 61, 62)))
    assert "`mha`, the only mixer measured, reaches 61.0 ± 1.0 %" in only
    partial = verdict(with_accuracies(mha=(60,), none=(50,)))
    assert partial.startswith("So far, `mha`")
    assert "too few seeds" in partial
