"""The batches of an epoch, against NumPy."""

import numpy as np
import pytest
from small_runs import images

from keras_stt.experiments.training.batches import EpochBatches
from keras_stt.experiments.training.recipe import Recipe

pytestmark = pytest.mark.backend_free


def batches(data, recipe, seed=1, epoch=0):
    found = EpochBatches(data, recipe, seed, epoch)
    return [found[index] for index in range(len(found))]


def plain(**changes):
    return Recipe(**{"batch_size": 16, "flip": False, **changes})


def test_epoch_holds_every_image_once():
    data = images(70)
    found = batches(data, plain())
    assert len(found) == 4
    assert all(x.shape == (16, 6, 5, 2) and x.dtype == np.float32 for x, _ in found)
    seen = []
    for x, y in found:
        for image, label in zip(x, y, strict=True):
            same = np.abs(data.images / 255 - image).max(axis=(1, 2, 3)) < 1e-6
            (index,) = np.flatnonzero(same)
            assert label == data.labels[index]
            seen.append(index)
    assert len(set(seen)) == 64


def test_epoch_is_a_function_of_seed_and_epoch():
    data, recipe = images(70), plain(flip=True, shift=2)

    def arrays(*key):
        return np.stack([x for x, _ in batches(data, recipe, *key)])

    first = arrays(1, 3)
    np.testing.assert_array_equal(first, arrays(1, 3))
    assert not np.array_equal(first, arrays(1, 4))
    assert not np.array_equal(first, arrays(2, 3))


def test_data_is_left_alone():
    data = images(70)
    before = data.images.copy()
    batches(data, plain(flip=True, shift=2))
    np.testing.assert_array_equal(data.images, before)


def test_flip_mirrors_half_of_the_images():
    data = images(640)
    kept = mirrored = 0
    for (x, _), (expected, _) in zip(
        batches(data, plain(flip=True)), batches(data, plain()), strict=True
    ):
        for image, original in zip(x, expected, strict=True):
            if np.array_equal(image, original):
                kept += 1
            else:
                np.testing.assert_array_equal(image, original[:, ::-1])
                mirrored += 1
    assert kept + mirrored == 640
    assert 250 < mirrored < 390


def moved(image, down, right):
    """A naive translation; zeros fill up."""
    result = np.zeros_like(image)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            source = row - down, column - right
            inside = 0 <= source[0] < image.shape[0] and 0 <= source[1] < image.shape[1]
            if inside:
                result[row, column] = image[source]
    return result


def test_shift_translates():
    data = images(640)
    found = {}
    for (x, _), (expected, _) in zip(
        batches(data, plain(shift=2)), batches(data, plain()), strict=True
    ):
        for image, original in zip(x, expected, strict=True):
            ways = [
                (down, right)
                for down in range(-3, 4)
                for right in range(-3, 4)
                if np.array_equal(image, moved(original, down, right))
            ]
            assert len(ways) == 1
            found[ways[0]] = found.get(ways[0], 0) + 1
    # Every translation by at most 2 pixels, equally often.
    assert set(found) == {(d, r) for d in range(-2, 3) for r in range(-2, 3)}
    assert max(found.values()) < 3 * min(found.values())


def test_quarter_turns_are_equally_often():
    data = images(640, shape=(6, 6, 2))
    found = [0, 0, 0, 0]
    for (x, _), (expected, _) in zip(
        batches(data, plain(quarter_turns=True)), batches(data, plain()), strict=True
    ):
        for image, original in zip(x, expected, strict=True):
            # A turn to the left: row r becomes column r, columns read from the right.
            turned = [original]
            for _ in range(3):
                turned.append(turned[-1].transpose(1, 0, 2)[::-1])
            (turns,) = [i for i in range(4) if np.array_equal(image, turned[i])]
            found[turns] += 1
    assert sum(found) == 640
    assert min(found) > 120
