"""Accuracies and gradients against models whose answers NumPy knows."""

import keras
import numpy as np
import pytest

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.measures.gradients import loss_gradient
from keras_stt.experiments.measures.predictions import accuracy
from keras_stt.experiments.robustness.attacks import fgsm_accuracy
from keras_stt.experiments.robustness.noise import noise_accuracy

SHAPE = (3, 4, 2)
SIZE = 24
CLASSES = 5


def random_images(count=50, low=0, high=256, seed=0):
    rng = np.random.default_rng(seed)
    return Images(
        rng.integers(low, high, (count, *SHAPE), dtype=np.uint8),
        rng.integers(0, CLASSES, count).astype(np.int32),
    )


@pytest.fixture
def weights():
    rng = np.random.default_rng(1)
    return rng.normal(size=(SIZE, CLASSES)), rng.normal(size=CLASSES)


@pytest.fixture
def linear(weights):
    layers = [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(CLASSES)]
    model = keras.Sequential(layers)
    model.set_weights([value.astype(np.float32) for value in weights])
    return model


def pixels(data):
    return data.images.reshape(len(data), SIZE) / 255.0


def share(x, data, weights):
    """Accuracy of the linear model in float64."""
    kernel, bias = weights
    return np.mean(np.argmax(x @ kernel + bias, axis=-1) == data.labels)


def slopes(x, data, weights):
    """Gradient of every image's cross-entropy: (softmax - onehot) kernelᵀ."""
    kernel, bias = weights
    logits = x @ kernel + bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(x)), data.labels] -= 1
    return shares @ kernel.T


@pytest.mark.parametrize("batch_size", [1, 7, 50, 64])
def test_accuracy(batch_size, linear, weights):
    data = random_images()
    assert accuracy(linear, data, batch_size) == share(pixels(data), data, weights)


def test_accuracy_of_a_perfect_and_a_hopeless_model(linear, weights):
    data = random_images()
    kernel, bias = weights
    best = np.argmax(pixels(data) @ kernel + bias, axis=-1).astype(np.int32)
    assert accuracy(linear, Images(data.images, best), 16) == 1
    worse = ((best + 1) % CLASSES).astype(np.int32)
    assert accuracy(linear, Images(data.images, worse), 16) == 0


@pytest.mark.parametrize("epsilon", [0.0, 2 / 255, 8 / 255, 0.3])
@pytest.mark.parametrize("batch_size", [16, 50])
def test_fgsm_of_a_linear_model(epsilon, batch_size, linear, weights, monkeypatch):
    data, seen, predict = random_images(), [], linear.predict_on_batch
    monkeypatch.setattr(
        linear, "predict_on_batch", lambda x: (seen.append(x), predict(x))[1]
    )
    found = fgsm_accuracy(linear, data, epsilon, batch_size=batch_size)
    x = pixels(data)
    attacked = np.clip(x + epsilon * np.sign(slopes(x, data, weights)), 0, 1)
    np.testing.assert_allclose(
        np.concatenate(seen)[:50].reshape(50, SIZE), attacked, atol=1e-6
    )
    assert found == share(attacked, data, weights)


def test_fgsm_of_two_classes_in_closed_form():
    """The margin falls by ε·‖w_right − w_wrong‖₁ where nothing is clipped."""
    rng = np.random.default_rng(2)
    data = random_images(200, low=100, high=150)
    data = Images(data.images, (data.labels % 2).astype(np.int32))
    model = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    kernel = rng.normal(size=(SIZE, 2))
    bias = -np.mean(pixels(data), axis=0) @ kernel
    model.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    margin = (pixels(data) @ kernel + bias) @ [1.0, -1.0]
    margin *= 1 - 2 * data.labels
    norm = np.abs(kernel[:, 0] - kernel[:, 1]).sum()
    found = [fgsm_accuracy(model, data, epsilon) for epsilon in (0, 0.005, 0.01)]
    expected = [np.mean(margin > epsilon * norm) for epsilon in (0, 0.005, 0.01)]
    assert found == expected
    assert found[0] > found[1] > found[2] > 0


def test_noise_has_its_strength_and_is_clipped():
    seen = []

    class Spy:
        def predict_on_batch(self, images):
            seen.append(images)
            return np.zeros((len(images), CLASSES))

    data = random_images(1500)
    noise_accuracy(Spy(), data, 0.1, seed=3, batch_size=1500)
    noise = (seen[0] - data.images / 255).astype(float)
    assert seen[0].min() == 0
    assert seen[0].max() == 1
    inside = (data.images > 128 - 30) & (data.images < 128 + 30)
    assert noise[inside].mean() == pytest.approx(0, abs=0.005)
    assert noise[inside].std() == pytest.approx(0.1, rel=0.03)
    # No image, row, column or channel shares its noise with another.
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.7
    assert np.unique(noise[inside].round(6)).size > 0.9 * noise[inside].size


def test_noise_is_the_same_for_every_batch_size_and_model():
    data = random_images(50)

    def noisy(batch_size, sigma=0.2, seed=0):
        seen = []

        class Spy:
            def predict_on_batch(self, images):
                seen.append(images)
                return np.zeros((len(images), CLASSES))

        noise_accuracy(Spy(), data, sigma, seed=seed, batch_size=batch_size)
        assert {len(images) for images in seen} == {batch_size}
        return np.concatenate(seen)[:50]

    first = noisy(50)
    for batch_size in (1, 7, 16, 64):
        np.testing.assert_array_equal(noisy(batch_size), first)
    assert not np.array_equal(noisy(50, seed=1), first)
    before = (first - data.images / 255) / 0.2
    assert not np.allclose((noisy(50, 0.1) - data.images / 255) / 0.1, before, 0.1)


def test_no_noise_is_accuracy(linear):
    data = random_images()
    assert noise_accuracy(linear, data, 0.0) == accuracy(linear, data)


def test_noise_of_a_linear_model(linear, weights):
    """With noise far above the margins, little more than chance is left."""
    data = random_images(400)
    kernel, bias = weights
    best = np.argmax(pixels(data) @ kernel + bias, axis=-1).astype(np.int32)
    data = Images(data.images, best)
    found = [noise_accuracy(linear, data, sigma) for sigma in (0.02, 0.2, 3.0)]
    assert 0.9 < found[0] < 1
    assert found[0] > found[1] > found[2] > 1 / CLASSES


@pytest.mark.parametrize("measure", [accuracy, noise_accuracy, fgsm_accuracy])
def test_no_images(measure, linear):
    strength = [] if measure is accuracy else [0.1]
    with pytest.raises(ValueError, match="at least one image"):
        measure(linear, random_images(0), *strength)


def test_negative_strength(linear):
    with pytest.raises(ValueError, match=r"`sigma` must be at least 0\. "):
        noise_accuracy(linear, random_images(), -0.1)
    with pytest.raises(ValueError, match=r"`epsilon` must be at least 0\. "):
        fgsm_accuracy(linear, random_images(), -0.1)


def test_gradient_of_a_linear_model(linear, weights):
    data = random_images(10)
    x = pixels(data)
    found = loss_gradient(linear)(x.reshape(10, *SHAPE).astype(np.float32), data.labels)
    expected = slopes(x, data, weights).reshape(10, *SHAPE) / 10
    assert found.shape == (10, *SHAPE)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.fixture
def deep():
    """A smooth model that would differ between training and inference."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(6, 2, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(CLASSES),
        ]
    )
    rng = np.random.default_rng(4)
    norm = model.layers[1]
    norm.set_weights([rng.uniform(0.5, 2, 6).astype(np.float32) for _ in range(4)])
    return model


def mean_loss(model, images, labels):
    logits = keras.ops.convert_to_numpy(model(images, training=False))
    logits = logits.astype(np.float64)
    return np.mean(
        np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]
    )


def test_gradient_against_finite_differences(deep):
    data = random_images(3)
    images = (data.images / 255).astype(np.float32)
    found = loss_gradient(deep)(images, data.labels)
    step = 0.02
    for index in np.random.default_rng(5).choice(images.size, 12, replace=False):
        sides = []
        for sign in (1, -1):
            moved = images.copy()
            moved.flat[index] += sign * step
            sides.append(mean_loss(deep, moved, data.labels))
        slope = (sides[0] - sides[1]) / (2 * step)
        assert found.flat[index] == pytest.approx(slope, rel=0.02, abs=1e-4)


def test_gradient_follows_the_weights(linear, weights):
    data = random_images(4)
    images = (data.images / 255).astype(np.float32)
    gradient = loss_gradient(linear)
    gradient(images, data.labels)
    doubled = 2 * weights[0], weights[1]
    linear.set_weights([value.astype(np.float32) for value in doubled])
    expected = slopes(pixels(data), data, doubled).reshape(4, *SHAPE) / 4
    np.testing.assert_allclose(
        gradient(images, data.labels), expected, rtol=1e-4, atol=1e-6
    )


def test_gradient_leaves_the_model_alone(deep):
    data = random_images(3)
    before = deep.get_weights()
    loss_gradient(deep)((data.images / 255).astype(np.float32), data.labels)
    for value, wanted in zip(deep.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, wanted)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="runs eagerly")
def test_nothing_compiles_twice():
    """50 images in batches of 16 leave a rest of 2."""
    calls = []

    class Traced(keras.layers.Layer):
        def call(self, inputs):
            calls.append(inputs.shape)
            return inputs

    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            Traced(),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES),
        ]
    )
    data = random_images(50)
    accuracy(model, random_images(48), batch_size=16)
    calls.clear()
    accuracy(model, data, batch_size=16)
    noise_accuracy(model, data, 0.1, batch_size=16)
    assert not calls
    fgsm_accuracy(model, data, 0.1, batch_size=16)
    assert len(calls) == 1
