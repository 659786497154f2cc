"""Shifts of the channels, against loops."""

import keras
import numpy as np
import pytest
from support import array, normal

from keras_stt.mixers import Shift


def test_every_group_is_shifted_by_an_offset_of_the_window():
    x = normal(2, 4, 5, 20)
    expected = np.zeros_like(x)
    offsets = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    for channel in range(20):
        # Two channels per offset; the last two stay.
        down, right = offsets[channel // 2] if channel < 18 else (0, 0)
        for i, j in np.ndindex(4, 5):
            if 0 <= i + down < 4 and 0 <= j + right < 5:
                expected[:, i, j, channel] = x[:, i + down, j + right, channel]
    np.testing.assert_array_equal(array(Shift()(x)), expected)


def test_open_sizes_and_a_file(tmp_path):
    inputs = keras.Input((None, None, 25))
    model = keras.Model(inputs, Shift(5)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = normal(1, 3, 7, 25)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), array(Shift(5)(x)))
    assert not model.weights


def test_an_even_window_is_an_error():
    with pytest.raises(ValueError, match=r"`window` must be odd.*Received: window=2"):
        Shift(2)
