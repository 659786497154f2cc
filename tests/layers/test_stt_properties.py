"""What holds for every input: properties of the STT layer."""

import numpy as np
import pytest
from cases import FREE, KINDS, SYNTHESIZERS
from hypothesis import given, settings
from hypothesis import strategies as st
from support import array, built, gradients, normal, relative_error

from keras_stt.layers import STT

IMAGE = (2, 3, 5, 8)
examples = settings(deadline=None, max_examples=5, derandomize=True)
seeds = st.integers(0, 2**16)


def stt(name, shape=IMAGE, **arguments):
    return built(STT(4, synthesizer=SYNTHESIZERS[name].make(), **arguments), shape)


def random_mask(seed, shape=IMAGE):
    return np.random.default_rng(seed).random(shape[:-1]) < 0.6


@pytest.mark.parametrize("name", KINDS)
@examples
@given(seed=seeds, scale=st.sampled_from([1.0, 1e3]))
def test_rows_sum_to_one(name, seed, scale):
    x = scale * normal(*IMAGE, seed=seed)
    _, scores = stt(name)(x, return_attention_scores=True)
    for score in scores:
        np.testing.assert_allclose(array(score).sum(axis=-1), 1.0, rtol=1e-5)
        assert (array(score) >= 0).all()


@pytest.mark.parametrize("name", KINDS)
@examples
@given(seed=seeds, masked=st.booleans())
def test_a_constant_value_passes(name, seed, masked):
    layer = stt(name)
    layer.value_dense.kernel.assign(np.zeros((8, 8)))
    mask = random_mask(seed) if masked else np.ones(IMAGE[:-1], bool)
    output = array(layer(normal(*IMAGE, seed=seed), mask=mask))
    bias, kernel = layer.value_dense.bias, array(layer.output_dense.kernel.value)
    expected = array(bias.value) @ kernel + array(layer.output_dense.bias.value)
    valid = mask.any(axis=(1, 2))
    expected = np.broadcast_to(expected, output[valid].shape)
    assert relative_error(output[valid], expected) < 1e-5


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("masked", [False, True])
@examples
@given(seed=seeds)
def test_modes_commute(name, masked, seed):
    # The layer of the transposed image, with the synthesizers of the modes exchanged.
    x, mask = normal(*IMAGE, seed=seed), random_mask(seed) if masked else None
    layer, transposed = stt(name), stt(name, (2, 5, 3, 8))
    transposed.value_dense.set_weights(layer.value_dense.get_weights())
    transposed.output_dense.set_weights(layer.output_dense.get_weights())
    for there, here in zip(
        transposed.synthesizers, layer.synthesizers[::-1], strict=True
    ):
        there.set_weights(here.get_weights())
    expected = array(layer(x, mask=mask))
    actual = transposed(
        x.swapaxes(1, 2), mask=None if mask is None else mask.swapaxes(1, 2)
    )
    assert relative_error(array(actual).swapaxes(1, 2), expected) < 1e-5


@pytest.mark.parametrize("shape", [IMAGE, (2, 7, 8)], ids=["image", "text"])
@pytest.mark.parametrize("name", KINDS)
@examples
@given(seed=seeds, new_value=st.sampled_from([-1.0, 1e4, np.nan]))
def test_a_masked_position_influences_no_output_but_its_own(
    name, shape, seed, new_value
):
    layer, x = stt(name, shape), normal(*shape, seed=seed)
    mask = random_mask(seed, shape)
    expected = array(layer(x, mask=mask))
    changed = np.where(mask[..., None], x, np.float32(new_value))
    actual = array(layer(changed, mask=mask))
    assert relative_error(actual[mask], expected[mask]) < 1e-6
    # Not even on the way of its own output, but by its own row of text.
    if len(shape) == 4:
        assert relative_error(actual, expected) < 1e-6


@pytest.mark.parametrize("name", KINDS)
@examples
@given(seed=seeds, position=st.integers(0, 5))
def test_a_later_position_changes_no_earlier_output_of_text(name, seed, position):
    layer, x = stt(name, (2, 7, 8)), normal(2, 7, 8, seed=seed)
    expected = array(layer(x, use_causal_mask=True))
    x[:, position + 1 :] += 10.0
    actual = array(layer(x, use_causal_mask=True))
    earlier = np.s_[:, : position + 1]
    assert relative_error(actual[earlier], expected[earlier]) < 1e-6
    assert relative_error(actual, expected) > 1e-3


@pytest.mark.parametrize("name", FREE)
@examples
@given(seed=seeds, position=st.integers(0, 3), axis=st.sampled_from([1, 2]))
def test_a_later_position_changes_no_earlier_output_of_an_image(
    name, seed, position, axis
):
    layer, x = stt(name, causal_axes=axis), normal(*IMAGE, seed=seed)
    position = min(position, IMAGE[axis] - 2)
    expected = np.moveaxis(array(layer(x, use_causal_mask=True)), axis, 0)
    np.moveaxis(x, axis, 0)[position + 1 :] += 10.0
    actual = np.moveaxis(array(layer(x, use_causal_mask=True)), axis, 0)
    assert relative_error(actual[: position + 1], expected[: position + 1]) < 1e-6
    assert relative_error(actual, expected) > 1e-3


@pytest.mark.parametrize("name", ["dense", "dot_product", "mixture_nested"])
def test_causality_along_the_only_attention_axis(name):
    layer, x = stt(name, attention_axes=2), normal(*IMAGE)
    expected = array(layer(x, use_causal_mask=True))
    x[:, :, 3:] += 10.0
    actual = array(layer(x, use_causal_mask=True))
    assert relative_error(actual[:, :, :3], expected[:, :, :3]) < 1e-6


@pytest.mark.parametrize("shape", [IMAGE, (2, 5, 8)], ids=["image", "text"])
@pytest.mark.parametrize("name", KINDS)
def test_nothing_valid_gives_the_output_bias_and_finite_gradients(name, shape):
    layer, x = stt(name, shape), normal(*shape)
    mask = np.zeros(shape[:-1], bool)
    mask[1:] = True
    output = array(layer(x, mask=mask))
    bias = array(layer.output_dense.bias.value)
    np.testing.assert_array_equal(output[0], np.broadcast_to(bias, output[0].shape))
    assert np.isfinite(output).all()
    dx, grads = gradients(layer, x, mask=mask)
    assert (dx[0] == 0).all()
    assert all(np.isfinite(g).all() for g in (dx, *grads.values()))


def cropped_to(layer, sizes, name):
    """A layer for a smaller grid with the weights of a larger, cut where tied to it."""
    smaller = stt(name, (2, *sizes, 8))
    for there, here in zip(smaller.weights, layer.weights, strict=True):
        value = array(here.value)
        if there.shape != here.shape:
            # The sizes that differ are the mode's, or heads times the mode's.
            for axis, size in enumerate(there.shape):
                if size != value.shape[axis]:
                    n, cut = (
                        (value.shape[axis], size)
                        if value.ndim == 3
                        else (value.shape[axis] // 4, size // 4)
                    )
                    keep = np.arange(value.shape[axis]).reshape(-1, n)[:, :cut]
                    value = np.take(value, keep.ravel(), axis=axis)
        there.assign(value)
    return smaller


@pytest.mark.parametrize(
    "name", ["dense", "random", "factorized_random", "dot_product", "mixture"]
)
@examples
@given(seed=seeds, sizes=st.sampled_from([(2, 4), (3, 2), (1, 5)]))
def test_masked_equals_cropped(name, seed, sizes):
    # Not for Factorized Dense: at another size its factors are others.
    layer, x = stt(name), normal(*IMAGE, seed=seed)
    rows, columns = sizes
    mask = np.zeros(IMAGE[:-1], bool)
    mask[:, :rows, :columns] = True
    expected = array(cropped_to(layer, sizes, name)(x[:, :rows, :columns]))
    actual = array(layer(x, mask=mask))[:, :rows, :columns]
    assert relative_error(actual, expected) < 1e-5
