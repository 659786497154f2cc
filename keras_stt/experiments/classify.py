"""The comparison of token mixers in image classification.

One builder, one recipe; only the mixer changes. The output folder holds

    experiment.json            what the folder is for: settings, data set and backend
    search/<mixer>/<rate>/     a training run per learning rate, if there are several
    runs/<mixer>/seed-<seed>/  a training run per seed, with its `measures.json`
    costs.json                 times and memory of all mixers, measured in one go
    results.json, *.png, report.html

Every file is written whole or not at all, and what is there is not computed again: a
comparison that was stopped goes on when it is started again. Asked for further mixers
or seeds besides those that are there, it trains the further ones only.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_stt.experiments import results as results_io
from keras_stt.experiments.data import (
    ClassificationData,
    Images,
    load_classification,
)
from keras_stt.experiments.device import accelerator
from keras_stt.experiments.memory import peak_step_bytes
from keras_stt.experiments.report import write_report
from keras_stt.experiments.results import FGSM_STRENGTHS, NOISE_STRENGTHS, summary
from keras_stt.experiments.robustness import accuracy, fgsm_accuracy, noise_accuracy
from keras_stt.experiments.settings import Settings, check_folder, identity
from keras_stt.experiments.timing import inference_step, interleaved, training_step
from keras_stt.experiments.training import checksum, compile_model, train
from keras_stt.models import MIXERS, image_classifier

#: The learning rates are compared with a seed of their own, whatever the seeds are.
SEARCH_SEED = 1_000_003

#: How often each mixer is timed; all of them take turns.
TIMING_ROUNDS = 21


class Comparison:
    """A comparison that is ready to run: settings, data and folder fit together.

    Args:
        settings: What to compare.
        folder: The output folder: new, empty, or of the same comparison. Mixers and
            seeds may differ from what it holds.
        data_dir: Folder of prepared data sets; `None` for that of TensorFlow Datasets.
        command: The command line, for the record.
        progress: Whether to show progress bars.

    Raises:
        ValueError: If something does not fit. Nothing has been written then.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        data_dir: str | None = None,
        command: str = "",
        progress: bool = True,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.command = command
        self.progress = progress
        check_folder(folder, identity(settings))
        self.data = load_classification(
            settings.dataset,
            data_dir,
            train_images=settings.train_images,
            validation_images=settings.validation_images,
            test_images=settings.test_images,
            image_size=settings.image_size,
            progress=progress,
        )
        if len(self.data.train) < settings.batch_size:
            raise ValueError(
                f"`batch_size` must be at most {len(self.data.train)}, the number of "
                f"training images. Received: batch_size={settings.batch_size}"
            )
        for mixer in settings.mixers:
            self._builder(mixer)()
        expected = identity(settings, data=_fingerprint(self.data))
        check_folder(folder, expected)
        folder.mkdir(parents=True, exist_ok=True)
        results_io.write_json(folder / "experiment.json", expected)

    def run(self) -> dict[str, Any]:
        """Trains and measures what is not there yet, and writes the report.

        Returns:
            The results, as in `results.json`.
        """
        settings = self.settings
        search = self._search() if len(settings.learning_rates) > 1 else None
        runs: dict[str, list[dict[str, Any]]] = {mixer: [] for mixer in settings.mixers}
        total = len(settings.seeds) * len(settings.mixers)
        # Seeds outside: stopped early, the folder has something of every mixer.
        for seed in settings.seeds:
            for mixer in settings.mixers:
                number = 1 + sum(len(done) for done in runs.values())
                rate = search[mixer]["best"] if search else settings.learning_rates[0]
                label = f"[{number}/{total}] {mixer}, seed {seed}"
                new = not self._measures(mixer, seed).exists()
                runs[mixer].append(self._run(mixer, seed, rate, label))
                if new:
                    self._write(search, runs, costs={}, finished=False)
        results = self._write(search, runs, self._costs(), finished=True)
        write_report(results, self.folder)
        return results

    def _builder(self, mixer: str) -> Callable[[], keras.Model]:
        settings, data = self.settings, self.data
        return lambda: image_classifier(
            data.train.images.shape[1:],
            len(data.class_names),
            mixer=mixer,
            grid=settings.grid,
            width=settings.width,
            depth=settings.depth,
            num_heads=settings.num_heads,
            mlp_ratio=settings.mlp_ratio,
            stem=settings.stem,
        )

    def _search(self) -> dict[str, Any]:
        """The best learning rate of each mixer on the validation images."""
        settings = self.settings
        found: dict[str, Any] = {}
        total = len(settings.mixers) * len(settings.learning_rates)
        for mixer in settings.mixers:
            tried: list[dict[str, Any]] = []
            for rate in settings.learning_rates:
                number = 1 + len(found) * len(settings.learning_rates) + len(tried)
                folder = self.folder / "search" / mixer / f"{rate:g}"
                keras.backend.clear_session()
                run = train(
                    self._builder(mixer),
                    self.data.train,
                    settings.recipe(rate, settings.search_epochs),
                    seed=SEARCH_SEED,
                    folder=folder,
                    validation=self.data.validation,
                    progress=self.progress,
                    jit_compile=_jit_compile(),
                    label=f"[search {number}/{total}] {mixer}, learning rate {rate:g}",
                )
                tried.append(
                    {
                        "learning_rate": rate,
                        "validation_accuracy": run.history["validation_accuracy"][-1],
                    }
                )
            best = max(tried, key=lambda run: run["validation_accuracy"])
            found[mixer] = {"runs": tried, "best": best["learning_rate"]}
        return found

    def _run(self, mixer: str, seed: int, rate: float, label: str) -> dict[str, Any]:
        """One training run with its accuracies, from its file if it is there."""
        path = self._measures(mixer, seed)
        if path.exists():
            return results_io.read_json(path)
        keras.backend.clear_session()
        trained = train(
            self._builder(mixer),
            self.data.train,
            self.settings.recipe(rate),
            seed=seed,
            folder=path.parent,
            progress=self.progress,
            jit_compile=_jit_compile(),
            label=label,
        )
        run = {
            "learning_rate": rate,
            "history": {
                # JSON has no word for what a diverged run reports.
                name: [number if math.isfinite(number) else None for number in numbers]
                for name, numbers in trained.history.items()
            },
            "training_seconds": trained.seconds,
            **_accuracies(trained.model, self.data.test, self.progress, label),
        }
        results_io.write_json(path, run)
        return run

    def _measures(self, mixer: str, seed: int) -> Path:
        """The file of a finished training run."""
        return self.folder / "runs" / mixer / f"seed-{seed}" / "measures.json"

    def _costs(self) -> dict[str, Any]:
        """Times and memory of a step, measured in one go for all mixers."""
        settings, path = self.settings, self.folder / "costs.json"
        known = results_io.read_json(path) if path.exists() else {}
        if set(known) >= set(settings.mixers):
            return known
        # All anew: times of two occasions do not compare.
        mixers = list(
            dict.fromkeys([*(m for m in known if m in MIXERS), *settings.mixers])
        )
        keras.backend.clear_session()
        training, inference, sizes = {}, {}, {}
        chosen = slice(0, settings.batch_size)
        train_data = self.data.train
        batch = Images(train_data.images[chosen], train_data.labels[chosen])
        for mixer in mixers:
            keras.utils.set_random_seed(0)
            model = self._builder(mixer)()
            compile_model(
                model, settings.recipe(1e-4), steps=1000, jit_compile=_jit_compile()
            )
            training[mixer] = training_step(model, batch)
            inference[mixer] = inference_step(model, batch)
            sizes[mixer] = _sizes(model, mixer, settings)
        times = {
            name: interleaved(steps, rounds=TIMING_ROUNDS, progress=self.progress)
            for name, steps in (
                ("training_step_ms", training),
                ("inference_ms", inference),
            )
        }
        costs = {
            mixer: {
                **sizes[mixer],
                **{name: found[mixer] for name, found in times.items()},
                "peak_step_bytes": peak_step_bytes(training[mixer]),
            }
            for mixer in mixers
        }
        results_io.write_json(path, costs)
        return costs

    def _write(
        self,
        search: dict[str, Any] | None,
        runs: dict[str, list[dict[str, Any]]],
        costs: dict[str, Any],
        finished: bool,
    ) -> dict[str, Any]:
        """Writes `results.json` from what is known so far."""
        settings, data = self.settings, self.data
        environment = results_io.environment(keras.backend.backend())
        results = {
            "schema": results_io.SCHEMA,
            "task": "classify",
            "finished": finished,
            "command": self.command,
            "backend": keras.backend.backend(),
            **environment,
            "device": {**environment["device"], **accelerator()},
            "dataset": {
                "name": data.name,
                "version": data.version,
                "class_names": data.class_names,
                "train_images": len(data.train),
                "validation_images": len(data.validation),
                "test_images": len(data.test),
                "image_shape": data.train.images.shape[1:],
            },
            "settings": dataclasses.asdict(settings),
            "search": search,
            "mixers": {
                mixer: _summaries(done, costs.get(mixer, {}))
                for mixer, done in runs.items()
                if done
            },
        }
        results = json.loads(json.dumps(results))
        results_io.write_json(self.folder / "results.json", results)
        return results


def _fingerprint(data: ClassificationData) -> str:
    """What stands for all images of a comparison."""
    sums = (checksum(images) for images in (data.train, data.validation, data.test))
    return f"{data.name} {data.version}: {', '.join(sums)}"


def _accuracies(
    model: keras.Model, test: Images, progress: bool, label: str
) -> dict[str, float]:
    """Accuracy on the test images as they are, noisy, and attacked."""
    from tqdm import tqdm

    measures: dict[str, Callable[[], float]] = {
        "test_accuracy": lambda: accuracy(model, test)
    }
    for sigma in NOISE_STRENGTHS:
        measures[f"accuracy_noise_{sigma:g}"] = partial(
            noise_accuracy, model, test, sigma
        )
    for step in FGSM_STRENGTHS:
        measures[f"accuracy_fgsm_{step}_255"] = partial(
            fgsm_accuracy, model, test, step / 255
        )
    bar = tqdm(
        measures.items(),
        desc=f"{label}: testing",
        unit="measure",
        leave=False,
        disable=None if progress else True,
    )
    return {name: measure() for name, measure in bar}


def _sizes(model: keras.Model, mixer: str, settings: Settings) -> dict[str, int]:
    """Parameters and multiply-adds, of the model and of one mixer layer."""
    layer = model.get_layer("block_0").mixer
    mixing = MIXERS[mixer].multiply_adds(
        settings.grid, settings.width, settings.num_heads
    )
    return {
        "parameters": model.count_params(),
        "mixer_parameters": layer.count_params(),
        "multiply_adds": skeleton_multiply_adds(model) + settings.depth * mixing,
        "mixer_multiply_adds": mixing,
    }


def skeleton_multiply_adds(model: keras.Model) -> int:
    """Counts the multiply-adds of a classifier for one image, without its mixers.

    A convolution with kernel `k_1×k_2` from `C` to `C'` channels onto `N` positions
    has `N·k_1·k_2·C·C'`, the MLP of a block on `N` positions `2·N·C·C_hidden`, the
    last layer `C·classes`. Normalisation, activations, means and other element-wise
    work are not counted. The mixers are counted by `keras_stt.models.MIXERS`.

    Args:
        model: A model that `keras_stt.models.image_classifier` made.

    Returns:
        The multiply-adds of one image, forward.
    """
    count = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            _, rows, columns, _ = layer.output.shape
            count += rows * columns * int(np.prod(layer.kernel.shape))
        elif isinstance(layer, keras.layers.Dense):
            count += int(np.prod(layer.kernel.shape))
        elif layer.name.startswith("block_"):
            _, rows, columns, channels = layer.output.shape
            count += 2 * rows * columns * channels * layer.expand.units
    return count


def _summaries(runs: list[dict[str, Any]], costs: dict[str, Any]) -> dict[str, Any]:
    """A mixer's entry in the results."""
    entry: dict[str, Any] = {
        "learning_rate": runs[0]["learning_rate"],
        "history": [run["history"] for run in runs],
    }
    for name in results_io.MEASURES:
        if name in runs[0]:
            entry[name] = summary([run[name] for run in runs])
    for name, found in costs.items():
        values = found if isinstance(found, list) else [found]
        entry[name] = None if found is None else summary(values)
    return entry


def _jit_compile() -> bool | str:
    """XLA, but for TensorFlow on a CPU.

    There XLA compiles longer and has no vectorised loop for the depthwise convolution.
    """
    tensorflow_on_cpu = keras.backend.backend() == "tensorflow" and not accelerator()
    return False if tensorflow_on_cpu else "auto"
