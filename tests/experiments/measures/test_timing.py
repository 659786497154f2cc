"""Timing with a clock of its own, so that no test depends on the machine."""

import keras
import numpy as np
import pytest

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.measures.timing import (
    inference_step,
    interleaved,
    training_step,
)


class Contenders:
    """Steps that take known times on a clock that only they move."""

    def __init__(self, **seconds):
        self.now, self.calls = 0.0, []
        self.steps = {
            name: lambda name=name, cost=cost: self.run(name, cost)
            for name, cost in seconds.items()
        }

    def run(self, name, cost):
        self.calls.append(name)
        self.now += cost() if callable(cost) else cost

    def times(self, **options):
        return interleaved(self.steps, clock=lambda: self.now, **options)


def test_milliseconds_by_name():
    contenders = Contenders(slow=0.25, fast=0.125)
    found = contenders.times(rounds=3, warmup=1)
    assert found == {"slow": [250.0] * 3, "fast": [125.0] * 3}
    assert list(found) == ["slow", "fast"]


def test_everyone_takes_every_turn():
    contenders = Contenders(a=1, b=1, c=1)
    contenders.times(rounds=6, warmup=3)
    rounds = np.array(contenders.calls).reshape(9, 3)
    assert all(sorted(calls) == ["a", "b", "c"] for calls in rounds)
    timed = rounds[3:]
    for place in range(3):
        assert sorted(timed[:, place]) == ["a", "a", "b", "b", "c", "c"]


def test_warmup_is_not_timed():
    costs = iter([8.0, 4.0, 1.0, 2.0, 3.0])
    contenders = Contenders(only=lambda: next(costs))
    assert contenders.times(rounds=3, warmup=2) == {"only": [1000.0, 2000.0, 3000.0]}


@pytest.mark.parametrize(
    ("seconds", "rounds"), [(0, 1), (1.5, 1), (2.0, 1), (2.5, 2), (6.0, 3), (100, 10)]
)
def test_time_limit(seconds, rounds):
    """Rounds of 2 s, after a warm-up that does not count."""
    contenders = Contenders(a=1.5, b=0.5)
    found = contenders.times(rounds=10, warmup=4, seconds=seconds)
    assert [len(times) for times in found.values()] == [rounds] * 2


def test_the_real_clock():
    found = interleaved({"a": lambda: None, "b": lambda: sum(range(100))}, rounds=2)
    assert all(time >= 0 for times in found.values() for time in times)


def test_nothing_to_time():
    assert interleaved({}, rounds=2) == {}


@pytest.mark.parametrize("options", [{"rounds": 0}, {"rounds": 1, "warmup": -1}])
def test_impossible_rounds(options):
    with pytest.raises(ValueError, match="`rounds` must be at least 1 and `warmup`"):
        interleaved({"a": lambda: None}, **options)


def batch(count=6):
    rng = np.random.default_rng(0)
    return Images(
        rng.integers(0, 256, (count, 4, 5, 1), dtype=np.uint8),
        rng.integers(0, 3, count).astype(np.int32),
    )


def build():
    return keras.Sequential(
        [keras.Input((4, 5, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )


def test_training_step_trains():
    """Plain gradient descent on a linear model, repeated in NumPy."""
    model, data = build(), batch()
    model.compile(
        keras.optimizers.SGD(0.5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    kernel, bias = (value.astype(float) for value in model.get_weights())
    step = training_step(model, data)
    x = data.images.reshape(6, 20) / 255
    for _ in range(3):
        step()
        shares = np.exp(x @ kernel + bias)
        shares /= shares.sum(axis=1, keepdims=True)
        shares[np.arange(6), data.labels] -= 1
        kernel -= 0.5 * x.T @ shares / 6
        bias -= 0.5 * shares.mean(axis=0)
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.get_weights()[1], bias, rtol=1e-4, atol=1e-5)


def test_training_step_needs_a_compiled_model():
    with pytest.raises(ValueError, match="`model` must be compiled"):
        training_step(build(), batch())


def test_inference_step_gives_the_logits():
    model, data = build(), batch()
    kernel, bias = model.get_weights()
    found = inference_step(model, data)()
    expected = data.images.reshape(6, 20) / 255 @ kernel + bias
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_turn_begins_with_a_call_that_does_not_count():
    costs = iter([9.0, 1.0, 2.0, 3.0, 8.0, 4.0, 5.0, 1.0])
    contenders = Contenders(only=lambda: next(costs))
    # 9 + 1 + 2 s are a turn of 12 s, and so on.
    found = contenders.times(rounds=2, warmup=0, turn=12.0)
    assert found == {"only": [1000.0, 2000.0, 8000.0, 4000.0]}


def test_a_call_that_takes_the_whole_turn_counts():
    contenders = Contenders(slow=5, fast=1)
    found = contenders.times(rounds=2, warmup=1, turn=3.0)
    assert found == {"slow": [5000.0] * 2, "fast": [1000.0] * 4}


def test_the_least_number_of_rounds_goes_before_the_time_limit():
    contenders = Contenders(a=10)
    found = contenders.times(rounds=10, warmup=0, seconds=1.0, least=3)
    assert found == {"a": [10_000.0] * 3}
