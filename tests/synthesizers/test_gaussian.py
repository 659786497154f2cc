"""The Gaussian synthesizer: where its heads look at the start."""

import itertools

import numpy as np
import pytest
from support import array, gradients

from keras_stt.layers import STT
from keras_stt.synthesizers import Gaussian


def started(axis, heads, **arguments):
    synthesizer = Gaussian(axis=axis, num_heads=heads, jitter=0.0, **arguments)
    synthesizer.build((1, 4, 4, 8))
    return array(synthesizer.center), np.log1p(np.exp(array(synthesizer.width))) + 1e-3


def test_the_heads_cover_a_neighbourhood_at_every_width():
    (rows, widths), (columns, _) = started(1, 36), started(2, 36)
    found = set(zip(rows.round(6), columns.round(6), widths.round(4), strict=True))
    assert len(found) == 18
    offsets = set(itertools.product((-1.0, 0.0, 1.0), repeat=2))
    assert {(row, column) for row, column, width in found if width == 0.5} == offsets
    assert {(row, column) for row, column, width in found if width == 8.0} == offsets


def test_centers_and_widths_are_arguments():
    centers, widths = started(1, 5, centers=(2, -3), widths=[1.5])
    np.testing.assert_allclose(centers, [2, -3, 2, -3, 2])
    np.testing.assert_allclose(widths, 1.5, rtol=1e-6)


def test_jitter():
    centers = []
    for seed in (0, 0, 1):
        synthesizer = Gaussian(num_heads=900, jitter=0.2, seed=seed)
        synthesizer.build((1, 4, 8))
        centers.append(array(synthesizer.center))
    assert np.std(centers[0] - np.tile([-1, 0, 1], 300)) == pytest.approx(0.2, abs=0.02)
    np.testing.assert_array_equal(centers[0], centers[1])
    assert (centers[0] != centers[2]).all()


def test_a_width_near_0_is_one_position():
    synthesizer = Gaussian(num_heads=1)
    synthesizer.build((1, 5, 8))
    synthesizer.center.assign([1.0])
    synthesizer.width.assign([-200.0])
    logits = array(synthesizer(np.zeros((1, 5, 8))))[0, 0]
    assert np.isfinite(logits).all()
    np.testing.assert_array_equal(logits.argmax(-1), [1, 2, 3, 4, 4])
    assert np.sort(logits)[:, -2].max() < -1e4


def test_wide_starts_do_not_overflow():
    layer = Gaussian(num_heads=2, widths=(80.0, 5000.0))
    layer.build((1, 4, 8))
    assert np.isfinite(array(layer.width)).all()
    np.testing.assert_allclose(array(layer.width), [80, 5000], rtol=1e-4)


def test_a_narrow_width_can_grow():
    layer = Gaussian(num_heads=1, centers=(0.001,), jitter=0.0)
    layer.build((1, 5, 8))
    layer.width.assign([-8.0])
    _, found = gradients(layer, np.zeros((1, 5, 8), "float32"))
    assert found["width"][0] > 0


def test_half_precision_counts_long_modes_right():
    layer = Gaussian(num_heads=1, centers=(1,), jitter=0.0, dtype="bfloat16")
    layer.build((1, 400, 8))
    logits = array(layer(np.zeros((1, 400, 8), "float32")))[0, 0]
    np.testing.assert_array_equal(
        logits.argmax(-1), np.minimum(np.arange(400) + 1, 399)
    )


def test_every_mode_draws_its_own_jitter():
    drawn = []
    for axis in (1, 2):
        layer = Gaussian(centers=(0,), seed=3, axis=axis, num_heads=8)
        layer.build((1, 4, 4, 8))
        drawn.append(array(layer.center))
    assert (drawn[0] != drawn[1]).all()


def test_frozen_for_good():
    layer = STT(2, synthesizer=Gaussian(trainable=False))
    layer.build((1, 4, 8))
    layer.trainable = True
    paths = [variable.path for variable in layer.trainable_variables]
    assert not any("center" in path or "width" in path for path in paths)


@pytest.mark.parametrize("shape", [(1, 5, 8), (1, 3, 8)])
def test_an_axis_that_is_no_mode(shape):
    with pytest.raises(ValueError, match=r"`axis` must lie.*Received: axis=2"):
        Gaussian(axis=2).build(shape)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"centers": ()}, "`centers`.*Received: centers="),
        ({"centers": "left"}, "`centers`.*Received: centers='left'"),
        ({"widths": (1.0, 0.0)}, "`widths`.*above 0.001.*Received: widths="),
        ({"widths": (1.0, float("nan"))}, "`widths`.*Received: widths="),
        ({"jitter": -1}, "`jitter`.*Received: jitter=-1"),
        ({"seed": "a"}, "`seed`.*Received: seed='a'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Gaussian(**arguments)
