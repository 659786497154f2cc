"""What the comparisons have in common: training, measures, and files to resume from.

One builder, one recipe; only one part of the model changes, and each choice of it is a
variant. The output folder holds

    experiment.json              what the folder is for: settings, data set and backend
    search/<variant>/<rate>/     a training run per learning rate, if there are several
    runs/<variant>/seed-<seed>/  a training run per seed, with its `measures.json`,
                                 and its trained model, `model.keras`
    costs.json                   times and memory of all variants, measured in one go
    results.json, *.png, report.html

Every file is written whole or not at all, and what is there is not computed again: a
comparison that was stopped resumes when it is started again. Asked for more variants or
seeds than are there, it trains only the new ones.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras

from keras_stt.experiments import files
from keras_stt.experiments.compare.settings import identity, record
from keras_stt.experiments.data.examples import Examples
from keras_stt.experiments.errors import user_errors
from keras_stt.experiments.files import check_folder
from keras_stt.experiments.measures.device import accelerator
from keras_stt.experiments.measures.environment import environment
from keras_stt.experiments.measures.memory import peak_step_bytes
from keras_stt.experiments.measures.timing import (
    Step,
    inference_step,
    interleaved,
    training_step,
)
from keras_stt.experiments.reports.page import write_report
from keras_stt.experiments.reports.results import SCHEMA, TASKS, plural, summary
from keras_stt.experiments.training.progress import note
from keras_stt.experiments.training.recipe import Recipe, check_recipe, compile_model
from keras_stt.experiments.training.training import TrainedRun, train

#: The learning rates are compared with a seed of their own, whatever the seeds are.
SEARCH_SEED = 1_000_003

#: How often each variant is timed; all of them take turns.
TIMING_ROUNDS = 21


#: Fewer steps per epoch, and fewer test images, than a comparison should have.
FEW_STEPS, FEW_TESTS = 10, 100


class Comparison(ABC):
    """A comparison that is ready to run: settings, data and folder fit together.

    What differs between the tasks is left to subclasses, in the methods below `run`.

    Args:
        settings: What to compare.
        folder: The output folder: new, empty, or of the same comparison. Variants and
            seeds may differ from what it holds.
        data_dir: Folder of prepared data sets; `None` for that of TensorFlow Datasets.
        command: The command line, for the record.
        progress: Whether to show progress bars.

    Raises:
        ValueError: If something does not fit. Nothing has been written then.
    """

    def __init__(
        self,
        settings: Any,
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
        self.load(data_dir)
        check_recipe(settings.recipe(settings.learning_rates[0]), self.examples()[0])
        with user_errors():
            for variant in settings.variant_names:
                self.build(variant)
        expected = identity(settings, data=self.fingerprint())
        check_folder(folder, expected)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / "experiment.json", expected)

    def run(self) -> dict[str, Any]:
        """Trains and measures what is not there yet, and writes the report.

        Returns:
            The results, as in `results.json`.
        """
        settings = self.settings
        for remark in self._remarks():
            note(remark, self.progress)
        search = self._search() if len(settings.learning_rates) > 1 else None
        runs: dict[str, list[dict[str, Any]]] = {
            name: [] for name in settings.variant_names
        }
        total = len(settings.seeds) * len(settings.variant_names)
        # Seeds outside: stopped early, the folder has something of every variant.
        for seed in settings.seeds:
            for variant in settings.variant_names:
                number = 1 + sum(len(done) for done in runs.values())
                rate = search[variant]["best"] if search else settings.learning_rates[0]
                label = f"[{number}/{total}] {variant}, seed {seed}"
                new = not self._measures(variant, seed).exists()
                run = self._run(variant, seed, rate, label)
                runs[variant].append(run | self.further(variant, seed, label))
                if new:
                    self._write(search, runs, costs={}, finished=False)
        results = self._write(search, runs, self._costs(), finished=True)
        self.draw(runs)
        write_report(results, self.folder)
        return results

    @abstractmethod
    def load(self, data_dir: str | None) -> None:
        """Reads the data set into `self.data`."""

    @abstractmethod
    def examples(self) -> tuple[Examples, Examples]:
        """What to train on, and what to compare learning rates on."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Stands for all data of the comparison, in few letters."""

    @abstractmethod
    def dataset(self) -> dict[str, Any]:
        """The data set, as `results.json` describes it."""

    @abstractmethod
    def build(self, variant: str) -> keras.Model:
        """Makes the model of a variant."""

    @abstractmethod
    def score(self, model: keras.Model, validation: Any, batch_size: int) -> float:
        """The validation accuracy."""

    @abstractmethod
    def measure(self, model: keras.Model, label: str) -> dict[str, Any]:
        """The qualities of a trained model; numbers, by the names of the measures."""

    @abstractmethod
    def sizes(self, model: keras.Model, variant: str) -> dict[str, int]:
        """Parameters, multiply-adds and what else is counted."""

    def steps(
        self, model: keras.Model, batch: Examples, variant: str
    ) -> dict[str, Step]:
        """What is timed, by the names of the measures."""
        return {
            "training_step_ms": training_step(model, batch),
            "inference_ms": inference_step(model, batch),
        }

    def units_per_call(self, measure: str) -> int:
        """Of how many things a timed call takes the time; a step is one."""
        return 1

    def further(self, variant: str, seed: int, label: str) -> dict[str, Any]:
        """What is measured of a finished run if asked for; nothing by default."""
        return {}

    def trained(self, variant: str, seed: int) -> keras.Model:
        """The trained model of a variant and a seed, from its file."""
        path = self._measures(variant, seed)
        return self._trained(
            variant,
            self.settings.recipe(files.read_json(path)["learning_rate"]),
            seed=seed,
            folder=path.parent,
            label=f"{variant}, seed {seed}, once more: its weights are gone",
        ).model

    def _trained(self, variant: str, recipe: Recipe, **options: Any) -> TrainedRun:
        """A training run of a variant; `options` as `train` takes them."""
        return train(
            partial(self.build, variant),
            self.examples()[0],
            recipe,
            progress=self.progress,
            jit_compile=jit_compile(),
            **options,
        )

    def draw(self, runs: dict[str, list[dict[str, Any]]]) -> None:  # noqa: B027
        """Draws what only this task has into the folder; nothing by default."""

    def _remarks(self) -> Iterator[str]:
        """What is worth knowing before the first run."""
        settings = self.settings
        finished = [
            self._measures(variant, seed).exists()
            for variant in settings.variant_names
            for seed in settings.seeds
        ]
        if any(finished):
            yield f"Resuming: {sum(finished)} of {len(finished)} runs are finished."
        images, batch = len(self.examples()[0]), settings.batch_size
        if images < FEW_STEPS * batch:
            yield (
                f"Warning: {images} training images are only "
                f"{plural(images // batch, 'step')} of --batch-size {batch} per epoch."
            )
        tests = self.dataset()["test_images"]
        if tests < FEW_TESTS:
            yield (
                f"Warning: on {plural(tests, 'test image')}, one answer more or less "
                f"changes an accuracy by {100 / tests:.1f} %."
            )

    def _search(self) -> dict[str, Any]:
        """The best learning rate of each variant on the validation images."""
        settings = self.settings
        found: dict[str, Any] = {}
        total = len(settings.variant_names) * len(settings.learning_rates)
        for variant in settings.variant_names:
            tried: list[dict[str, Any]] = []
            for rate in settings.learning_rates:
                number = 1 + len(found) * len(settings.learning_rates) + len(tried)
                keras.backend.clear_session()
                run = self._trained(
                    variant,
                    settings.recipe(rate, settings.search_epochs),
                    seed=SEARCH_SEED,
                    folder=self.folder / "search" / variant / f"{rate:g}",
                    validation=self.examples()[1],
                    score=self.score,
                    label=f"[search {number}/{total}] {variant}, "
                    f"learning rate {rate:g}",
                )
                tried.append(
                    {
                        "learning_rate": rate,
                        "validation_accuracy": run.history["validation_accuracy"][-1],
                    }
                )
            best = max(tried, key=lambda run: run["validation_accuracy"])
            found[variant] = {"runs": tried, "best": best["learning_rate"]}
        return found

    def _run(self, variant: str, seed: int, rate: float, label: str) -> dict[str, Any]:
        """One training run with its measures, from its file if it is there."""
        path = self._measures(variant, seed)
        if path.exists():
            return files.read_json(path)
        keras.backend.clear_session()
        trained = self._trained(
            variant,
            self.settings.recipe(rate),
            seed=seed,
            folder=path.parent,
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
            **self.measure(trained.model, label),
        }
        # A copy, which has no optimizer to save.
        model = self.build(variant)
        model.set_weights(trained.model.get_weights())
        unfinished = path.with_name("unfinished.keras")
        model.save(unfinished)
        unfinished.replace(path.with_name("model.keras"))
        files.write_json(path, run)
        quality = TASKS[self.settings.task].measures[TASKS[self.settings.task].quality]
        reached = f"{quality.title} {quality.text(summary([run[quality.name]]))}"
        note(f"{label}: {reached} {quality.unit}".rstrip(), self.progress)
        return run

    def _measures(self, variant: str, seed: int) -> Path:
        """The file of a finished training run."""
        return self.run_folder(variant, seed) / "measures.json"

    def run_folder(self, variant: str, seed: int) -> Path:
        """The folder of a training run."""
        return self.folder / "runs" / variant / f"seed-{seed}"

    def _costs(self) -> dict[str, Any]:
        """Times and memory of a step, measured in one go for all variants."""
        settings, path = self.settings, self.folder / "costs.json"
        known = files.read_json(path) if path.exists() else {}
        if set(known) >= set(settings.variant_names):
            return known
        # All of them again: times of two occasions do not compare.
        variants = [
            variant
            for variant in dict.fromkeys([*known, *settings.variant_names])
            if self._measures(variant, settings.seeds[0]).exists()
        ]
        keras.backend.clear_session()
        costs: dict[str, dict[str, Any]] = {variant: {} for variant in variants}
        timed: dict[str, dict[str, Step]] = {}
        batch = self.examples()[0].first(settings.batch_size)
        for variant in variants:
            keras.utils.set_random_seed(0)
            model = self.build(variant)
            compile_model(
                model, settings.recipe(1e-4), steps=1000, jit_compile=jit_compile()
            )
            costs[variant] |= self.sizes(model, variant)
            for name, step in self.steps(model, batch, variant).items():
                timed.setdefault(name, {})[variant] = step
        note(f"Timing the steps of {', '.join(variants)}.", self.progress)
        for name, steps in timed.items():
            times = interleaved(steps, rounds=TIMING_ROUNDS, progress=self.progress)
            for variant in variants:
                count = self.units_per_call(name)
                costs[variant][name] = [time / count for time in times[variant]]
        for variant, step in timed["training_step_ms"].items():
            costs[variant]["peak_step_bytes"] = peak_step_bytes(step)
        files.write_json(path, costs)
        return costs

    def _write(
        self,
        search: dict[str, Any] | None,
        runs: dict[str, list[dict[str, Any]]],
        costs: dict[str, Any],
        finished: bool,
    ) -> dict[str, Any]:
        """Writes `results.json` from what is known so far."""
        settings = self.settings
        results = {
            "schema": SCHEMA,
            "task": settings.task,
            "finished": finished,
            "command": self.command,
            **environment(),
            "dataset": self.dataset(),
            "settings": record(settings),
            "search": search,
            settings.variants_field: {
                variant: _summaries(done, costs.get(variant, {}), settings.task)
                for variant, done in runs.items()
                if done
            },
        }
        results = json.loads(json.dumps(results))
        files.write_json(self.folder / "results.json", results)
        return results


def _summaries(
    runs: list[dict[str, Any]], costs: dict[str, Any], task: str
) -> dict[str, Any]:
    """A variant's entry in the results."""
    entry: dict[str, Any] = {
        "learning_rate": runs[0]["learning_rate"],
        "history": [run["history"] for run in runs],
    }
    for name in TASKS[task].measures:
        if name in runs[0]:
            found = [run[name] for run in runs]
            entry[name] = None if None in found else summary(found)
    for name, cost in costs.items():
        values = cost if isinstance(cost, list) else [cost]
        entry[name] = None if cost is None else summary(values)
    return entry


def jit_compile() -> bool | str:
    """XLA, but for TensorFlow on a CPU.

    There XLA compiles longer and has no vectorised loop for the depthwise convolution.
    """
    tensorflow_on_cpu = keras.backend.backend() == "tensorflow" and not accelerator()
    return False if tensorflow_on_cpu else "auto"
