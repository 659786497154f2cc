"""What is left of a trained classifier in int8 and int4, and how small is its file?

`python docs/results/quantization/run.py --runs DIR --data-dir DIR --output FILE` takes
the finished runs of a `keras-stt compare classify` folder, quantises each model, saves
it, loads it, and measures both on the test images.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from keras_stt.experiments.compare.classify import ClassifyComparison
from keras_stt.experiments.compare.settings import ClassifySettings
from keras_stt.experiments.files import write_json
from keras_stt.experiments.measures.environment import environment
from keras_stt.experiments.measures.predictions import accuracy, unit

MODES = ("int8", "int4")


def settings_of(folder: Path, mixers: list[str], seeds: list[int]) -> ClassifySettings:
    """The settings of a comparison's folder."""
    known = json.loads((folder / "experiment.json").read_text())
    names = {field.name for field in dataclasses.fields(ClassifySettings)}
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in known.items()
        if name in names
    }
    return ClassifySettings(**options, mixers=tuple(mixers), seeds=tuple(seeds))


def file_of(model: keras.Model, folder: Path) -> Path:
    """A file of a model, which was never compiled: without an optimizer."""
    path = folder / "model.keras"
    model.save(path)
    return path


def measured(comparison: ClassifyComparison, mixer: str, seed: int) -> dict[str, Any]:
    """Accuracy and size of a model in float32 and quantised."""
    test = comparison.data.test
    found: dict[str, Any] = {}
    trained = comparison.trained(mixer, seed)
    for mode in ("float32", *MODES):
        model = comparison.build(mixer)
        model.set_weights(trained.get_weights())
        if mode != "float32":
            model.quantize(mode)
        with TemporaryDirectory() as folder:
            path = file_of(model, Path(folder))
            size = path.stat().st_size
            loaded = keras.saving.load_model(path)
        images = unit(test.images[:64])
        np.testing.assert_allclose(
            loaded.predict_on_batch(images), model.predict_on_batch(images), atol=1e-5
        )
        found[mode] = {"test_accuracy": accuracy(loaded, test), "file_bytes": size}
        print(f"{mixer}, seed {seed}, {mode}: {found[mode]}", flush=True)
    return found


def main() -> None:
    """Measures all runs of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--data-dir")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    runs = sorted(options.runs.glob("runs/*/seed-*/measures.json"))
    mixers = [*dict.fromkeys(path.parent.parent.name for path in runs)]
    seeds = sorted({int(path.parent.name.removeprefix("seed-")) for path in runs})
    settings = settings_of(options.runs, mixers, seeds)
    comparison = ClassifyComparison(
        settings, options.runs, options.data_dir, progress=False
    )
    results = {
        mixer: [measured(comparison, mixer, seed) for seed in seeds] for mixer in mixers
    }
    write_json(
        options.output,
        {
            "command": "python docs/results/quantization/run.py --runs DIR "
            "--data-dir DIR --output FILE",
            **environment(),
            "seeds": seeds,
            "mixers": results,
        },
    )


if __name__ == "__main__":
    main()
