import keras
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import array, gradients, normal, relative_error

from keras_stt.ops import (
    masked_multi_mode_product,
    mode_product,
    multi_mode_product,
    share,
)

SHAPE = (2, 3, 5, 4)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2, -4])
def test_a_matrix_along_any_axis(axis):
    tensor, matrix = normal(*SHAPE), normal(7, SHAPE[axis], seed=1)
    expected = oracle.mode_product(tensor, matrix, axis % 4)
    assert relative_error(mode_product(tensor, matrix, axis), expected) < 1e-6


def test_an_expected_literal():
    image = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "float32")
    sums_and_differences = np.array([[1.0, 1.0], [1.0, -1.0]], "float32")
    product = array(mode_product(image, sums_and_differences, axis=0))
    np.testing.assert_array_equal(product, [[5, 7, 9], [-3, -3, -3]])


@pytest.mark.parametrize("axis", [2, 3, 4])
@pytest.mark.parametrize("batch", [(2, 3), (2, 1), (1, 3), (1, 1)])
def test_one_matrix_per_entry_of_the_batch_axes(axis, batch):
    tensor, matrix = normal(2, 3, 5, 4, 6), normal(*batch, 7, (5, 4, 6)[axis - 2])
    matrices = np.broadcast_to(matrix, (2, 3, *matrix.shape[2:]))
    expected = np.stack(
        [
            [oracle.mode_product(t, m, axis - 2) for t, m in zip(*entry, strict=True)]
            for entry in zip(tensor, matrices, strict=True)
        ]
    )
    assert relative_error(mode_product(tensor, matrix, axis), expected) < 1e-6


def test_a_batch_of_matrices_on_a_tensor_that_is_shared():
    tensor, matrix = normal(1, 3, 5), normal(2, 7, 3)
    expected = np.stack([oracle.mode_product(tensor[0], m, 0) for m in matrix])
    assert relative_error(mode_product(tensor, matrix, 1), expected) < 1e-6


@settings(deadline=None, max_examples=15, derandomize=True)
@given(order=st.permutations([0, 1, 2, 3]), seed=st.integers(0, 99))
def test_modes_commute(order, seed):
    tensor = normal(*SHAPE, seed=seed)
    matrices = [normal(n + 1, n, seed=seed + n) for n in SHAPE]
    expected = array(multi_mode_product(tensor, matrices, range(4)))
    actual = multi_mode_product(tensor, [matrices[a] for a in order], order)
    assert relative_error(actual, expected) < 1e-5


def test_several_matrices_are_several_products():
    tensor, first, second = normal(*SHAPE), normal(3, 3, seed=1), normal(6, 4, seed=2)
    expected = oracle.mode_product(oracle.mode_product(tensor, first, 1), second, 3)
    actual = multi_mode_product(tensor, [first, second], axes=(1, -1))
    assert relative_error(actual, expected) < 1e-6


@pytest.mark.parametrize(
    ("matrix_shape", "axis", "message"),
    [
        ((3,), 1, r"shape \(\.\.\., k, n\).*Received: matrix.shape=\(3,\)"),
        ((3, 3), 4, r"Received: axis=4, tensor.shape=\(2, 3, 5, 4\)"),
        ((3, 3), -5, r"Received: axis=-5"),
        ((2, 3, 3), 0, r"after the 1 batch axes.*Received: axis=0"),
        ((3, 4), 1, r"size along axis 1, 3.*Received: matrix.shape=\(3, 4\)"),
    ],
)
def test_what_does_not_fit_is_an_error(matrix_shape, axis, message):
    with pytest.raises(ValueError, match=message):
        mode_product(normal(*SHAPE), normal(*matrix_shape), axis)


@pytest.mark.parametrize("axes", [(1,), (1, 1), (1, -3), (1, 2, 3)])
def test_axes_must_be_distinct_and_as_many_as_matrices(axes):
    with pytest.raises(ValueError, match=r"Received: 2 matrices, axes="):
        multi_mode_product(normal(*SHAPE), [normal(3, 3), normal(5, 5)], axes)


def rows_that_sum_to_one(*shape, seed=0):
    exponentials = np.exp(normal(*shape, seed=seed))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_masked_product_is_an_average_over_the_valid_positions():
    tensor, mask = normal(3, 5, 4), np.random.default_rng(1).integers(0, 2, (3, 5, 1))
    mask[1] = 0  # a whole row
    rows, columns = rows_that_sum_to_one(3, 3), rows_that_sum_to_one(5, 5, seed=1)
    expected = np.zeros(tensor.shape)
    for i, j, k, m in np.ndindex(3, 5, 3, 5):
        expected[i, j] += rows[i, k] * columns[j, m] * mask[k, m] * tensor[k, m]
    for i, j in np.ndindex(3, 5):
        expected[i, j] /= sum(
            rows[i, k] * columns[j, m] * mask[k, m, 0] for k, m in np.ndindex(3, 5)
        )
    actual = masked_multi_mode_product(
        tensor, [rows, columns], (0, 1), mask.astype(bool)
    )
    assert relative_error(actual, expected) < 1e-6


def test_what_stands_at_a_masked_position_does_not_matter():
    tensor, mask = normal(3, 4), np.array([[True], [False], [True]])
    matrix = rows_that_sum_to_one(3, 3)
    expected = array(masked_multi_mode_product(tensor, [matrix], (0,), mask))
    tensor[1] = np.nan
    actual = masked_multi_mode_product(tensor, [matrix], (0,), mask)
    np.testing.assert_array_equal(array(actual), expected)


def test_masked_product_of_nothing_is_zero():
    product = masked_multi_mode_product(
        normal(3, 4), [rows_that_sum_to_one(3, 3)], (0,), np.zeros((3, 1), bool)
    )
    np.testing.assert_array_equal(array(product), np.zeros((3, 4)))


def test_masked_product_with_a_divisor_of_its_own():
    tensor, mask = normal(3, 4), np.ones((3, 1), bool)
    matrix = rows_that_sum_to_one(3, 3)
    doubled = masked_multi_mode_product(tensor, [2 * matrix], (0,), mask, [matrix])
    assert relative_error(doubled, 2 * matrix @ tensor) < 1e-6


@pytest.mark.parametrize("axis", [2, 3])
def test_one_matrix_shared_by_the_batch_with_one_head(axis):
    # A kernel of TensorFlow once read beyond such a matrix: wrong now and then.
    tensor = np.random.default_rng(0).normal(size=(4, 1, 5, 5)).astype("float32")
    matrix = np.random.default_rng(1).normal(size=(1, 1, 5, 5)).astype("float32")
    equation = "ij,bhjc->bhic" if axis == 2 else "ij,bhcj->bhci"
    expected = np.einsum(equation, matrix[0, 0], tensor)
    for _ in range(20):
        product = np.asarray(mode_product(tensor, matrix, axis))
        np.testing.assert_allclose(product, expected, rtol=1e-4, atol=1e-5)


def test_share():
    part = np.array([[3, 4e-30, 0], [0, 7, 1]], "float32")
    total = np.array([[4, 8e-30, 0], [0, 14, 3]], "float32")
    expected = [[0.75, 0.5, 0], [0, 0.5, 1 / 3]]
    np.testing.assert_allclose(array(share(part, total)), expected, rtol=1e-6)
    # The square of such a divisor is 0 in float32.
    tiny = np.array([[4e-30, 8e-30], [1.0, 0.0]], "float32")
    quotient = Quotient()
    quotient(tiny)  # builds it
    slopes, _ = gradients(quotient, tiny)
    expected = [[1 / 8e-30, -4e-30 / 8e-30 / 8e-30], [0, 0]]
    np.testing.assert_allclose(slopes, expected, rtol=1e-5)


class Quotient(keras.layers.Layer):
    """`share` of the two columns of its input."""

    def call(self, inputs):
        return share(inputs[:, 0], inputs[:, 1])
