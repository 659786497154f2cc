"""One training recipe for every model, with runs that resume where they stopped.

A run is a function of its seed, its recipe and its data alone. After every epoch all
its state is written in one replacement of one file, so that a run which is killed at
any moment and started again ends with the same weights as an undisturbed one.
"""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_stt.experiments.data.examples import Examples, checksum
from keras_stt.experiments.measures.predictions import accuracy
from keras_stt.experiments.training.batches import EpochBatches
from keras_stt.experiments.training.progress import RunProgress
from keras_stt.experiments.training.recipe import Recipe, check_recipe, compile_model
from keras_stt.experiments.training.state import STATE_FILE, History, RunState


@dataclass(frozen=True)
class TrainedRun:
    """A finished training run.

    Args:
        model: The trained model, compiled.
        history: One number per epoch: `"loss"` and `"accuracy"` over the epoch's
            batches, and `"validation_accuracy"` where there are validation images.
        seconds: Wall time of the training, with compilation, without validation.
    """

    model: keras.Model
    history: History
    seconds: float


def train(
    build_model: Callable[[], keras.Model],
    data: Examples,
    recipe: Recipe,
    *,
    seed: int,
    folder: Path,
    validation: Any = None,
    score: Callable[[keras.Model, Any, int], float] = accuracy,
    progress: bool = True,
    jit_compile: bool | str = "auto",
    label: str | None = None,
) -> TrainedRun:
    """Trains a model, or resumes where an earlier call in the same folder stopped.

    Initial weights, the order of the images, their augmentation and dropout are
    functions of `seed` (and the epoch). A finished run is loaded, not trained again.
    Python's, NumPy's and the backend's global random seeds are set on the way.

    Args:
        build_model: Makes the model, from float32 images in [0, 1] (and what else the
            inputs of `data` are) to logits.
        data: Images to train on.
        recipe: How to train.
        seed: Seed of everything random, at least 0.
        folder: Folder of this run alone; made if it does not exist.
        validation: Images whose accuracy is measured after every epoch.
        score: How it is measured: from model, validation images and batch size.
        progress: Whether to show a progress bar (one line per epoch where standard
            error is no terminal).
        jit_compile: As in `keras.Model.compile`.
        label: What the progress bar says. Defaults to the name of the folder.

    Returns:
        The `TrainedRun`.

    Raises:
        ValueError: For fewer images than one batch, or a folder that holds another
            run or a damaged one.
    """
    check_recipe(recipe, data)
    steps = len(data) // recipe.batch_size
    keras.utils.set_random_seed(seed)
    model = build_model()
    compile_model(model, recipe, recipe.epochs * steps, jit_compile=jit_compile)
    state = RunState(
        model, folder / STATE_FILE, _identity(data, recipe, seed, validation)
    )
    state.load()
    if state.epoch == recipe.epochs:
        return TrainedRun(model, state.history, state.seconds)
    folder.mkdir(parents=True, exist_ok=True)
    shown = RunProgress(label or folder.name, recipe.epochs, steps, progress)
    with shown.running(finished=state.epoch) as callbacks:
        for epoch in range(state.epoch, recipe.epochs):
            batches = EpochBatches(data, recipe, seed, epoch)
            start = time.perf_counter()
            # `shuffle` would shuffle the batches, from Python's global stream.
            logs = model.fit(
                batches,
                shuffle=False,
                verbose=0,
                callbacks=[*_reseeding(seed, epoch), *callbacks],
            ).history
            seconds = time.perf_counter() - start
            numbers = {name: float(logs[name][0]) for name in ("loss", "accuracy")}
            if validation is not None:
                numbers["validation_accuracy"] = score(
                    model, validation, recipe.batch_size
                )
            state.commit(numbers, seconds)
            shown.epoch_done(epoch, numbers, seconds)
    return TrainedRun(model, state.history, state.seconds)


def _identity(
    data: Examples, recipe: Recipe, seed: int, validation: Examples | None
) -> dict[str, Any]:
    """What a run must share with a state file to resume from it."""
    return {
        "backend": keras.backend.backend(),
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "training images": checksum(data),
        "validation images": None if validation is None else checksum(validation),
    }


def _reseeding(seed: int, epoch: int) -> list[keras.callbacks.Callback]:
    """Sets the global seed when the steps of an epoch begin, on PyTorch.

    There, dropout and the data loader draw from a global stream which no file holds;
    before its steps, the first call of `fit` draws more from it than later ones. The
    other backends keep all their streams in variables, and TensorFlow would forget its
    kernels and take half a second to make them again.
    """
    if keras.backend.backend() != "torch":
        return []
    (state,) = np.random.SeedSequence([seed, epoch]).generate_state(1)
    return [
        keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: keras.utils.set_random_seed(int(state))
        )
    ]
