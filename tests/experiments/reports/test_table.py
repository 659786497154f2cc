"""Tests of the tables, and of the sentences on what came out."""

import re

import pytest
from samples import SAMPLE, partial_results, sample_results

from keras_stt.experiments.reports.results import summary
from keras_stt.experiments.reports.table import (
    limits,
    markdown_table,
    notes,
    outcome,
    terminal_table,
    unfinished,
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
    rows = text.split("\n" + "-" * 20)[1].splitlines()[1:]
    return {row.split()[0]: row for row in rows}


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
    results["mixers"]["a-mixer-with-a-name-" + 9 * "that-goes-on-"] = {}
    lines = terminal_table(results).splitlines()
    assert max(map(len, lines)) <= 120
    # Every column but the starred one ends at the same place in each row.
    rows = lines[4 : 4 + len(SAMPLE) + 1]
    for column in range(2, 12):
        ends = {[m.end() for m in re.finditer(r"\S+", row)][column] for row in rows}
        assert len(ends) == 1, column
    assert "…" in rows[-1]


def test_columns_keep_their_distance():
    lines = terminal_table(sample_results()).splitlines()
    assert all(re.search(r"\S {2,}\S", line) for line in lines[4:14])
    assert not any(re.search(r"\S \S", line) for line in lines[4:14])


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


def test_unfinished_measures_are_told():
    results = sample_results(["mha"])
    assert unfinished(results) == []
    results["finished"] = False
    assert unfinished(results) == ["Unfinished: measures are missing."]


def test_markdown_table():
    lines = markdown_table(sample_results()).splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines[: 2 + len(SAMPLE)]]
    assert {len(row) for row in cells} == {12}
    assert cells[0][:3] == ["mixer", "test accuracy (%)", "noise 0.05 (%)"]
    assert cells[0][6:8] == ["FGSM 8/255 (%)", "parameters"]
    assert cells[1] == [":--", *["--:"] * 11]
    bold = [row[0] for row in cells if "**" in "".join(row)]
    assert bold == ["depthwise-conv"]
    assert "Bold: best test accuracy." in lines[-1]


def test_markdown_table_escapes_pipes_and_shows_gaps():
    results = partial_results()
    results["mixers"]["a|b"] = {}
    text = markdown_table(results)
    assert "| a\\|b | – |" in text
    assert "Unfinished: `mha` has 1 of 3 seeds" in text


def test_notes_name_seeds_batch_and_machine():
    text = " ".join(notes(sample_results(["mha"], seeds=(3, 5), batch_size=64)))
    assert "over 2 seeds (3, 5)" in text
    assert "per batch of 64 on AMD EPYC with tensorflow" in text


@pytest.mark.parametrize("show", [terminal_table, markdown_table])
def test_tables_refuse_another_schema(show):
    with pytest.raises(ValueError, match="schema 1"):
        show({"schema": 3})


# Deviations by hand: (60, 61, 62) has 1.0, so two of them have √2 = 1.4 together.


def test_outcome_names_best_margin_and_spread():
    first, *_ = outcome(with_accuracies(stt_dense=(65, 66, 67), mha=(60, 61, 62)))
    assert first == (
        "`stt-dense` has the best test accuracy of 2 mixers, 66.0 ± 1.0 %, 5.0 points "
        "above `mha` (61.0 ± 1.0 %), more than twice the spread between seeds "
        "(1.4 points)."
    )


@pytest.mark.parametrize(
    ("margin", "verdict"),
    [
        (1.3, "within the spread between seeds (1.4 points)."),
        (1.5, "more than the spread between seeds (1.4 points) but not twice it."),
        (2.7, "more than the spread between seeds (1.4 points) but not twice it."),
        (2.9, "more than twice the spread between seeds (1.4 points)."),
    ],
)
def test_outcome_weighs_the_margin(margin, verdict):
    higher = (60 + margin, 61 + margin, 62 + margin)
    first, *_ = outcome(with_accuracies(stt_dense=higher, mha=(60, 61, 62)))
    assert first.endswith(verdict)


@pytest.mark.parametrize(
    ("margin", "words"),
    [
        (-3.0, "3.0 points below `none` (61.0 ± 1.0 %)"),
        (0.0, "level with `none`"),
        (1.0, "has not begun to help at this budget"),
        (2.0, "helps little at this budget"),
        (3.0, "dot-product attention helps at this budget."),
    ],
)
def test_outcome_says_where_the_baseline_stands(margin, words):
    mha = (60 + margin, 61 + margin, 62 + margin)
    results = with_accuracies(stt_dense=(70, 70, 70), mha=mha, none=(60, 61, 62))
    line = next(line for line in outcome(results) if line.startswith("`mha` is"))
    assert words in line
    assert ("says little" in line) == (margin <= 1)


def test_outcome_without_a_baseline():
    text = " ".join(outcome(with_accuracies(stt_dense=(60, 61), none=(50, 51))))
    assert "Without a result of `mha`" in text
    text = " ".join(outcome(with_accuracies(stt_dense=(60, 61), mha=(50, 51))))
    assert "Without a result of `none`" in text


def test_outcome_with_attention_ahead():
    runs = {"mha": (70, 71, 72), "none": (65, 66, 67), "stt_dense": (60, 61, 62)}
    first, *others = outcome(with_accuracies(**runs))
    assert first.startswith(
        "`mha` has the best test accuracy of 3 mixers, 71.0 ± 1.0 %, "
    )
    assert "5.0 points above `none`" in first
    assert any("`stt-dense`, reaches 61.0" in line for line in others)
    assert any("10.0 points below `mha`" in line for line in others)


def test_outcome_with_another_mixer_ahead():
    lines = outcome(sample_results())
    assert lines[0].startswith(
        "`depthwise-conv` has the best test accuracy of 10 mixers"
    )
    assert "above `mha`" in lines[0]
    assert lines[1].startswith("It is 0.9 points above `stt-mixture-dot`")
    assert any(line.startswith("The best STT, `stt-mixture-dot`") for line in lines)


def test_outcome_compares_step_times():
    results = with_accuracies(stt_dense=(70, 71), mha=(60, 61))
    for name, times in (("stt-dense", (50, 60, 990)), ("mha", (240, 240, 1))):
        results["mixers"][name]["training_step_ms"] = summary(times)
    assert outcome(results)[-1] == (
        "A training step of `stt-dense` takes 0.25 times as long as one of `mha` "
        "(60.0 against 240.0 ms)."
    )


def test_outcome_of_little():
    assert outcome(with_accuracies()) == ["No test accuracy has been measured yet."]
    assert outcome(with_accuracies(mha=(60, 61, 62))) == [
        "`mha`, the only mixer measured, reaches 61.0 ± 1.0 %."
    ]
    first, second = outcome(with_accuracies(mha=(60,), none=(50,)))
    assert first.startswith("So far, `mha`")
    assert "too few seeds to know the spread" in first
    assert "too few seeds to know the spread" in second


def test_limits_follow_the_results():
    text = " ".join(limits(sample_results()))
    # sqrt(0.68 * 0.32 / 10,000) = 0.0047
    assert "10,000 test images leave a standard error of 0.5 points" in text
    assert "3 seeds show a spread only roughly" in text
    assert "at an end of the range" in text
    assert "scenes" not in text

    results = sample_results(["mha"], seeds=(0,), search=False)
    results["dataset"] |= {"name": "scenes", "test_images": 400}
    text = " ".join(limits(results))
    assert "standard error of 2.4 points" in text
    assert "With a single seed" in text
    assert "No learning rate was searched" in text
    assert "`scenes` is drawn by a program" in text


def test_limits_name_the_mixers_at_the_edge():
    results = sample_results(["stt-dense", "mha"])
    line = next(line for line in limits(results) if "search" in line)
    assert "for `mha`." in line
    results["search"]["mha"]["best"] = 0.001
    assert "end of the range" not in " ".join(limits(results))
