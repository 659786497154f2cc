"""Accuracy under attack: with the model's gradients, and without them."""

import keras
import numpy as np

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.measures.gradients import GradientFunction, loss_gradient
from keras_stt.experiments.measures.predictions import (
    BATCH_SIZE,
    Pixels,
    batches,
    classes,
    disturbed_accuracy,
    logits,
    padded,
    unit,
)


def fgsm_accuracy(
    model: keras.Model,
    data: Images,
    epsilon: float,
    *,
    batch_size: int = BATCH_SIZE,
) -> float:
    """Accuracy under the fast gradient sign method, a white-box attack of one step.

    The model sees `clip(x + ε·sign(∂ loss / ∂x), 0, 1)`, where the loss is the
    cross-entropy with the true label.

    Args:
        model: Model from float32 images in [0, 1] to logits.
        data: Images with their labels.
        epsilon: Size of the step, in units of the [0, 1] pixel range.
        batch_size: Images per batch.

    Returns:
        The accuracy, in [0, 1].

    Raises:
        ValueError: If there are no images, or for a negative `epsilon`.

    Reference:
        Goodfellow et al., arXiv 1412.6572, section 4.
    """
    _check_epsilon(epsilon)
    gradient = loss_gradient(model)

    def attacked(images: Pixels, labels: np.ndarray) -> Pixels:
        slope = _slope(gradient, images, labels, batch_size)
        return np.clip(images + np.float32(epsilon) * np.sign(slope), 0, 1)

    return disturbed_accuracy(model, data, batch_size, attacked)


def pgd_accuracy(
    model: keras.Model,
    data: Images,
    epsilon: float,
    *,
    steps: int = 20,
    restarts: int = 2,
    batch_size: int = BATCH_SIZE,
) -> float:
    """Accuracy under projected gradient descent, the strongest first-order attack.

    From a random image at most `ε` away in every pixel, `steps` signed gradient steps
    of `2.5·ε / steps`, each followed by a projection onto what is at most `ε` away.
    An image counts as right only if it is right itself and after each of the restarts.

    Args:
        model: Model from float32 images in [0, 1] to logits.
        data: Images with their labels.
        epsilon: Largest change of a pixel, in units of the [0, 1] pixel range.
        steps: Number of steps.
        restarts: Number of random starts.
        batch_size: Images per batch.

    Returns:
        The accuracy, in [0, 1].

    Raises:
        ValueError: If there are no images, or for a negative `epsilon`.

    Reference:
        Madry et al., arXiv 1706.06083.
    """
    _check_epsilon(epsilon)
    gradient = loss_gradient(model)
    images, labels = unit(data.images), data.labels
    standing = np.flatnonzero(classes(model, images, batch_size) == labels)
    for restart in range(restarts):
        rng = np.random.default_rng([0, restart])
        starts = rng.uniform(-epsilon, epsilon, images.shape).astype(np.float32)
        kept = []
        # What has been broken needs no other attack.
        for chosen in batches(len(standing), batch_size):
            which = standing[chosen]
            attacked = images[which] + starts[which]
            for _ in range(steps):
                slope = _slope(gradient, attacked, labels[which], batch_size)
                step = np.float32(2.5 * epsilon / steps) * np.sign(slope)
                attacked = _near(images[which], attacked + step, epsilon)
            right = classes(model, attacked, batch_size) == labels[which]
            kept.append(which[right])
        standing = np.concatenate(kept) if kept else standing
    return len(standing) / len(data)


def universal_accuracy(
    model: keras.Model,
    data: Images,
    train_data: Images,
    epsilon: float,
    *,
    batch_size: int = BATCH_SIZE,
) -> float:
    """Accuracy under one perturbation for all images, made on training images.

    `δ ← clip(δ + ε/5 · sign(Σ ∂ loss / ∂x), -ε, ε)`, batch by batch, five times
    over the training images.

    Args:
        model: Model from float32 images in [0, 1] to logits.
        data: Images with their labels, on which the perturbation is tried.
        train_data: Images with their labels, on which it is made.
        epsilon: Largest change of a pixel, in units of the [0, 1] pixel range.
        batch_size: Images per batch.

    Returns:
        The accuracy, in [0, 1].

    Raises:
        ValueError: If there are no images, or for a negative `epsilon`.

    Reference:
        Shafahi et al., Universal adversarial training, arXiv 1811.11304.
    """
    _check_epsilon(epsilon)
    gradient = loss_gradient(model)
    delta = np.zeros(data.images.shape[1:], np.float32)
    for _ in range(5):
        for chosen in batches(len(train_data), batch_size):
            images = np.clip(unit(train_data.images[chosen]) + delta, 0, 1)
            slope = _slope(gradient, images, train_data.labels[chosen], batch_size)
            step = np.float32(epsilon / 5) * np.sign(slope.sum(axis=0))
            delta = np.clip(delta + step, -epsilon, epsilon).astype(np.float32)
    return disturbed_accuracy(
        model, data, batch_size, lambda images, labels: np.clip(images + delta, 0, 1)
    )


def square_accuracy(
    model: keras.Model,
    data: Images,
    epsilon: float,
    *,
    queries: int = 300,
    batch_size: int = BATCH_SIZE,
) -> float:
    """Accuracy under the Square attack, which sees logits and no gradients.

    A model that this attack breaks more often than projected gradient descent hides
    its gradients, and is not robust.

    Args:
        model: Model from float32 images in [0, 1] to logits.
        data: Images with their labels.
        epsilon: Largest change of a pixel, in units of the [0, 1] pixel range.
        queries: How often the attack may ask for the logits of an image.
        batch_size: Images per batch.

    Returns:
        The accuracy, in [0, 1].

    Raises:
        ValueError: If there are no images, or for a negative `epsilon`.

    Reference:
        Andriushchenko et al., arXiv 1912.00049, by the Adversarial Robustness Toolbox.
    """
    from art.attacks.evasion import SquareAttack
    from art.estimators.classification import BlackBoxClassifierNeuralNetwork

    _check_epsilon(epsilon)
    images, labels = unit(data.images), data.labels
    standing = classes(model, images, batch_size) == labels
    if epsilon == 0 or not standing.any():
        return float(standing.mean())

    def predict(images: np.ndarray) -> np.ndarray:
        return logits(model, images.astype(np.float32), batch_size)

    classifier = BlackBoxClassifierNeuralNetwork(
        predict,
        input_shape=images.shape[1:],
        nb_classes=predict(images[:1]).shape[-1],
        channels_first=False,
        clip_values=(0.0, 1.0),
    )
    attack = SquareAttack(
        classifier, eps=epsilon, max_iter=queries, batch_size=len(images), verbose=False
    )
    # The toolbox draws from NumPy's global stream.
    state = np.random.get_state()
    np.random.seed(0)
    try:
        attacked = attack.generate(images[standing], labels[standing])
    finally:
        np.random.set_state(state)
    right = classes(model, attacked, batch_size) == labels[standing]
    return int(right.sum()) / len(data)


def _slope(
    gradient: GradientFunction, images: Pixels, labels: np.ndarray, batch_size: int
) -> Pixels:
    """The gradients of one batch, which may be short."""
    slope = gradient(padded(images, batch_size), padded(labels, batch_size))
    return slope[: len(labels)]


def _near(images: Pixels, attacked: np.ndarray, epsilon: float) -> Pixels:
    """The nearest images that differ by `epsilon` at most and are in [0, 1]."""
    attacked = np.clip(attacked, images - epsilon, images + epsilon)
    return np.clip(attacked, 0, 1).astype(np.float32)


def _check_epsilon(epsilon: float) -> None:
    if epsilon < 0:
        raise ValueError(f"`epsilon` must be at least 0. Received: epsilon={epsilon}")
