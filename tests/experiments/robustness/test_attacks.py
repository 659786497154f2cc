"""Attacks on linear models, whose worst case is known in closed form."""

import keras
import numpy as np
import pytest

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.measures.predictions import accuracy
from keras_stt.experiments.robustness.attacks import (
    pgd_accuracy,
    square_accuracy,
    universal_accuracy,
)

# Gradients are tested on every backend; the attacks are NumPy's.
pytestmark = pytest.mark.backend_free

SHAPE = (8, 8, 3)
SIZE = 192
EPSILONS = (0.0, 0.004, 0.01)


def grey_images(count, seed=0):
    """Images far from black and white, where no attack is clipped."""
    rng = np.random.default_rng(seed)
    return Images(
        rng.integers(100, 150, (count, *SHAPE), dtype=np.uint8),
        rng.integers(0, 2, count).astype(np.int32),
    )


@pytest.fixture(scope="module")
def attacked():
    """Images, a linear model, and the margins of the images in float64."""
    data = grey_images(120)
    kernel = np.random.default_rng(2).normal(size=(SIZE, 2))
    pixels = data.images.reshape(len(data), SIZE) / 255
    bias = -pixels.mean(axis=0) @ kernel
    layers = [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    margins = (pixels @ kernel + bias) @ [1.0, -1.0] * (1 - 2 * data.labels)
    return data, model, margins, kernel[:, 0] - kernel[:, 1]


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("batch_size", [50, 256])
def test_pgd_finds_the_worst_case(epsilon, batch_size, attacked):
    # Of a linear model, the margin falls by ε·‖w_0 - w_1‖₁ at most.
    data, model, margins, slope = attacked
    found = pgd_accuracy(model, data, epsilon, steps=10, batch_size=batch_size)
    assert found == np.mean(margins > epsilon * np.abs(slope).sum())


def test_the_worst_case_differs_between_the_strengths(attacked):
    _, _, margins, slope = attacked
    worst = [np.mean(margins > e * np.abs(slope).sum()) for e in EPSILONS]
    assert worst[0] > worst[1] > worst[2] > 0


def test_pgd_stays_near_the_image_and_in_the_range(attacked, monkeypatch):
    _, model, _, _ = attacked
    seen, predict = [], model.predict_on_batch
    monkeypatch.setattr(
        model, "predict_on_batch", lambda x: (seen.append(x), predict(x))[1]
    )
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (64, *SHAPE), dtype=np.uint8)
    right = predict((images / 255).astype(np.float32)).argmax(axis=-1)
    data = Images(images, right.astype(np.int32))
    pgd_accuracy(model, data, 0.1, steps=3, restarts=1, batch_size=64)
    changes = np.abs(seen[1] - images / 255)
    assert changes.max() == pytest.approx(0.1, abs=1e-6)
    assert seen[1].min() >= 0
    assert seen[1].max() <= 1


def test_restarts_break_more_than_one_start():
    # From the right of the image the slope leads back, and the crest is on the left.
    class Bump(keras.layers.Layer):
        def call(self, x):
            x = keras.ops.mean(x, axis=(1, 2, 3))
            score = 50 * (x - 0.5) ** 2 * keras.ops.where(x < 0.5, 1.0, 0.2) - 0.05
            return keras.ops.stack([keras.ops.zeros_like(score), score], axis=-1)

    model = keras.Sequential([keras.Input((1, 1, 1)), Bump()])
    data = Images(np.full((200, 1, 1, 1), 128, np.uint8), np.zeros(200, np.int32))
    found = [pgd_accuracy(model, data, 0.06, restarts=n) for n in (1, 2, 6)]
    # Each start is on the wrong side half of the time.
    np.testing.assert_allclose(found, [0.5, 0.25, 1 / 64], atol=0.1)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_a_universal_perturbation_of_one_class(epsilon, attacked):
    # Where all images have one label, the worst case is the same for all of them.
    data, model, margins, slope = attacked
    ones = data.labels == 1
    data = Images(data.images[ones], data.labels[ones])
    other = grey_images(60, seed=5)
    other = Images(other.images, np.ones_like(other.labels))
    found = universal_accuracy(model, data, other, epsilon, batch_size=40)
    assert found == np.mean(margins[ones] > epsilon * np.abs(slope).sum())


def test_a_universal_perturbation_is_made_on_the_training_images(attacked):
    data, model, margins, slope = attacked
    # Made for the other class, it helps this one.
    ones, zeros = (
        Images(data.images[data.labels == label], data.labels[data.labels == label])
        for label in (1, 0)
    )
    helped = margins[data.labels == 1] + 0.002 * np.abs(slope).sum()
    found = universal_accuracy(model, ones, zeros, 0.002)
    assert found == np.mean(helped > 0) > accuracy(model, ones)


def test_square_lies_between_the_worst_case_and_the_undisturbed(attacked):
    pytest.importorskip("art")
    data, model, margins, slope = attacked
    state = np.random.get_state()[1].copy()
    found = square_accuracy(model, data, 0.01, queries=200)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    worst = np.mean(margins > 0.01 * np.abs(slope).sum())
    assert worst <= found < accuracy(model, data) - 0.1
    assert square_accuracy(model, data, 0.01, queries=200) == found
    assert square_accuracy(model, data, 0.0) == accuracy(model, data)


@pytest.mark.parametrize("attack", [pgd_accuracy, square_accuracy])
def test_negative_strengths(attack, attacked):
    with pytest.raises(ValueError, match=r"`epsilon` must be at least 0. Received"):
        attack(attacked[1], attacked[0], -0.1)
