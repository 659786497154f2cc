"""How shall Dense contract the other modes, and how large shall logits start?

`python docs/results/synthesis/run.py --data-dir DIR --output DIR` trains variants of
`stt-dense` and `stt-random` in the setting of `docs/results/cifar10`, but for 30,000
images and two epochs, and compares them on images taken off the training split: the
test images decide nothing. It shows how a synthesizer of one's own is compared, too.
Stopped at any moment, the same command resumes; with `--variants`, two processes can
share the work.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_stt import layers, synthesizers
from keras_stt.experiments.data.classification import load_classification
from keras_stt.experiments.files import write_json
from keras_stt.experiments.measures.environment import environment
from keras_stt.experiments.reports.results import summary
from keras_stt.experiments.training.recipe import Recipe
from keras_stt.experiments.training.training import train
from keras_stt.models import image_classifier

SEEDS = (0, 1, 2)
RECIPE = Recipe(epochs=2, batch_size=64, learning_rate=4e-3, shift=2)


@keras.saving.register_keras_serializable("synthesis")
class LearnedContraction(synthesizers.Dense):
    """Dense with `Z = act(X ×_C W_1 ×_{k≠m} u_k + b_1)`, `u_k` of shape `(n_k, r)`.

    Each hidden feature has weights of its own along the other modes. They start at
    `1 / n_k`: the fixed mean of `Dense`. For inputs without a mask.
    """

    def build(self, input_shape):  # noqa: D102
        super().build(input_shape)
        rank = len(input_shape)
        self.others = [axis for axis in range(1, rank - 1) if axis != self.axis]
        self.contractions = [
            self.add_weight(
                # Shaped to broadcast over the other axes.
                shape=[input_shape[k] if k == axis else 1 for k in range(rank - 1)]
                + [self.hidden_dim],
                initializer=keras.initializers.Constant(1 / input_shape[axis]),
                name=f"contraction_{axis}",
            )
            for axis in self.others
        ]

    def hidden(self, inputs, mask=None):  # noqa: D102
        features = keras.ops.matmul(inputs, self.hidden_dense.kernel)
        for contraction in self.contractions:
            features = features * contraction
        features = keras.ops.sum(features, axis=self.others)
        return self.activation(features + self.hidden_dense.bias)


def small() -> keras.initializers.Initializer:
    """Logits near 0: every attention matrix starts as a mean."""
    return keras.initializers.RandomNormal(stddev=0.02)


VARIANTS: dict[str, Callable[[], synthesizers.Synthesizer]] = {
    "dense": synthesizers.Dense,
    "dense, learned contraction": LearnedContraction,
    "dense, logits from N(0, 0.02²)": lambda: synthesizers.Dense(
        bias_initializer=small()
    ),
    "random": synthesizers.Random,
    "random, logits from N(0, 0.02²)": lambda: synthesizers.Random(small()),
}


def main() -> None:
    """Trains what is not there yet, and prints and writes what is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    options = parser.parse_args()
    data = load_classification(
        "cifar10", options.data_dir, train_images=30_000, validation_images=5_000
    )
    found: dict[str, Any] = {}
    for name in options.variants:
        accuracies = []
        for seed in SEEDS:
            keras.backend.clear_session()
            run = train(
                lambda name=name: image_classifier(
                    data.train.images.shape[1:],
                    len(data.class_names),
                    mixer=lambda: layers.STT(4, synthesizer=VARIANTS[name]()),
                    depth=2,
                    stem="patch",
                ),
                data.train,
                RECIPE,
                seed=seed,
                folder=options.output
                / name.replace(" ", "_").replace("/", "_")
                / str(seed),
                validation=data.validation,
                label=f"{name}, seed {seed}",
            )
            accuracies.append(run.history["validation_accuracy"][-1])
        found[name] = summary(accuracies)
        print(f"{name:35}", *(f"{100 * accuracy:6.2f}" for accuracy in accuracies))
    content = {
        "command": "python docs/results/synthesis/run.py --data-dir DIR --output DIR",
        **environment(),
        "seeds": SEEDS,
        "train_images": len(data.train),
        "validation_accuracy": found,
    }
    write_json(options.output / "validation.json", content)


if __name__ == "__main__":
    main()
