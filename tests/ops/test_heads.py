import numpy as np
import pytest
from support import array, normal

from keras_stt.ops.heads import plan_heads

SIZES = [(2, 3), (2, 3, 5), (2, 3, 5, 6)]


@pytest.mark.parametrize("sizes", SIZES)
def test_every_element_with_weights_per_example(sizes):
    rows, heads, d = normal(int(np.prod(sizes)), 8), 4, 2
    split = array(plan_heads(len(sizes) - 1, shared=False).split(rows, sizes, heads))
    batch, *outer, last = sizes
    assert split.shape == (batch, heads, *outer, d, last)
    for row, (b, *position) in enumerate(np.ndindex(*sizes)):
        for head, channel in np.ndindex(heads, d):
            *before, i = position
            found = split[(b, head, *before, channel, i)]
            assert found == rows[row, head * d + channel]


@pytest.mark.parametrize("sizes", SIZES)
def test_every_element_with_weights_for_the_batch(sizes):
    rows, heads, d = normal(int(np.prod(sizes)), 8), 4, 2
    split = array(plan_heads(len(sizes) - 1, shared=True).split(rows, sizes, heads))
    batch, *outer, last = sizes
    assert split.shape == (heads, *outer, batch, d, last)
    for row, (b, *position) in enumerate(np.ndindex(*sizes)):
        for head, channel in np.ndindex(heads, d):
            *before, i = position
            found = split[(head, *before, b, channel, i)]
            assert found == rows[row, head * d + channel]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_merging_undoes_splitting(sizes, shared):
    rows, layout = normal(int(np.prod(sizes)), 8), plan_heads(len(sizes) - 1, shared)
    merged = layout.merge(layout.split(rows, sizes, 2))
    np.testing.assert_array_equal(array(merged), rows)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_where_the_modes_are(sizes, shared):
    layout = plan_heads(len(sizes) - 1, shared)
    split = layout.split(normal(int(np.prod(sizes)), 8), sizes, 4)
    # Distinct sizes show it: each mode's size is at the axis that is named.
    for mode in range(1, len(sizes)):
        assert split.shape[layout.axis(mode)] == sizes[mode]
        assert layout.axis(mode) >= layout.batch_axes


@pytest.mark.parametrize(("shared", "weights"), [(False, (2, 4)), (True, (1, 4))])
def test_the_matrices_have_the_layouts_leading_axes(shared, weights):
    layout = plan_heads(2, shared)
    split = layout.split(normal(30, 8), (2, 3, 5), 4)
    matrix = layout.matrix(normal(*weights, 5, 5))
    assert matrix.shape[:-2] == split.shape[: layout.batch_axes]
