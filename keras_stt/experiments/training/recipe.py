"""How a model is trained: one recipe for all of them."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from keras_stt.arguments import (
    non_negative_integer,
    non_negative_number,
    positive_integer,
    positive_number,
    rate,
)
from keras_stt.experiments.data.examples import Examples
from keras_stt.experiments.errors import UserError, user_errors


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: AdamW, linear warm-up, cosine decay to 0.

    Args:
        epochs: Passes over the training images.
        batch_size: Images per step. What does not fill a batch is left out, each
            epoch another part.
        learning_rate: Peak of the learning rate, at the end of the warm-up.
        warmup: Share of all steps in which the learning rate rises from 0.
        weight_decay: Decoupled weight decay, per step and unit of learning rate, of
            the kernels of layers: not of biases, normalisations, position embeddings
            and learned attention logits.
        flip: Whether half of the images are mirrored left to right.
        shift: Largest random translation along each axis, in pixels; zeros fill up.
        quarter_turns: Whether images are turned by a random multiple of 90°; they must
            be square then.
    """

    epochs: int = 6
    batch_size: int = 128
    learning_rate: float = 1e-3
    warmup: float = 0.1
    weight_decay: float = 0.05
    flip: bool = True
    shift: int = 0
    quarter_turns: bool = False

    def __post_init__(self) -> None:
        with user_errors():
            positive_integer("epochs", self.epochs)
            positive_integer("batch_size", self.batch_size)
            positive_number("learning_rate", self.learning_rate)
            rate("warmup", self.warmup)
            non_negative_number("weight_decay", self.weight_decay)
            non_negative_integer("shift", self.shift)


def check_recipe(recipe: Recipe, data: Examples) -> None:
    """Raises a `ValueError` unless the images can be trained on as a recipe says."""
    if len(data) < recipe.batch_size:
        raise UserError(
            f"`batch_size` must be at most {len(data)}, the number of training images. "
            f"Received: batch_size={recipe.batch_size}"
        )
    height, width = data.images.shape[1:3]
    if recipe.quarter_turns and height != width:
        raise UserError(
            "`quarter_turns` needs square images. "
            f"Received: images of {height}×{width} pixels"
        )


def compile_model(
    model: keras.Model, recipe: Recipe, steps: int, *, jit_compile: bool | str = "auto"
) -> None:
    """Compiles a model for a recipe.

    Args:
        model: Model from images to logits.
        recipe: How to train.
        steps: Number of all training steps: where the learning rate reaches 0.
        jit_compile: As in `keras.Model.compile`.
    """
    warmup = round(recipe.warmup * steps)
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else recipe.learning_rate,
            decay_steps=max(1, steps - warmup),
            warmup_target=recipe.learning_rate if warmup else None,
            warmup_steps=warmup,
        ),
        weight_decay=recipe.weight_decay,
    )
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.trainable_variables if not _decays(v)]
    )
    model.compile(
        optimizer,
        # Of targets with weights, the mean over those that count.
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        ),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=jit_compile,
    )
    optimizer.build(model.trainable_variables)


def _decays(variable: keras.Variable) -> bool:
    """Whether weight decay acts on a variable: on the kernels of layers alone.

    Not on biases, normalisations and position embeddings, and not on learned attention
    logits, which play the part of the biases of synthesised ones.
    """
    return variable.path.rsplit("/", 1)[-1] == "kernel"
