"""Tables and slopes of made-up measurements, by hand."""

import pytest

from keras_stt.experiments.bench.figures import growth, write_figures
from keras_stt.experiments.bench.table import markdown_table, slopes, terminal_table

pytestmark = pytest.mark.backend_free


def row(mixer, side, batch, training, peak=2**20, error=None, calls=100):
    return {
        "mixer": mixer,
        "grid": [side, side],
        "batch": batch,
        "dtype": "float32",
        "forward_ms": training and training / 2,
        "training_ms": training,
        "training_calls": training and calls,
        "training_quartiles_ms": training and [0.9 * training, 1.1 * training],
        "peak_bytes": training and peak,
        "multiply_adds": 1_234_567,
        "parameters": 5000,
        "error": error,
    }


def results(rows):
    return {
        "backend": "jax",
        "device": {"kind": "cpu", "name": "Some CPU", "count": 2},
        "settings": {"channels": 64, "num_heads": 4, "dtype": "float32"},
        "rows": rows,
    }


TWO_GRIDS = results(
    [
        row("floor", 8, 4, 1.0),
        row("stt-dense", 8, 4, 1.25, 2**21),
        row("mha", 8, 4, 2.0),
        row("floor", 32, 1, 4.0),
        row("stt-dense", 32, 1, 5.0, 2**23),
        row("mha", 32, 1, None, error="out of memory"),
    ]
)


def test_slopes_are_per_example():
    # From 64 to 1,024 positions, 16 times as many: 1/4 to 4 ms is 16 times the time,
    # 2 MiB/4 to 8 MiB is 16 times the memory.
    assert slopes(TWO_GRIDS, "training_ms") == pytest.approx(
        {"floor": 1.0, "stt-dense": 1.0}
    )
    assert slopes(TWO_GRIDS, "peak_bytes")["stt-dense"] == pytest.approx(1.0)
    assert slopes(TWO_GRIDS, "peak_bytes")["floor"] == pytest.approx(0.5)


def test_depthwise_stt_has_a_floor_of_its_own():
    rows = [
        row("floor", 8, 4, 1.0),
        row("floor-depthwise", 8, 4, 0.5),
        row("stt-depthwise", 8, 4, 3.0),
        row("depthwise-conv", 8, 4, 2.0),
    ]
    table = markdown_table(results(rows))
    ratios = {
        cells[1].strip(): cells[5].strip()
        for cells in (line.split("|") for line in table.splitlines())
        if len(cells) > 5
    }
    assert ratios["stt-depthwise"] == "6.00"
    assert ratios["depthwise-conv"] == "2.00"
    assert ratios["floor-depthwise"] == "1.00"
    assert "of stt-depthwise*, those of depthwise STT" in table
    # A file of a time when there was no such floor.
    older = markdown_table(results([rows[0], rows[2]]))
    assert "stt-depthwise" in older
    assert "of stt-depthwise*" not in older


def test_a_busy_machine_is_told():
    rows = [row("floor", 8, 4, 1.0), row("mha", 8, 4, 2.0), row("none", 8, 4, None)]
    assert "busy" not in markdown_table(results(rows))
    rows[1]["training_quartiles_ms"] = [1.8, 2.5]  # 35 % of the median
    note = "spreads over more than 30 % of the median for mha at 8×8: the machine"
    assert note in markdown_table(results(rows))


def test_the_line_is_that_of_least_squares():
    rows = [row("floor", 2**k, 1, t) for k, t in ((0, 1.0), (1, 2.0), (2, 16.0))]
    # log2: x = 0, 2, 4; y = 0, 1, 4: slope (−2·(−5/3) + 2·(7/3)) / 8 = 1.
    assert slopes(results(rows), "training_ms") == pytest.approx({"floor": 1.0})


@pytest.mark.parametrize("table", [markdown_table, terminal_table])
def test_what_a_table_says(table):
    text = table(TWO_GRIDS)
    lines = text.splitlines()
    first = next(line for line in lines if "stt-dense" in line)
    cells = first.replace("|", " ").split()
    assert cells == [
        "stt-dense",
        "0.625",
        "1.25",
        "1.25",
        "1.25",
        "2.00",
        "1.23",
        "5,000",
    ]
    failed = [line for line in lines if line.replace("|", " ").split()[:1] == ["mha"]][
        1
    ]
    assert failed.replace("|", " ").split()[1:6] == ["–"] * 5
    text = " ".join(text.split())
    assert "mha at 32×32: out of memory." in text
    assert "Grid 8×8, batch 4" in text
    assert "Some CPU (2 cores)" in text
    assert "stt-dense 1.00 (1.00)" in text


def test_layers_are_compared_with_stt():
    text = markdown_table(TWO_GRIDS)
    assert "Training steps at 8×8, stt-dense being 1: mha 1.60." in text
    assert "Training steps at 32×32" not in text  # nothing to compare with
    assert "being 1" not in markdown_table(results([TWO_GRIDS["rows"][0]]))


def test_doubtful_numbers_are_named():
    assert "Fewer than" not in markdown_table(TWO_GRIDS)
    assert "peak of 0" not in markdown_table(TWO_GRIDS)
    rows = [row("floor", 8, 4, 1.0), row("mha", 8, 4, 2.0, peak=0, calls=9)]
    text = markdown_table(results(rows))
    assert "Fewer than 10 training steps were timed of mha at 8×8;" in text
    assert "A peak of 0" in text


def test_one_grid_has_bars_and_no_slopes(tmp_path):
    one = results(TWO_GRIDS["rows"][:3])
    assert [path.name for path in write_figures(one, tmp_path)] == ["time.png"]
    assert "power" not in markdown_table(one)


def test_the_legend_has_room_for_the_longest_name():
    name = "stt-depthwise-synthesized"
    rows = [row(name, side, 4, float(side)) for side in (8, 16)]
    figure = growth(results(rows), ["forward_ms", "training_ms"])
    figure.draw_without_rendering()
    legend = figure.axes[-1].get_legend().get_window_extent()
    assert legend.x1 < figure.bbox.width
