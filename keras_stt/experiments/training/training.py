"""One training recipe for every model, which goes on where it was stopped.

A run is a function of its seed, its recipe and its data alone. After every epoch all
its state is written in one replacement of one file, so that a run which is killed at
any moment and started again ends with the same weights as an undisturbed one.
"""

import dataclasses
import json
import os
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_stt.experiments.data.examples import Examples, checksum
from keras_stt.experiments.errors import UserError
from keras_stt.experiments.measures.robustness import accuracy
from keras_stt.experiments.training.batches import EpochBatches
from keras_stt.experiments.training.recipe import Recipe, check_recipe, compile_model

STATE_FILE = "state.npz"
"""Name of the file that holds the state of a run, in the run's folder."""
# What NumPy and JSON raise for files that are torn or something else.
_UNREADABLE = (
    *(AttributeError, EOFError, KeyError, OSError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)

History = dict[str, list[float]]


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
    """Trains a model, or goes on where an earlier call in the same folder stopped.

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
    state = _State(
        model, folder / STATE_FILE, _identity(data, recipe, seed, validation)
    )
    state.load()
    if state.epoch == recipe.epochs:
        return TrainedRun(model, state.history, state.seconds)
    folder.mkdir(parents=True, exist_ok=True)
    shown = _Progress(label or folder.name, recipe.epochs, steps, progress)
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
    """What a run must share with a state file to go on from it."""
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


class _State:
    """All state of a run between two epochs, and its file."""

    def __init__(
        self, model: keras.Model, path: Path, identity: dict[str, Any]
    ) -> None:
        self._variables = [*model.variables, *model.optimizer.variables]
        self._path = path
        # Names count up with every model of a process; the shapes are what matters.
        shapes = [[list(v.shape), str(v.dtype)] for v in self._variables]
        self._identity = json.loads(json.dumps({**identity, "variables": shapes}))
        self.history: History = {}
        self.seconds = 0.0

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history.get("loss", ()))

    def load(self) -> None:
        """Takes over the state in the file, if there is one."""
        if not self._path.exists():
            return
        try:
            # NumPy would leave a damaged file open that it opened itself.
            with open(self._path, "rb") as raw, np.load(raw) as file:
                meta = json.loads(str(file["run"]))
                identity, history = meta["identity"], meta["history"]
                seconds = float(meta["seconds"])
                values = [file[f"variable_{i}"] for i in range(len(file.files) - 1)]
        except _UNREADABLE as error:
            raise UserError(
                "The state of a training run must be a file that this function wrote; "
                "remove it to train anew. Received: a damaged or foreign file "
                f"{self._path} ({error})"
            ) from error
        for key, expected in self._identity.items():
            if identity.get(key) != expected:
                shown = "" if key == "variables" else f" {identity.get(key)}"
                raise UserError(
                    "The folder of a training run must be new or hold the same run"
                    f"{'' if key == 'variables' else f', with {key} {expected}'}. "
                    f"Received: {self._path} of a run with other {key}{shown}"
                )
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)
        self.history, self.seconds = history, seconds

    def commit(self, numbers: dict[str, float], seconds: float) -> None:
        """Adds a finished epoch and writes everything: all of it or nothing."""
        for name, value in numbers.items():
            self.history.setdefault(name, []).append(value)
        self.seconds += seconds
        meta = {"identity": self._identity, "history": self.history}
        run = json.dumps({**meta, "seconds": self.seconds})
        arrays = {
            f"variable_{index}": keras.ops.convert_to_numpy(variable.value)
            for index, variable in enumerate(self._variables)
        }
        unfinished = self._path.with_suffix(".tmp")
        with open(unfinished, "wb") as file:
            np.savez(file, run=np.array(run), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, self._path)


class _Progress:
    """Tells how far a run is: a bar on a terminal, else a line per epoch."""

    def __init__(self, label: str, epochs: int, steps: int, wanted: bool) -> None:
        self._label, self._epochs, self._steps = label, epochs, steps
        self._bar_wanted = wanted and sys.stderr.isatty()
        self._lines_wanted = wanted and not sys.stderr.isatty()

    @contextmanager
    def running(self, finished: int) -> Iterator[list[keras.callbacks.Callback]]:
        """Shows the bar, if there is one; gives the callbacks that move it."""
        if not self._bar_wanted:
            yield []
            return
        from tqdm import tqdm

        with tqdm(
            desc=self._label,
            total=self._epochs * self._steps,
            initial=finished * self._steps,
            unit="step",
        ) as bar:

            def move(batch: int, logs: dict[str, float]) -> None:
                shown = {name: f"{logs[name]:.3f}" for name in ("loss", "accuracy")}
                bar.set_postfix(shown, refresh=False)
                bar.update()

            yield [keras.callbacks.LambdaCallback(on_train_batch_end=move)]

    def epoch_done(self, epoch: int, numbers: dict[str, float], seconds: float) -> None:
        """Writes the line of an epoch, if there is no bar."""
        if self._lines_wanted:
            values = [f"{name} {value:.4f}" for name, value in numbers.items()]
            shown = ", ".join(values).replace("_", " ")
            line = f"{self._label}: epoch {epoch + 1}/{self._epochs}: {shown}"
            print(f"{line} ({seconds:.1f} s)", file=sys.stderr, flush=True)
