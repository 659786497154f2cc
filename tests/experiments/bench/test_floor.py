"""The floors: as many multiply-adds as their layers' products, and nothing else."""

import types

import keras
import numpy as np
import pytest

from keras_stt.experiments.bench import floor
from keras_stt.experiments.bench.floor import FLOORS, floor_of

GRID, CHANNELS, HEADS, BATCH = (3, 5), 8, 4, 2


@pytest.fixture
def products(monkeypatch):
    """The sizes (rows, inner, columns) of every product, all matrices of a batch."""
    found = []

    def matmul(a, b):
        assert a.shape[-1] == b.shape[-2]
        assert tuple(a.shape[:-2]) == tuple(b.shape[:-2])
        found.append((int(np.prod(a.shape[:-1])), a.shape[-1], b.shape[-1]))
        return keras.ops.matmul(a, b)

    recorded = types.SimpleNamespace(
        matmul=matmul,
        cast=keras.ops.cast,
        convert_to_tensor=keras.ops.convert_to_tensor,
        swapaxes=keras.ops.swapaxes,
    )
    monkeypatch.setattr(floor, "ops", recorded)
    return found


def test_the_products_of_a_forward_step(products):
    (run, tensors), _ = FLOORS["floor"].programs(
        GRID, CHANNELS, HEADS, BATCH, "float32"
    )
    run(*tensors)
    # 2·3·5 = 30 positions, 8 = 4·2 channels: two projections, and one product along
    # each mode.
    assert sorted(products) == sorted(
        [(30, 8, 8), (30, 8, 8), (2 * 4 * 3, 3, 2 * 5), (2 * 4 * 3 * 2, 5, 5)]
    )


def test_the_products_of_a_forward_step_of_depthwise_stt(products):
    programs = FLOORS["floor-depthwise"].programs
    (run, tensors), _ = programs(GRID, CHANNELS, HEADS, BATCH, "float32")
    run(*tensors)
    # 8 channels of 2 terms: both terms' rows at once, along 5·2 columns of all
    # examples; then 3·2 rows of all examples for every term.
    assert sorted(products) == sorted([(8 * 2 * 3, 3, 5 * 2), (8 * 2 * 3 * 2, 5, 5)])


@pytest.mark.parametrize(("name", "count"), [("floor", 4), ("floor-depthwise", 2)])
def test_training_has_each_product_three_times(products, name, count):
    forward, training = FLOORS[name].programs(GRID, CHANNELS, HEADS, BATCH, "float32")
    forward[0](*forward[1])
    once = sum(np.prod(size) for size in products)
    assert once == BATCH * FLOORS[name].multiply_adds(GRID, CHANNELS, HEADS)
    products.clear()
    training[0](*training[1])
    assert len(products) == 3 * count
    assert sum(np.prod(size) for size in products) == 3 * once


def test_literals():
    # 15 positions: 2·15·64 for the projections, 15·8·(3 + 5) for the modes.
    assert FLOORS["floor"].multiply_adds(GRID, CHANNELS, HEADS) == 1920 + 960
    # Two terms of the modes, and no projection.
    assert FLOORS["floor-depthwise"].multiply_adds(GRID, CHANNELS, HEADS) == 2 * 960


@pytest.mark.parametrize(
    ("mixer", "floor"),
    [
        ("stt-dense", "floor"),
        ("depthwise-conv", "floor"),
        ("stt-depthwise", "floor-depthwise"),
        ("stt-depthwise-synthesized", "floor-depthwise"),
    ],
)
def test_the_floor_of_a_mixer(mixer, floor):
    assert floor_of(mixer) == floor
