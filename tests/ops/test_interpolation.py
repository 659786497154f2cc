"""Resized axes: against polynomials, means, and a picture that PIL resizes."""

import numpy as np
import pytest
from PIL import Image
from support import array, normal

from keras_stt.ops import resize_axes


@pytest.mark.parametrize("power", [0, 1, 2])
def test_polynomials_are_followed_inside(power):
    old, new = np.arange(7.0), (np.arange(14) + 0.5) / 2 - 0.5
    found = array(resize_axes(old[None].astype("float32") ** power, {1: 14}))
    np.testing.assert_allclose(found[0, 3:-3], new[3:-3] ** power, rtol=1e-5, atol=1e-5)


def test_axes_one_by_one():
    tensor = normal(4, 3, 5, 2)
    both = array(resize_axes(tensor, {0: 6, 2: 3}))
    one = array(resize_axes(resize_axes(tensor, {2: 3}), {0: 6}))
    assert both.shape == (6, 3, 3, 2)
    np.testing.assert_allclose(both, one, rtol=1e-5, atol=1e-6)


def test_its_own_size_is_exact():
    tensor = normal(4, 3)
    assert resize_axes(tensor, {0: 4, 1: 3}) is tensor


def test_a_shorter_axis_averages():
    # Every second position alone would be all ones.
    tensor = np.tile([1.0, -1.0], 8).astype("float32")[None]
    assert np.abs(array(resize_axes(tensor, {1: 8})))[0, 2:-2].max() < 0.1


@pytest.mark.parametrize("size", [(9, 20), (30, 6)])
def test_as_pillow_resizes_a_picture(size):
    picture = normal(12, 10)
    expected = Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC)
    found = array(resize_axes(picture, dict(enumerate(size))))
    np.testing.assert_allclose(found, np.array(expected), atol=1e-4)


def test_sizes_of_numpy():
    ones = resize_axes(np.ones((2, 3), "float32"), {1: np.int64(4)})
    np.testing.assert_allclose(array(ones), np.ones((2, 4)), rtol=1e-6)
