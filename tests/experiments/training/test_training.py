"""Training runs: that they learn, and that a killed run ends the same.

The tests that train take some seconds: each compiles a training step or two.
"""

import dataclasses
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
from small_runs import CLASSES, RECIPE, build, images, relabelled, run, state, values

from keras_stt.experiments import files
from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.training.batches import EpochBatches
from keras_stt.experiments.training.recipe import Recipe
from keras_stt.experiments.training.state import STATE_FILE
from keras_stt.experiments.training.training import train


def assert_same(actual, expected):
    assert actual.history == expected.history
    for value, wanted in zip(state(actual), expected.state, strict=True):
        np.testing.assert_array_equal(value, wanted)


class StopError(Exception):
    """Ends a run somewhere."""


def stop_at(monkeypatch, owner, name, call, after=False):
    """Lets the `call`-th call of a function raise, before or after its work."""
    original, calls = getattr(owner, name), []

    def stopping(*args, **kwargs):
        calls.append(name)
        if len(calls) == call and not after:
            raise StopError
        result = original(*args, **kwargs)
        if len(calls) == call:
            raise StopError
        return result

    monkeypatch.setattr(owner, name, stopping)


@dataclass
class Undisturbed:
    folder: Path
    history: dict
    seconds: float
    state: list
    batches: list  # the indices of the batches that were made, for every epoch
    stderr: str


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder, batches = tmp_path_factory.mktemp("undisturbed"), []
    init, getitem = EpochBatches.__init__, EpochBatches.__getitem__

    def new_epoch(self, *args):
        batches.append([])
        init(self, *args)

    def record(self, index):
        batches[-1].append(index)
        return getitem(self, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EpochBatches, "__init__", new_epoch)
        patch.setattr(EpochBatches, "__getitem__", record)
        stderr = io.StringIO()
        patch.setattr(sys, "stderr", stderr)
        done = run(folder, progress=True, label="stt-dense")
    return Undisturbed(
        folder, done.history, done.seconds, state(done), batches, stderr.getvalue()
    )


def test_history(undisturbed):
    assert set(undisturbed.history) == {"loss", "accuracy", "validation_accuracy"}
    assert all(len(numbers) == 3 for numbers in undisturbed.history.values())
    assert undisturbed.seconds > 0
    shares = np.array(undisturbed.history["validation_accuracy"]) * 20
    np.testing.assert_allclose(shares, shares.round())


def test_batches_come_in_order(undisturbed):
    assert len(undisturbed.batches) == 3
    for indices in undisturbed.batches:
        # Keras may look at the first batches before it begins.
        assert indices[-4:] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (files.np, "savez", 1),  # nothing is there
        (files.os, "replace", 2),  # the new file is not in its place yet
        (EpochBatches, "__getitem__", 9),  # amidst an epoch
    ],
)
def test_stopped_run_ends_the_same(
    owner, name, call, undisturbed, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        stop_at(patch, owner, name, call)
        # TensorFlow wraps what a batch raises.
        with pytest.raises(Exception):  # noqa: B017, PT011
            run(tmp_path)
    assert_same(run(tmp_path), undisturbed)


def test_run_stopped_after_every_epoch_ends_the_same(
    undisturbed, tmp_path, monkeypatch
):
    for _ in range(RECIPE.epochs):
        with monkeypatch.context() as patch:
            stop_at(patch, files.os, "replace", 1, after=True)
            with pytest.raises(StopError):
                run(tmp_path)
    assert_same(run(tmp_path), undisturbed)


def test_killed_process_ends_the_same(undisturbed, tmp_path):
    """A real SIGKILL, in a process of its own (its imports take seconds)."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from keras_stt.experiments.training.training import EpochBatches\n"
        "from small_runs import run\n"
        "original = EpochBatches.__getitem__\n"
        "def waits(self, index):\n"
        "    if index == 2 and (Path(sys.argv[1]) / 'state.npz').exists():\n"
        "        print('in the second epoch', flush=True)\n"
        "        time.sleep(600)\n"
        "    return original(self, index)\n"
        "EpochBatches.__getitem__ = waits\n"
        "run(Path(sys.argv[1]))\n"
    )
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[3])]
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    with process:
        assert process.stdout.readline() == "in the second epoch\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert_same(run(tmp_path), undisturbed)


def test_finished_run_is_loaded(undisturbed, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", None)
    again = run(undisturbed.folder)
    assert_same(again, undisturbed)
    assert again.seconds == undisturbed.seconds


def test_initial_weights_follow_the_seed(tmp_path, monkeypatch):
    found = []

    def fit(self, *_, **__):
        found.append(values(self.trainable_variables))
        raise StopError

    monkeypatch.setattr(keras.Model, "fit", fit)
    for seed in (1, 1, 2):
        with pytest.raises(StopError):
            run(tmp_path, seed=seed)
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert not np.array_equal(found[0][0], found[2][0])


def another_model():
    return keras.Sequential(
        [keras.Input((6, 5, 2)), keras.layers.Flatten(), keras.layers.Dense(CLASSES)]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 2}, "with seed 2. Received: .* of a run with other seed 1"),
        ({"validation": None}, "other validation images"),
        ({"validation": images(20, seed=6)}, "other validation images"),
        ({"data": relabelled(images(), seed=9)}, "other training images"),
        ({"data": relabelled(images(seed=9), seed=0)}, "other training images"),
        ({"recipe": Recipe(epochs=3, batch_size=16)}, "other recipe"),
        ({"model": another_model}, "other variables"),
    ],
)
def test_another_run_is_not_touched(changes, message, undisturbed):
    before = (undisturbed.folder / STATE_FILE).read_bytes()
    with pytest.raises(ValueError, match=message) as caught:
        run(undisturbed.folder, **changes)
    assert "\n" not in str(caught.value)
    assert (undisturbed.folder / STATE_FILE).read_bytes() == before


def _array_file(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"something else"),
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        lambda path: path.write_bytes(
            path.read_bytes()[:300] + b"?" + path.read_bytes()[301:]
        ),
        lambda path: np.savez(path, run=np.array("[]")),
        lambda path: np.savez(path, weights=np.zeros(3)),
        _array_file,
    ],
)
def test_damaged_file(spoil, tmp_path):
    variables = {"variable_0": np.zeros(100)}
    path = tmp_path / STATE_FILE
    np.savez(path, run=np.array('{"identity": {}}'), **variables)
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="Received: a damaged or foreign file"):
        run(tmp_path)
    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A run on images that differ in brightness, with what a terminal shows of it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 128).astype(np.int32)
    bright = 100 + 60 * labels[:, None, None, None] + rng.normal(0, 20, (128, 6, 5, 2))
    data = Images(bright.clip(0, 255).astype(np.uint8), labels)
    recipe = Recipe(epochs=6, batch_size=16, learning_rate=0.02)
    folder = tmp_path_factory.mktemp("runs") / "stt-dense"
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        trained = train(build, data, recipe, seed=0, folder=folder)
    return trained, terminal.getvalue()


def test_learns(learned):
    trained, _ = learned
    assert set(trained.history) == {"loss", "accuracy"}
    assert trained.history["loss"][-1] < 0.7 * trained.history["loss"][0]
    assert trained.history["accuracy"][-1] > 0.85


def test_a_bar_on_a_terminal(learned):
    _, shown = learned
    assert shown.split("\r")[-1].startswith("stt-dense: 100%")
    assert "48/48" in shown
    assert "loss=" in shown
    assert "epoch" not in shown


def test_a_line_per_epoch_without_a_terminal(undisturbed):
    lines = undisturbed.stderr.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("stt-dense: epoch 2/3: loss ")
    assert "validation accuracy 0." in lines[1]
    assert "\r" not in undisturbed.stderr


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="runs eagerly")
def test_compiles_once_and_silently(tmp_path, capfd):
    """However many epochs there are, the model is traced as often."""
    calls = []

    class Traced(keras.layers.Layer):
        def call(self, inputs):
            calls.append(1)
            return inputs

    def traces(epochs):
        calls.clear()
        train(
            lambda: keras.Sequential(
                [
                    keras.Input((6, 5, 2)),
                    Traced(),
                    keras.layers.Flatten(),
                    keras.layers.Dense(CLASSES),
                ]
            ),
            images(),
            Recipe(epochs=epochs, batch_size=16),
            seed=0,
            folder=tmp_path / str(epochs),
            validation=images(20),
            progress=False,
        )
        return len(calls)

    assert traces(1) == traces(3)
    assert capfd.readouterr() == ("", "")


def test_fewer_images_than_a_batch(tmp_path):
    with pytest.raises(ValueError, match="`batch_size` must be at most 15"):
        train(build, images(15), RECIPE, seed=0, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_quarter_turns_need_square_images(tmp_path):
    with pytest.raises(ValueError, match=r"square images\. Received: images of 6×5"):
        run(tmp_path, recipe=dataclasses.replace(RECIPE, quarter_turns=True))
