import keras
import numpy as np
import pytest
from support import array, normal, relative_error

from keras_stt.ops import mode_weights, tensor_transformation

MASK = np.zeros((2, 3, 5), bool)
MASK[0, 1, 4] = MASK[0, 2, 4] = MASK[1, 0, 0] = True


@pytest.mark.parametrize(
    ("axis", "valid"),
    [
        (1, [[0, 1, 1], [1, 0, 0]]),
        (2, [[0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]),
    ],
)
def test_slices_without_a_valid_position_have_no_weight(axis, valid):
    size = MASK.shape[axis]
    weights = array(mode_weights(np.zeros((1, 4, size, size), "float32"), axis, MASK))
    rows = np.array(valid) / np.sum(valid, axis=-1, keepdims=True)
    expected = np.broadcast_to(rows[:, None, None], (2, 4, size, size))
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_causal_weights_with_a_mask():
    mask = np.array([[True, False, True]])
    weights = array(mode_weights(np.zeros((1, 1, 3, 3), "float32"), 1, mask, True))
    expected = [[1, 0, 0], [1, 0, 0], [0.5, 0, 0.5]]
    np.testing.assert_allclose(weights[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_the_transformation_of_an_image(batch, shared):
    values = normal(batch * 15, 8)
    leading = 1 if shared else batch
    rows, columns = normal(leading, 4, 3, 3), normal(leading, 4, 5, 5, seed=1)
    actual = tensor_transformation(
        values, (batch, 3, 5), [rows, columns], (1, 2), 4, shared=shared
    )
    heads = values.reshape(batch, 3, 5, 4, 2).astype("float64")
    rows, columns = (np.broadcast_to(w, (batch, *w.shape[1:])) for w in (rows, columns))
    expected = np.einsum("bhik,bhjl,bklhd->bijhd", rows, columns, heads)
    assert tuple(actual.shape) == values.shape
    if batch:
        assert relative_error(actual, expected.reshape(values.shape)) < 1e-5


def test_a_batch_of_one_that_is_not_shared():
    # As in a traced graph, where an open batch size is 1.
    values, weights = normal(3, 8), normal(1, 4, 3, 3)
    shared, own = (
        array(tensor_transformation(values, (1, 3), [weights], (1,), 4, shared=s))
        for s in (True, False)
    )
    np.testing.assert_allclose(shared, own, rtol=1e-5, atol=1e-6)
    assert keras.backend.standardize_dtype(own.dtype) == "float32"
