"""Tests of the figures: what they show, their files and their colours."""

import io
import itertools
import math

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.markers import MarkerStyle
from PIL import Image
from samples import SAMPLE, partial_results, sample_results

from keras_stt.experiments.bench.floor import FLOORS
from keras_stt.experiments.bench.layers import CONTENDERS
from keras_stt.experiments.compare.settings import DEFAULT_MIXERS
from keras_stt.experiments.reports import plots
from keras_stt.experiments.reports.looks import COLORS, looks
from keras_stt.experiments.reports.plots import write_figures
from keras_stt.experiments.reports.results import ranked, summary
from keras_stt.experiments.reports.tasks import MISSING
from keras_stt.mixers import MIXERS

pytestmark = pytest.mark.backend_free

ALL = ["accuracy.png", "learning.png", "robustness.png", "cost.png", "trade_off.png"]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def names(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def line_of(axes, mixer):
    """The curve of a mixer: the line of its colour with more than one point."""
    return next(
        line
        for line in axes.lines
        if line.get_color() == COLORS[mixer].color and len(line.get_xdata()) > 1
    )


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (sample_results(), ALL),
        (partial_results(), [*ALL[:3], ALL[4]]),
        (sample_results(["stt-random", "mine"], seeds=(0,), epochs=1), ALL),
    ],
    ids=["whole", "partial", "small"],
)
def test_files(tmp_path, results, expected):
    """Draws up to five figures, hence a second or two."""
    paths = write_figures(results, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == expected
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(expected)
    for path in paths:
        image = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
        assert image.width == 1400
        assert image.getpixel((0, 0)) == (255, 255, 255)
        assert len(image.resize((70, 40)).getcolors(2800)) > 20


def test_names_are_text_and_never_leave_the_figure():
    formula = r"$\frac$"
    long = "a-mixer-with-a-name-that-goes-on-and-on"
    results = sample_results([formula, long])
    with matplotlib.rc_context(plots.STYLE):
        for draw in (plots.accuracy, plots.learning, plots.cost, plots.trade_off):
            figure = draw(results)
            box = figure.get_tightbbox()
            assert box.x0 >= 0
            assert box.x1 <= 7
            shown = names(figure.axes[0])
            if figure.axes[-1].get_legend():
                shown += legend_names(figure.axes[-1])
            assert {formula, f"{long[:23]}…"} <= set(shown)


def test_files_are_the_same_each_time(tmp_path):
    """Draws ten figures, hence a few seconds."""
    results = sample_results(["stt-dense", "mha"])
    first, second = (
        [path.read_bytes() for path in write_figures(results, tmp_path / folder)]
        for folder in "ab"
    )
    assert first == second


@pytest.mark.parametrize(
    "results",
    [
        {"schema": 1},
        {"schema": 1, "settings": {"mixers": ["mha"]}, "mixers": {}},
        {"schema": 1, "mixers": {"mha": {"history": [{"loss": []}]}}},
    ],
)
def test_without_data_there_is_no_figure(tmp_path, results):
    assert write_figures(results, tmp_path) == []


def test_other_schemas_are_refused(tmp_path):
    with pytest.raises(ValueError, match="schema 1"):
        write_figures({"schema": 2}, tmp_path)


def test_the_callers_style_is_left_alone(tmp_path):
    before = [matplotlib.rcParams[key] for key in plots.STYLE]
    write_figures(sample_results(["mha"]), tmp_path)
    assert [matplotlib.rcParams[key] for key in plots.STYLE] == before
    assert before != list(plots.STYLE.values())


def test_accuracy_has_bars_dots_and_references():
    results = sample_results()
    left, right = plots.accuracy(results).axes
    order = ranked(results)
    assert names(left) == order
    means = [100 * results["mixers"][name]["test_accuracy"]["mean"] for name in order]
    assert [bar.get_width() for bar in left.patches] == pytest.approx(means)
    assert left.get_xlim()[0] == 0
    assert any(np.allclose(line.get_xdata(), 10) for line in left.lines)
    dots = [line for line in right.lines if line.get_marker() == "o"]
    for name, line in zip(order, dots, strict=True):
        runs = results["mixers"][name]["test_accuracy"]["runs"]
        assert line.get_xdata() == pytest.approx([100 * run for run in runs])
        assert line.get_color() == COLORS[name].color
    assert "mha" in texts(right)
    low, high = right.get_xlim()
    assert all(low < x < high for line in dots for x in line.get_xdata())


def test_learning_shows_the_mean_between_lowest_and_highest():
    results = sample_results(["mha"])
    left, right = plots.learning(results).axes
    for axes, key, scale in ((left, "loss", 1), (right, "accuracy", 100)):
        seeds = [seed[key] for seed in results["mixers"]["mha"]["history"]]
        line = line_of(axes, "mha")
        assert line.get_xdata() == pytest.approx(range(1, 7))
        assert line.get_ydata() == pytest.approx(scale * np.mean(seeds, axis=0))
        band = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert band.max() == pytest.approx(scale * np.max(seeds))
        assert band.min() == pytest.approx(scale * np.min(seeds))
    assert "%" in right.get_ylabel()
    assert "mha" in legend_names(right)


def test_learning_leaves_seeds_under_way_out():
    results = sample_results(["mha"])
    history = results["mixers"]["mha"]["history"]
    for series in history[2].values():
        del series[2:]
    left, _ = plots.learning(results).axes
    expected = np.mean([seed["loss"] for seed in history[:2]], axis=0)
    assert line_of(left, "mha").get_ydata() == pytest.approx(expected)


def test_learning_leaves_a_hole_where_a_loss_was_not_finite():
    results = sample_results(["mha"])
    for seed in results["mixers"]["mha"]["history"]:
        seed["loss"][0] = None
    left, _ = plots.learning(results).axes
    assert math.isnan(line_of(left, "mha").get_ydata()[0])


def test_robustness_starts_at_the_clean_accuracy():
    results = sample_results()
    left, right = plots.robustness(results).axes
    for mixer, entry in results["mixers"].items():
        clean = 100 * entry["test_accuracy"]["mean"]
        noisy, attacked = (line_of(axes, mixer) for axes in (left, right))
        assert noisy.get_xdata() == pytest.approx([0, 0.05, 0.1, 0.2])
        assert attacked.get_xdata() == pytest.approx([0, 2, 8])
        assert noisy.get_ydata()[0] == attacked.get_ydata()[0] == pytest.approx(clean)
        last = 100 * entry["accuracy_fgsm_8_255"]["mean"]
        assert attacked.get_ydata()[-1] == pytest.approx(last)


def legend_names(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize(("more", "span"), [(0.01, 0.202), (1.0, 1.24)])
def test_small_differences_of_cost_look_small(more, span):
    results = sample_results(["mha", "none"])
    for name, cost in (("none", 1.0), ("mha", 1.0 + more)):
        results["mixers"][name]["multiply_adds"] = summary([1e6 * cost])
    left, right = plots.trade_off(results).axes[0].get_xlim()
    assert right - left == pytest.approx(span)
    assert (left + right) / 2 == pytest.approx(1 + more / 2)


@pytest.mark.parametrize("draw", [plots.learning, plots.robustness, plots.trade_off])
def test_the_legend_covers_no_data(draw):
    with matplotlib.rc_context(plots.STYLE):
        figure = draw(sample_results())
        axes = figure.axes[-1]
        assert sorted(legend_names(axes)) == sorted(SAMPLE)
        box = axes.get_legend().get_window_extent()
        width, height = figure.bbox.size
    assert not any(box.overlaps(panel.bbox) for panel in figure.axes)
    assert box.x1 < width
    assert box.y0 > 0
    assert box.y1 < height


def test_all_legends_have_the_best_first():
    results = sample_results()
    with matplotlib.rc_context(plots.STYLE):
        for draw in (plots.learning, plots.robustness):
            _, right = draw(results).axes
            assert legend_names(right) == ranked(results)


def test_cost_shows_medians_and_gaps():
    results = sample_results()
    results["mixers"]["mha"]["peak_step_bytes"] = None
    steps, _, peak = plots.cost(results).axes
    assert names(steps) == ranked(results)
    row = ranked(results).index("mha")
    times = results["mixers"]["mha"]["training_step_ms"]["runs"]
    assert steps.patches[row].get_width() == pytest.approx(np.median(times))
    assert texts(peak)[row].strip() == MISSING
    for entry in results["mixers"].values():
        entry["peak_step_bytes"] = None
    assert len(plots.cost(results).axes) == 2


def test_trade_off_places_every_mixer():
    results = sample_results()
    with matplotlib.rc_context(plots.STYLE):
        (axes,) = plots.trade_off(results).axes
    for mixer, entry in results["mixers"].items():
        point = next(
            line for line in axes.lines if line.get_color() == COLORS[mixer].color
        )
        assert point.get_marker() == COLORS[mixer].marker
        assert point.get_xdata() == pytest.approx([SAMPLE[mixer][2 + 1]])
        mean = 100 * entry["test_accuracy"]["mean"]
        assert point.get_ydata() == pytest.approx([mean])


def test_every_mixer_has_a_look_of_its_own():
    assert set(COLORS) == {*FLOORS, *CONTENDERS}
    assert len({(look.color, look.line) for look in COLORS.values()}) == len(COLORS)
    # Others are drawn with their edge alone, which figures draw in white.
    assert all(MarkerStyle(look.marker).is_filled() for look in COLORS.values())
    variants = [*MIXERS, "mine", "yours"]
    assert len(set(looks(sample_results(variants)).values())) == len(variants)


def test_unknown_mixers_get_looks_of_their_own():
    names = ["mine", "mha", "yours", "stt-dense"]
    chosen = looks(sample_results(names))
    assert list(chosen) == names
    assert chosen["mha"] is COLORS["mha"]
    assert len({look.color for look in chosen.values()}) == 4
    assert chosen == looks(sample_results(names))
    few = looks(sample_results(["gmlp", "mine", "yours"]))
    assert len({look.color for look in few.values()}) == 3
    many = looks(sample_results([f"own-{number}" for number in range(12)]))
    assert len(many) == 12


# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(color, vision):
    """CIELAB (D65) of a colour as seen with the given vision."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = np.array(to_xyz) @ seen / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("mixers", [DEFAULT_MIXERS, tuple(SAMPLE)])
def test_colours_are_told_apart(mixers, vision):
    seen = [lab(COLORS[mixer].color, vision) for mixer in mixers]
    distances = [
        np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)
    ]
    assert min(distances) > 25
    assert len({COLORS[mixer].marker for mixer in mixers}) == len(mixers)
