"""The recipe: learning rates and weight decay."""

import math

import keras
import numpy as np
import pytest
from small_runs import build, values

from keras_stt.experiments.training.recipe import Recipe, compile_model
from keras_stt.models import image_classifier


@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_learning_rate(warmup):
    model = build()
    compile_model(model, Recipe(learning_rate=0.4, warmup=warmup), steps=40)
    start = round(40 * warmup)
    for step in (0, 1, 5, 9, 10, 11, 25, 39, 40):
        if step < start:
            expected = 0.4 * step / start
        else:
            share = (step - start) / (40 - start)
            expected = 0.4 * (1 + math.cos(math.pi * share)) / 2
        model.optimizer.iterations.assign(step)
        assert float(model.optimizer.learning_rate) == pytest.approx(expected, abs=1e-6)


def test_weight_decay_spares_biases_norms_and_positions():
    """One step without gradients: what is left is the decay."""

    class Everything(keras.layers.Layer):
        def build(self, shape):
            for name, size in (
                ("kernel", (8, 3)),
                ("bias", (2, 3)),
                ("gamma", (3, 1)),
                ("scale", (3,)),
                ("position_embedding", (4, 3)),
            ):
                self.add_weight(name=name, shape=size, initializer="ones")

        def call(self, inputs):
            return inputs

    model = keras.Sequential([keras.Input((6, 8)), Everything()])
    recipe = Recipe(learning_rate=0.1, warmup=0, weight_decay=0.5)
    compile_model(model, recipe, steps=10)
    zeros = [keras.ops.zeros(v.shape) for v in model.trainable_variables]
    model.optimizer.apply(zeros, model.trainable_variables)
    left = {v.name: values([v])[0] for v in model.trainable_variables}
    assert len(left) == 5
    np.testing.assert_allclose(left.pop("kernel"), 0.95, rtol=1e-6)
    for value in left.values():
        np.testing.assert_array_equal(value, 1)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", 0, "a positive integer"),
        ("epochs", 2.5, "a positive integer"),
        ("batch_size", 0, "a positive integer"),
        ("batch_size", 1.5, "a positive integer"),
        ("learning_rate", 0.0, "a positive, finite number"),
        ("warmup", 1.0, r"in \[0, 1\)"),
        ("weight_decay", -0.1, "a finite number of at least 0"),
        ("weight_decay", float("inf"), "a finite number of at least 0"),
        ("learning_rate", float("inf"), "a positive, finite number"),
        ("shift", -1, "an integer of at least 0"),
        ("shift", 0.5, "an integer of at least 0"),
    ],
)
def test_impossible_recipe(name, value, expected):
    with pytest.raises(ValueError, match=f"`{name}` must be {expected}. Received"):
        Recipe(**{name: value})


DENSE = {f"synthesizer_{m}/{n}/kernel" for m in (1, 2) for n in ("hidden", "logits")}
STT = {"value/kernel", "attention_output/kernel"}
KERNELS = {
    "stt-dense": STT | DENSE,
    "stt-random": STT,
    "stt-factorized-dense": STT
    | {f"synthesizer_{m}/{n}/kernel" for m in (1, 2) for n in ("repeated", "tiled")},
    "stt-factorized-random": STT,
    "stt-mixture": STT
    | {
        f"synthesizer_{m}/component_1/{n}/kernel"
        for m in (1, 2)
        for n in ("hidden", "logits")
    },
    "stt-mixture-dot": STT
    | {
        f"synthesizer_{m}/component_1/{n}/kernel"
        for m in (1, 2)
        for n in ("query", "key")
    },
    "stt-depthwise": set(),
    "stt-depthwise-synthesized": {"amplitude/kernel"},
    "mha": {
        f"attention/{n}/kernel" for n in ("query", "key", "value", "attention_output")
    },
    "axial-mha": {
        f"attention_{m}/{n}/kernel"
        for m in (1, 2)
        for n in ("query", "key", "value", "attention_output")
    },
    "depthwise-conv": {"kernel"},
    "none": {"kernel"},
}


@pytest.mark.parametrize("mixer", KERNELS)
def test_weight_decay_acts_on_the_same_of_every_mixer(mixer):
    """The kernels of projections, and no logits that are learned outright."""
    model = image_classifier(
        (8, 12, 3), 10, mixer, grid=(4, 6), width=8, depth=1, num_heads=2
    )
    compile_model(model, Recipe(), steps=10)
    decayed = {
        v.path.split("/mixer/", 1)[-1]
        for v in model.get_layer("block_0").mixer.trainable_variables
        if model.optimizer._use_weight_decay(v)
    }
    assert decayed == KERNELS[mixer]
