"""Times of single steps, measured so that they can be compared."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_stt.experiments.data.examples import Examples

Step = Callable[[], object]


def interleaved(
    steps: dict[str, Step],
    *,
    rounds: int = 20,
    warmup: int = 2,
    seconds: float | None = None,
    least: int = 1,
    turn: float | None = None,
    progress: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Times several steps in turn, so that a slow minute of the machine hits all.

    Every round runs every step once; the next round starts with the next step, so
    none always follows the same one. A step must wait for its own result.

    Args:
        steps: The contenders by name.
        rounds: Number of timed rounds.
        warmup: Number of rounds before them that are not timed; the first calls
            compile.
        seconds: No further round begins once the timed rounds took this long. None:
            no such limit.
        least: Number of timed rounds that are run however long they take.
        turn: Seconds that a step has for a turn, in which it is run and timed again and
            again. The first call is not timed, since it finds the caches full of what
            the step before it used, unless it takes the whole turn. None: one call,
            which is timed.
        progress: Whether to show a progress bar.
        clock: Gives the time in seconds.

    Returns:
        Milliseconds of every timed call, by name, in the order of the rounds.

    Raises:
        ValueError: For no rounds, or a negative warm-up.
    """
    if rounds < 1 or warmup < 0:
        raise ValueError(
            "`rounds` must be at least 1 and `warmup` at least 0. "
            f"Received: rounds={rounds}, warmup={warmup}"
        )
    from tqdm import tqdm

    names = list(steps)
    times: dict[str, list[float]] = {name: [] for name in names}
    began = clock()
    with tqdm(
        total=None if seconds else (warmup + rounds) * len(names),
        desc="Timing",
        unit="step",
        leave=False,
        disable=None if progress else True,
    ) as bar:
        for number in range(-warmup, rounds):
            if number == 0:
                began = clock()
            elif number >= least and seconds is not None and clock() - began >= seconds:
                break
            first = number % max(1, len(names))
            for name in names[first:] + names[:first]:
                taken = _timed(steps[name], turn, clock)
                if number >= 0:
                    times[name] += [1e3 * call for call in taken]
                bar.update()
    return times


def _timed(step: Step, turn: float | None, clock: Callable[[], float]) -> list[float]:
    """Seconds of the calls of a step in one turn."""
    taken: list[float] = []
    began = clock()
    while True:
        start = clock()
        step()
        now = clock()
        taken.append(now - start)
        if turn is None or now - began >= turn:
            return taken[1:] or taken


def training_step(model: keras.Model, batch: Examples) -> Step:
    """Makes a function that trains a compiled model on one batch and waits for it.

    The batch stays on the device. The step does change the model's weights.

    Args:
        model: Compiled model from float32 images in [0, 1] to logits.
        batch: The images of one batch.

    Returns:
        A function without arguments; its first call compiles.

    Raises:
        ValueError: If the model is not compiled.
    """
    if not model.compiled:
        raise ValueError(
            "`model` must be compiled to time its training. Received: a model without "
            "optimizer and loss"
        )
    tensors = _on_device(batch)
    last = min(model.trainable_variables, key=lambda v: int(np.prod(v.shape)))

    def step() -> None:
        model.train_on_batch(*tensors)
        # The loss can be there before the new weights are.
        keras.ops.convert_to_numpy(last.value)

    return step


def inference_step(model: keras.Model, batch: Examples) -> Step:
    """Makes a function that computes the logits of one batch and waits for them.

    The batch stays on the device; the logits come back as a NumPy array.

    Args:
        model: Model from float32 images in [0, 1] to logits.
        batch: The images of one batch.

    Returns:
        A function without arguments; its first call compiles.
    """
    inputs, *_ = _on_device(batch)
    return lambda: model.predict_on_batch(inputs)


def _on_device(batch: Examples) -> tuple[Any, ...]:
    pixels = (batch.images / np.float32(255)).astype(np.float32)
    arrays = batch.batch(pixels, np.arange(len(batch)), np.zeros(len(batch)))
    return keras.tree.map_structure(keras.ops.convert_to_tensor, arrays)
