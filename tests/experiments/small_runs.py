"""Small training runs for the tests of training."""

import keras
import numpy as np

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.training.recipe import Recipe
from keras_stt.experiments.training.training import train

CLASSES = 3
RECIPE = Recipe(epochs=3, batch_size=16, learning_rate=0.01, shift=1)


def images(count=70, seed=0, shape=(6, 5, 2)):
    rng = np.random.default_rng(seed)
    return Images(
        rng.integers(0, 256, (count, *shape), dtype=np.uint8),
        rng.integers(0, CLASSES, count).astype(np.int32),
    )


def relabelled(data, seed):
    """The same images with the labels of others."""
    return Images(data.images, images(len(data), seed).labels)


def build():
    """Everything that has a state: normalisation, seeded and unseeded dropout."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6, 5, 2)),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.SpatialDropout2D(0.2, seed=3),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(CLASSES),
        ]
    )


def run(folder, data=None, recipe=RECIPE, model=build, **changes):
    options = {"seed": 1, "validation": images(20, seed=5), "progress": False}
    data = images() if data is None else data
    return train(model, data, recipe, folder=folder, **{**options, **changes})


def values(variables):
    return [keras.ops.convert_to_numpy(variable.value) for variable in variables]


def state(trained):
    return values([*trained.model.variables, *trained.model.optimizer.variables])
