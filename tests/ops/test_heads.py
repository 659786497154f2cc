import numpy as np
import pytest
from support import array, normal

from keras_stt.ops import head_axis, merge_heads, split_heads


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 3, 5, 8), (2, 3, 5, 6, 8)])
def test_every_element_is_where_the_docstring_says(shape):
    value, heads, d = normal(*shape), 4, 2
    split = array(split_heads(value, heads))
    *modes, last = range(1, len(shape) - 1)
    assert split.shape == (2, heads, *(shape[m] for m in modes), d, shape[last])
    for *position, head, channel in np.ndindex(*shape[:-1], heads, d):
        batch, *outer, inner = position
        assert (
            split[(batch, head, *outer, channel, inner)]
            == value[(*position, head * d + channel)]
        )


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 3, 5, 8), (2, 3, 5, 6, 8)])
def test_merging_undoes_splitting(shape):
    value = normal(*shape)
    np.testing.assert_array_equal(array(merge_heads(split_heads(value, 2))), value)


@pytest.mark.parametrize(
    ("rank", "expected"), [(3, {1: 3}), (4, {1: 2, 2: 4}), (5, {1: 2, 2: 3, 3: 5})]
)
def test_where_the_modes_are(rank, expected):
    assert {axis: head_axis(axis, rank) for axis in expected} == expected
    # Distinct sizes show it: each mode's size is at the axis that is named.
    shape = (*(2, 3, 5, 7)[: rank - 1], 8)
    split = split_heads(normal(*shape), 4)
    for axis in expected:
        assert split.shape[head_axis(axis, rank)] == shape[axis]
