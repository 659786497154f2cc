"""Corrupted images: made once, the same for all, on disk."""

import numpy as np
import pytest

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.errors import UserError
from keras_stt.experiments.robustness.corruptions import corrupted

pytestmark = pytest.mark.backend_free

pytest.importorskip("imagecorruptions")


def images(count=3, channels=3):
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 200, (count, 32, 32, channels), dtype=np.uint8)
    return Images(pixels, np.arange(count, dtype=np.int32))


def test_five_severities_that_grow(tmp_path):
    data = images()
    found = corrupted(data, "gaussian_noise", tmp_path)
    assert [len(severity) for severity in found] == [3] * 5
    changes = [
        np.abs(severity.images.astype(float) - data.images).mean() for severity in found
    ]
    assert changes == sorted(changes)
    assert changes[0] > 1
    np.testing.assert_array_equal(found[2].labels, data.labels)


def test_they_are_the_same_in_every_folder_and_read_from_the_second_time_on(
    tmp_path, monkeypatch
):
    data = images()
    state = np.random.get_state()[1].copy()
    first = corrupted(data, "shot_noise", tmp_path / "a")
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    np.random.random(7)
    second = corrupted(data, "shot_noise", tmp_path / "b")

    def refuse(*arguments):
        raise AssertionError("made again")

    monkeypatch.setattr("imagecorruptions.corrupt", refuse)
    third = corrupted(data, "shot_noise", tmp_path / "a")
    for other in (second, third):
        for ours, theirs in zip(first, other, strict=True):
            np.testing.assert_array_equal(ours.images, theirs.images)


def test_grey_images_are_an_error(tmp_path):
    with pytest.raises(UserError, match=r"RGB images .* with 1 channels"):
        corrupted(images(channels=1), "fog", tmp_path)
