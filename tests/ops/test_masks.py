import keras
import numpy as np
import pytest
from support import array, normal, relative_error

from keras_stt.ops import (
    causal_mask,
    grid_mask,
    masked_mean,
    masked_softmax,
)

INPUTS = (2, 3, 5, 8)


@pytest.mark.parametrize(
    "shape", [(2, 3, 5), (1, 3, 5), (2, 1, 5), (2, 3, 1), (1, 1, 1)]
)
@pytest.mark.parametrize("dtype", ["bool", "int32"])
def test_grid_mask_has_its_full_shape(shape, dtype):
    mask = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    full = grid_mask(mask, normal(*INPUTS))
    assert keras.backend.standardize_dtype(full.dtype) == "bool"
    np.testing.assert_array_equal(
        array(full), np.broadcast_to(mask.astype(bool), INPUTS[:-1])
    )


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 5, 8), (2, 5, 3), (2, 3, 4), (3,)])
def test_grid_mask_of_another_shape_is_an_error(shape):
    with pytest.raises(ValueError, match=r"\(2, 3, 5\).*Received: mask.shape=") as info:
        grid_mask(np.ones(shape, bool), normal(*INPUTS))
    assert str(shape) in str(info.value)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_grid_mask_of_floats_is_an_error(dtype):
    """They may be meant to be added to logits: 0 where True is meant."""
    mask = np.where(np.arange(5) < 3, 0, -1e4).astype(dtype)
    mask = np.broadcast_to(mask, INPUTS[:-1])
    with pytest.raises(ValueError, match=f"`here` must be boolean.*of dtype {dtype}"):
        grid_mask(mask, normal(*INPUTS), "here")


@pytest.mark.parametrize("mask", ["none", {"a": True}])
def test_grid_mask_of_something_else_is_an_error(mask):
    with pytest.raises(ValueError, match="`mask` must be a boolean tensor"):
        grid_mask(mask, normal(*INPUTS))


def test_causal_mask():
    np.testing.assert_array_equal(
        array(causal_mask(3)), [[True, False, False], [True, True, False], [True] * 3]
    )


def test_softmax_over_the_valid_entries():
    logits = np.log(np.array([[1.0, 2.0, 5.0], [4.0, 3.0, 1.0]], "float32"))
    mask = np.array([[True, True, False], [False, False, False]])
    expected = np.array([[1 / 3, 2 / 3, 0], [0, 0, 0]])
    weights = masked_softmax(keras.ops.convert_to_tensor(logits), mask)
    assert relative_error(weights, expected) < 1e-6
    assert (array(weights)[~mask] == 0).all()


def test_softmax_without_a_mask():
    logits = keras.ops.convert_to_tensor(np.log([[1.0, 2.0, 5.0]]).astype("float32"))
    assert relative_error(masked_softmax(logits), np.array([[1, 2, 5]]) / 8) < 1e-6


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("masked", [True, False])
def test_softmax_is_float32_at_least(dtype, masked):
    # In half precision, 2049 equal weights do not sum to 1.
    logits = keras.ops.full((1, 2049), 60000.0, dtype=dtype)
    mask = keras.ops.arange(2049) < 2000 if masked else None
    weights = masked_softmax(logits, mask)
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"
    np.testing.assert_allclose(
        array(weights)[0, :2000], 1 / (2000 if masked else 2049), rtol=1e-5
    )


def test_softmax_of_what_has_overflowed():
    logits = keras.ops.convert_to_tensor(np.array([np.inf, 1.0, -np.inf], "float16"))
    np.testing.assert_array_equal(array(masked_softmax(logits)), [1, 0, 0])
    masked = masked_softmax(logits, np.array([False, True, True]))
    np.testing.assert_array_equal(array(masked), [0, 1, 0])
    # The least valid entry is not a masked one.
    masked = masked_softmax(logits, np.array([False, False, True]))
    np.testing.assert_array_equal(array(masked), [0, 0, 1])


@pytest.mark.parametrize("axes", [1, 2, (1, 2), [2]])
def test_mean_over_the_valid_positions(axes):
    tensor = normal(*INPUTS)
    mask = np.random.default_rng(0).integers(0, 2, (*INPUTS[:-1], 1)).astype(bool)
    mask[1, 2] = False
    axes_tuple = (axes,) if isinstance(axes, int) else tuple(axes)
    total = np.where(mask, tensor, 0).astype("float64").sum(axes_tuple)
    expected = total / np.maximum(mask.sum(axes_tuple), 1)
    actual = masked_mean(keras.ops.convert_to_tensor(tensor), axes, mask)
    assert relative_error(actual, expected) < 1e-6
    plain = masked_mean(keras.ops.convert_to_tensor(tensor), axes)
    assert relative_error(plain, tensor.astype("float64").mean(axes_tuple)) < 1e-6


def test_mean_with_a_mask_that_broadcasts_along_another_axis():
    tensor, mask = normal(*INPUTS), np.array([[0, 1, 1], [1, 0, 0]], bool)
    mask = mask[:, :, None, None]
    expected = np.stack([tensor[0, 1:].mean(0), tensor[1, 0]]).astype("float64")
    actual = masked_mean(keras.ops.convert_to_tensor(tensor), 1, mask)
    assert relative_error(actual, expected) < 1e-6


def test_what_stands_at_a_masked_position_does_not_matter():
    tensor, mask = normal(*INPUTS), np.ones((*INPUTS[:-1], 1), bool)
    mask[:, 1] = False
    tensor[:, 1] = np.nan
    expected = tensor[:, [0, 2]].astype("float64").mean(axis=1)
    actual = masked_mean(keras.ops.convert_to_tensor(tensor), 1, mask)
    assert relative_error(actual, expected) < 1e-6


@pytest.mark.parametrize("masked", [True, False])
def test_mean_in_half_precision_does_not_overflow(masked):
    # The sum, 3·10⁶, is beyond float16; the mean is not.
    tensor = keras.ops.full((1, 100, 3), 30000.0, dtype="float16")
    mask = keras.ops.ones((1, 100, 1), dtype="bool") if masked else None
    mean = masked_mean(tensor, 1, mask)
    assert keras.backend.standardize_dtype(mean.dtype) == "float16"
    np.testing.assert_array_equal(array(mean), np.full((1, 3), 30000.0))
