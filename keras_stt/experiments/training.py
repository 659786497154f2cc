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
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt

from keras_stt.experiments.robustness import accuracy

STATE_FILE = "state.npz"
"""Name of the file that holds the state of a run, in the run's folder."""
# What NumPy and JSON raise for files that are torn or something else.
_UNREADABLE = (
    *(AttributeError, EOFError, KeyError, OSError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)

History = dict[str, list[float]]


class Examples(Protocol):
    """What models are trained on: images, each with what belongs to it."""

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """All images, `(N, height, width, channels)`."""

    @property
    def targets(self) -> npt.NDArray[np.int32]:
        """All of what belongs to them, `(N, …)`."""

    def __len__(self) -> int: ...

    def first(self, count: int) -> "Examples":
        """The first of them."""

    def batch(
        self,
        pixels: npt.NDArray[np.float32],
        chosen: npt.NDArray[np.int64],
        draws: npt.NDArray[np.float64],
    ) -> tuple[Any, ...]:
        """What `keras.Model.fit` takes: inputs, targets and, it may be, weights.

        Args:
            pixels: The images of the batch, augmented, float32 in [0, 1].
            chosen: Which images they are.
            draws: A random number in [0, 1) for each, to choose by.
        """


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
        for name, fits, expected in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("warmup", 0 <= self.warmup < 1, "in [0, 1)"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("shift", self.shift >= 0, "at least 0"),
        ):
            if not fits:
                raise ValueError(
                    f"`{name}` must be {expected}. "
                    f"Received: {name}={getattr(self, name)}"
                )


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


def check_recipe(recipe: Recipe, data: Examples) -> None:
    """Raises a `ValueError` unless the images can be trained on as a recipe says."""
    if len(data) < recipe.batch_size:
        raise ValueError(
            f"`batch_size` must be at most {len(data)}, the number of training images. "
            f"Received: batch_size={recipe.batch_size}"
        )
    height, width = data.images.shape[1:3]
    if recipe.quarter_turns and height != width:
        raise ValueError(
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


class EpochBatches(keras.utils.PyDataset):
    """The batches of one epoch: a function of the data, the recipe, seed and epoch.

    Args:
        data: All training images.
        recipe: How to train.
        seed: Seed of the run.
        epoch: Index of the epoch, from 0.
    """

    def __init__(self, data: Examples, recipe: Recipe, seed: int, epoch: int) -> None:
        super().__init__()
        rng = np.random.default_rng([seed, epoch])
        count, shift = len(data), recipe.shift
        steps = count // recipe.batch_size
        order = rng.permutation(count)[: steps * recipe.batch_size]
        self._data = data
        self._order = order.reshape(steps, recipe.batch_size)
        # Drawn whether they are used or not, so that one never changes another.
        self._flip = (rng.random(count) < 0.5) & recipe.flip
        self._shift = rng.integers(-shift, shift, (count, 2), endpoint=True)
        self._draws = rng.random(count)
        self._turns = rng.integers(0, 4, count) * recipe.quarter_turns

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        chosen = self._order[index]
        images = self._data.images[chosen]
        flip, shift = self._flip[chosen], self._shift[chosen]
        images[flip] = images[flip, :, ::-1]
        for turns in filter(None, np.unique(self._turns[chosen])):
            turned = self._turns[chosen] == turns
            images[turned] = np.rot90(images[turned], turns, axes=(1, 2))
        if shift.any():
            images = _translated(images, shift)
        pixels = np.divide(images, 255, dtype=np.float32)
        return self._data.batch(pixels, chosen, self._draws[chosen])


def _translated(images: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Image i moved by `shift[i]` pixels down and right; zeros fill up."""
    most = int(abs(shift).max())
    (height, width), pad = images.shape[1:3], (most, most)
    padded = np.pad(images, ((0, 0), pad, pad, (0, 0)))
    corners = most - shift
    # Image by image: one indexing operation for all of them takes ten times as long.
    return np.stack(
        [
            image[top : top + height, left : left + width]
            for image, (top, left) in zip(padded, corners, strict=True)
        ]
    )


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


def checksum(data: Examples) -> str:
    """Stands for images and targets, in few letters."""
    images, targets = map(np.ascontiguousarray, (data.images, data.targets))
    return f"{images.shape} {zlib.crc32(targets.data, zlib.crc32(images.data)):08x}"


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
            raise ValueError(
                "The state of a training run must be a file that this function wrote; "
                "remove it to train anew. Received: a damaged or foreign file "
                f"{self._path} ({error})"
            ) from error
        for key, expected in self._identity.items():
            if identity.get(key) != expected:
                shown = "" if key == "variables" else f" {identity.get(key)}"
                raise ValueError(
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
