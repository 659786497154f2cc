"""Gradients of the loss with respect to the images: one branch per backend."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

GradientFunction = Callable[[Any, Any], npt.NDArray[np.float32]]


@lru_cache(maxsize=1)  # Several attacks of one model share what is compiled.
def loss_gradient(model: keras.Model) -> GradientFunction:
    """Makes the function that gives the gradient of the loss at images.

    The loss is the mean cross-entropy of the model's logits in inference mode
    (`training=False`). The function is compiled where the backend compiles, once per
    shape of the images, and follows later changes of the model's weights.

    Args:
        model: Model from images to logits, `(B, classes)`.

    Returns:
        A function of `images`, float32 `(B, height, width, channels)`, and `labels`,
        int32 `(B,)`, that returns `∂ loss / ∂ images` in the shape of the images.
    """
    return {
        "tensorflow": _tensorflow_gradient,
        "jax": _jax_gradient,
        "torch": _torch_gradient,
    }[keras.backend.backend()](model)


def _loss(labels: Any, logits: Any) -> Any:
    losses = keras.losses.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    )
    return keras.ops.mean(losses)


def _tensorflow_gradient(model: keras.Model) -> GradientFunction:
    import tensorflow as tf

    @tf.function(reduce_retracing=True, jit_compile=bool(model.jit_compile))
    def gradient(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = _loss(labels, model(images, training=False))
        return tape.gradient(loss, images)

    def call(images: Any, labels: Any) -> npt.NDArray[np.float32]:
        return gradient(
            tf.convert_to_tensor(images), tf.convert_to_tensor(labels)
        ).numpy()

    return call


def _jax_gradient(model: keras.Model) -> GradientFunction:
    import jax

    @jax.jit
    @jax.grad
    def gradient(images: Any, labels: Any, trainable: Any, fixed: Any) -> Any:
        logits, _ = model.stateless_call(trainable, fixed, images, training=False)
        return _loss(labels, logits)

    def call(images: Any, labels: Any) -> npt.NDArray[np.float32]:
        trainable = [variable.value for variable in model.trainable_variables]
        fixed = [variable.value for variable in model.non_trainable_variables]
        return np.asarray(gradient(images, labels, trainable, fixed))

    return call


def _torch_gradient(model: keras.Model) -> GradientFunction:
    import torch

    def call(images: Any, labels: Any) -> npt.NDArray[np.float32]:
        # A copy: the caller's tensor must not start to collect gradients.
        images = keras.ops.convert_to_tensor(images).detach().clone()
        images.requires_grad_()
        with torch.enable_grad():
            loss = _loss(
                keras.ops.convert_to_tensor(labels), model(images, training=False)
            )
        (gradient,) = torch.autograd.grad(loss, images)
        return gradient.cpu().numpy()

    return call
