"""What makes depthwise STT work? One part of it taken away or changed at a time.

`python docs/results/depthwise/run.py --data-dir DIR --output DIR` trains variants of
`stt-depthwise` on 20,000 images of CIFAR-10 in the skeleton of the comparison (8×8
patches, 64 channels, 2 blocks), and compares them on 5,000 images taken off the
training split: the test images decide nothing. If it is stopped, the same command
resumes it; with `--variants`, two processes can share the work. `--dataset scenes`
trains on 9,000 scenes for 14 epochs, with the convolution stem.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_stt.experiments.data.classification import load_classification
from keras_stt.experiments.files import write_json
from keras_stt.experiments.measures.environment import environment
from keras_stt.experiments.training.recipe import Recipe
from keras_stt.experiments.training.training import train
from keras_stt.layers import STT, DepthwiseSTT
from keras_stt.mixers import MIXERS
from keras_stt.models import image_classifier
from keras_stt.synthesizers import Gaussian, Random

WIDTH = 64


@keras.saving.register_keras_serializable("depthwise")
class Projected(keras.layers.Layer):
    """Depthwise STT between a value and an output projection, as in `STT`."""

    def build(self, input_shape):  # noqa: D102
        self.value = keras.layers.Dense(WIDTH, use_bias=False)
        self.mixer = DepthwiseSTT()
        self.output_dense = keras.layers.Dense(WIDTH)
        for layer in (self.value, self.mixer, self.output_dense):
            layer.build(input_shape)

    def call(self, inputs):  # noqa: D102
        return self.output_dense(self.mixer(self.value(inputs)))

    def compute_output_shape(self, input_shape):  # noqa: D102
        return input_shape


def named(name: str) -> Callable[[], keras.layers.Layer]:
    """The mixer that the comparison knows by this name."""
    return lambda: MIXERS[name].build(WIDTH, 4)


def gaussian(**start: Any) -> Callable[[], keras.layers.Layer]:
    """Depthwise STT whose Gaussians start differently."""
    return lambda: DepthwiseSTT(synthesizer=Gaussian(**start))


def depthwise(**arguments: Any) -> Callable[[], keras.layers.Layer]:
    """Depthwise STT with other arguments."""
    return lambda: DepthwiseSTT(**arguments)


def keeping_the_variance(shape, dtype=None):
    """Amplitudes that make up for the means of the wide terms, on a grid of 8×8.

    Of white noise, the mean over a grid of N positions has 1/N of the variance.
    """
    start = keras.initializers.RandomUniform(-1, 1)(shape, dtype)
    wide = keras.ops.arange(shape[0] * shape[1]) % 4 == 3
    scale = keras.ops.where(keras.ops.reshape(wide, shape), 8.0, 1.0)
    return keras.ops.sign(start) * keras.ops.cast(scale, dtype) / shape[1] ** 0.5


VARIANTS: dict[str, Callable[[], keras.layers.Layer]] = {
    "default": depthwise(),
    "1 term": depthwise(num_terms=1),
    "3 terms": depthwise(num_terms=3),
    "no sign": depthwise(
        amplitude_initializer=keras.initializers.Constant(0.5),
        amplitude_constraint="non_neg",
    ),
    "all local": gaussian(widths=(0.5,)),
    "a quarter with width 2": gaussian(widths=(0.5, 0.5, 0.5, 2.0)),
    "wide terms keep the variance": depthwise(
        amplitude_initializer=keeping_the_variance
    ),
    "all at the center": gaussian(centers=(0.0,)),
    "logits learned outright": depthwise(synthesizer=Random()),
    "amplitudes from the image": depthwise(amplitude="synthesized"),
    "bounded": depthwise(bounded=True),
    "SiLU gate": depthwise(gate="silu"),
    "5×5 convolution": named("depthwise-conv-5"),
    "no mixing": named("none"),
    "projections": lambda: Projected(),
    "STT, random, 4 heads": named("stt-random"),
    "STT, random, 4 heads, mimetic": lambda: STT(4, synthesizer="random", mimetic=True),
    "STT, Gaussian, 64 heads": lambda: STT(64, synthesizer="gaussian"),
}

# Projections learn better at lower rates, so that these have a choice.
RATES = {name: (8e-3, 1.6e-2) for name in VARIANTS if "STT" in name or "proj" in name}


def main() -> None:
    """Trains what is not there yet, and prints and writes what is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rates", nargs="+", type=float)
    options = parser.parse_args()
    photographs = options.dataset == "cifar10"
    data = load_classification(
        options.dataset,
        options.data_dir,
        train_images=20_000 if photographs else 9_000,
        validation_images=5_000 if photographs else 1_000,
    )
    found: dict[str, Any] = {}
    for name in options.variants:
        usual = RATES.get(name, (1.6e-2,)) if photographs else (4e-3,)
        for rate in options.rates or usual:
            recipe = Recipe(
                epochs=6 if photographs else 14,
                batch_size=128,
                learning_rate=rate,
                shift=2 if photographs else 0,
            )
            accuracies = []
            for seed in options.seeds:
                keras.backend.clear_session()
                run = train(
                    lambda name=name: image_classifier(
                        data.train.images.shape[1:],
                        len(data.class_names),
                        mixer=VARIANTS[name],
                        width=WIDTH,
                        depth=2,
                        stem="patch" if photographs else "convolution",
                    ),
                    data.train,
                    recipe,
                    seed=seed,
                    folder=options.output
                    / name.replace(" ", "_").replace(",", "")
                    / f"{rate:g}"
                    / str(seed),
                    validation=data.validation,
                    label=f"{name}, rate {rate:g}, seed {seed}",
                )
                accuracies.append(run.history["validation_accuracy"][-1])
            entry = found.setdefault(name, {"validation_accuracy": {}})
            entry["parameters"] = run.model.count_params()
            entry["validation_accuracy"][f"{rate:g}"] = accuracies
            shown = " ".join(f"{100 * accuracy:6.2f}" for accuracy in accuracies)
            print(f"{name:28} {rate:<7g} {shown}", flush=True)
    content = {
        "command": "python docs/results/depthwise/run.py --data-dir DIR --output DIR",
        **environment(),
        "seeds": options.seeds,
        "train_images": len(data.train),
        "variants": found,
    }
    write_json(options.output / "validation.json", content)


if __name__ == "__main__":
    main()
