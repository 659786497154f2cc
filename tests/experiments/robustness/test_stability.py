"""Shifts, hidden cells, other sizes and calibration, against what is drawn by hand."""

import numpy as np
import pytest

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.data.pictures import resized
from keras_stt.experiments.robustness.calibration import calibration_error
from keras_stt.experiments.robustness.stability import (
    GREY,
    occlusion_accuracy,
    shift_consistency,
)


class Model:
    """A model that remembers what it sees, and answers with a function of it."""

    def __init__(self, answer):
        self.answer, self.seen = answer, []

    def predict_on_batch(self, images):
        self.seen.append(images)
        return self.answer(images)


def brightest_column(images):
    """Logits that name the column of the brightest pixel."""
    return images.max(axis=(1, 3))


def spots(count):
    """A bright pixel in the middle of dark images of 9×11 pixels."""
    images = np.zeros((count, 9, 11, 1), np.uint8)
    images[:, 4, 5] = 255
    return Images(images, np.full(count, 5, np.int32))


@pytest.mark.parametrize("largest", [1, 2])
def test_shift_consistency_of_a_model_that_tells_the_place(largest):
    model = Model(brightest_column)
    found = shift_consistency(model, spots(3000), largest, batch_size=1000)
    # Two draws from 2·largest + 1 columns agree so often.
    assert found == pytest.approx(1 / (2 * largest + 1), abs=0.03)
    places = {
        tuple(int(axis) for axis in np.argwhere(image[..., 0] == 1)[0])
        for batch in model.seen
        for image in batch
    }
    near = range(-largest, largest + 1)
    assert places == {(4 + row, 5 + column) for row in near for column in near}


def test_shift_consistency_of_a_model_that_does_not():
    model = Model(lambda images: np.stack([images.sum((1, 2, 3)), np.ones(64)], -1))
    assert shift_consistency(model, spots(64), 3, batch_size=64) == 1


@pytest.mark.parametrize("hidden", [0.0, 0.25, 0.5])
def test_occlusion_hides_whole_cells(hidden):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (20, 12, 8, 3), dtype=np.uint8)
    model = Model(lambda images: np.ones((len(images), 2)))
    data = Images(images, np.zeros(20, np.int32))
    found = occlusion_accuracy(model, data, hidden, grid=(4, 4), batch_size=20)
    assert found == 1
    (seen,) = model.seen
    grey = (seen == GREY).all(axis=-1)
    cells = grey.reshape(20, 4, 3, 4, 2).transpose(0, 1, 3, 2, 4).reshape(20, 16, 6)
    assert (cells.all(axis=-1) == cells.any(axis=-1)).all()
    assert (cells.all(axis=-1).sum(axis=-1) == round(16 * hidden)).all()
    np.testing.assert_allclose(seen[~grey], images[~grey] / np.float32(255), atol=1e-7)
    if hidden:
        assert len({image.tobytes() for image in grey}) > 10


def test_occlusion_does_not_depend_on_the_batches():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (20, 8, 8, 1), dtype=np.uint8)
    data = Images(images, np.zeros(20, np.int32))
    models = [Model(lambda images: np.ones((len(images), 2))) for _ in range(2)]
    for model, size in zip(models, (20, 7), strict=True):
        occlusion_accuracy(model, data, 0.5, batch_size=size)
    np.testing.assert_array_equal(
        models[0].seen[0], np.concatenate(models[1].seen)[:20]
    )


@pytest.mark.backend_free
@pytest.mark.parametrize("channels", [1, 3])
def test_resized_images_keep_a_ramp(channels):
    ramp = np.arange(0, 160, 10, dtype=np.uint8)
    image = np.tile(ramp[:, None, None], (1, 8, channels))
    found = resized(image[None], (32, 12), "bicubic")
    assert found.shape == (1, 32, 12, channels)
    # Pixels are areas: the middle of row i is at i + 0.5.
    rows = 10 * ((np.arange(32) + 0.5) / 2 - 0.5)
    inside = slice(6, -6)
    np.testing.assert_allclose(
        found[0, inside],
        np.tile(rows[inside, None, None], (1, 12, channels)),
        atol=1,
    )


@pytest.mark.backend_free
def test_calibration_error_by_hand():
    # Confidences 0.9 (three of four right) and 0.6 (two of four right).
    logits = np.log([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 4)
    labels = np.array([0, 0, 0, 1, 0, 0, 1, 1], np.int32)
    data = Images(np.zeros((8, 2, 2, 1), np.uint8), labels)
    found = calibration_error(Model(lambda images: logits), data, batch_size=8)
    assert found == pytest.approx((abs(0.75 - 0.9) + abs(0.5 - 0.6)) / 2)
    # In one bin, what is too sure and what is not sure enough cancel out.
    mixed = np.array([0, 0, 0, 1, 0, 0, 0, 1], np.int32)
    data = Images(data.images, mixed)
    found = calibration_error(Model(lambda images: logits), data, bins=1, batch_size=8)
    assert found == pytest.approx(0)


@pytest.mark.backend_free
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_diverged_model_has_no_calibration_error(number):
    data = Images(np.zeros((3, 2, 2, 1), np.uint8), np.zeros(3, np.int32))
    logits = np.array([[0.1, 0.2], [number, 0.3], [0.4, 0.5]])
    assert calibration_error(Model(lambda images: logits), data, batch_size=3) is None


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_calibration_error_is_that_of_all_batches(batch_size):
    # The image's one pixel is the confidence in class 0: 0.2 means 0.8 in class 1.
    pixels = np.array([153, 153, 51, 51, 51], np.uint8)
    labels = np.array([0, 1, 1, 1, 0], np.int32)

    def answer(images):
        share = images.reshape(-1, 1)
        return np.log(np.concatenate([share, 1 - share], axis=-1) + 1e-9)

    data = Images(pixels.reshape(-1, 1, 1, 1), labels)
    found = calibration_error(Model(answer), data, batch_size=batch_size)
    expected = (2 * abs(1 / 2 - 0.6) + 3 * abs(2 / 3 - 0.8)) / 5
    assert found == pytest.approx(expected, abs=1e-6)


def test_calibration_of_logits_that_are_large():
    data = Images(np.zeros((2, 2, 2, 1), np.uint8), np.array([0, 1], np.int32))
    logits = np.array([[1e4, -1e4], [1e4, -1e4]])
    found = calibration_error(Model(lambda images: logits), data, batch_size=2)
    assert found == pytest.approx(0.5)
