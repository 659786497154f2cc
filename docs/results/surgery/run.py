"""What is left of a trained model after it is changed, and after an epoch more?

`python docs/results/surgery/run.py --data-dir DIR --output DIR` trains classifiers on
20,000 images of CIFAR-10 in the skeleton of the comparison (8×8 patches, 64 channels,
2 blocks), resizes them, replaces their attention, and puts a mixer into a CNN.
Accuracies are those on 5,000 images taken off the training split. If it is stopped,
the same command resumes it.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras

from keras_stt.experiments.data.classification import Images, load_classification
from keras_stt.experiments.data.pictures import resized
from keras_stt.experiments.files import write_json
from keras_stt.experiments.measures.environment import environment
from keras_stt.experiments.measures.predictions import accuracy
from keras_stt.experiments.training.recipe import Recipe
from keras_stt.experiments.training.training import train
from keras_stt.layers import DepthwiseSTT, STTBlock
from keras_stt.models import image_classifier
from keras_stt.surgery import insert_layer, replace_attention, resize_model

#: The best peak rates of the comparisons.
RATES = {
    "stt-dense": 8e-3,
    "stt-random": 8e-3,
    "stt-depthwise": 1.6e-2,
    "mha": 4e-3,
    "depthwise-conv-5": 1.6e-2,
}


class Surgery:
    """Trains models, changes them and measures them.

    Args:
        train_data: The images to train on.
        validation: The images to measure on.
        folder: Where the runs are kept.
        seed: Seed of the runs.
    """

    def __init__(
        self, train_data: Images, validation: Images, folder: Path, seed: int
    ) -> None:
        self.train_data, self.validation = train_data, validation
        self.folder, self.seed = folder, seed

    def trained(
        self,
        name: str,
        build: Callable[[], keras.Model],
        rate: float,
        epochs: int,
        side: int = 32,
    ) -> tuple[keras.Model, float]:
        """A trained model, and its accuracy."""
        recipe = Recipe(epochs=epochs, learning_rate=rate, shift=2)
        run = train(
            build,
            self.of_side(self.train_data, side),
            recipe,
            seed=self.seed,
            folder=self.folder / name / str(self.seed),
            label=f"{name}, seed {self.seed}",
        )
        return run.model, self.measured(run.model, side)

    def measured(self, model: keras.Model, side: int = 32) -> float:
        """The accuracy of a model of images of that size."""
        return accuracy(model, self.of_side(self.validation, side))

    def of_side(self, data: Images, side: int) -> Images:
        """The images in another size."""
        return Images(resized(data.images, (side, side), "bicubic"), data.labels)

    def classifier(self, mixer: str, side: int = 32) -> keras.Model:
        """The model of the comparison."""
        return image_classifier(
            (side, side, 3), 10, mixer, (side // 4,) * 2, depth=2, stem="patch"
        )

    def resize(self, mixer: str) -> dict[str, float]:
        """From 32×32 to 48×48 pixels.

        What is trained already is trained further at a quarter of the rate.
        """
        rate = RATES[mixer]
        model, before = self.trained(
            mixer, lambda: self.classifier(mixer), rate, epochs=6
        )
        larger = resize_model(model, (48, 48, 3))
        found = {"at 32×32": before, "resized": self.measured(larger, 48)}
        _, found["an epoch more"] = self.trained(
            f"{mixer}-48", lambda: larger, rate / 4, epochs=1, side=48
        )
        _, found["an epoch from scratch"] = self.trained(
            f"{mixer}-48-new", lambda: self.classifier(mixer, 48), rate, 1, side=48
        )
        return found

    def replace(self) -> dict[str, float]:
        """MultiHeadAttention by STT."""
        rate = RATES["mha"]
        model, before = self.trained(
            "mha", lambda: self.classifier("mha"), rate, epochs=6
        )
        some = self.train_data.images[:256].astype("float32") / 255
        found = {"with attention": before}
        for name, options in (
            ("fitted", {"inputs": some}),
            ("projections kept", {}),
            ("depthwise STT", {"mixer": DepthwiseSTT()}),
        ):
            # What is new starts alike, whether this run trained or resumed before.
            keras.utils.set_random_seed(self.seed)
            changed = replace_attention(model, **options)
            found[name] = self.measured(changed)
            _, found[f"{name}, an epoch more"] = self.trained(
                f"mha-{name.replace(' ', '-')}", lambda model=changed: model, rate, 1
            )
        _, found["with attention, an epoch more"] = self.trained(
            "mha-more", lambda: copied(model), rate, 1
        )
        _, found["STT, an epoch from scratch"] = self.trained(
            "stt-random-1",
            lambda: self.classifier("stt-random"),
            RATES["stt-random"],
            1,
        )
        return found

    def insert(self) -> dict[str, float]:
        """A block of depthwise STT into a network of convolutions."""
        rate = RATES["depthwise-conv-5"]
        model, before = self.trained(
            "depthwise-conv-5",
            lambda: self.classifier("depthwise-conv-5"),
            rate,
            epochs=6,
        )
        block = STTBlock(DepthwiseSTT(), mlp_ratio=2, layer_scale=1e-4, name="stt")
        keras.utils.set_random_seed(self.seed)
        inserted = insert_layer(model, block, after="block_0")
        found = {"convolutions": before, "inserted": self.measured(inserted)}
        _, found["inserted, two epochs more"] = self.trained(
            "cnn-stt", lambda: inserted, rate / 2, epochs=2
        )
        _, found["convolutions, two epochs more"] = self.trained(
            "cnn-more", lambda: copied(model), rate / 2, epochs=2
        )
        return found


def copied(model: keras.Model) -> keras.Model:
    """A copy with the same weights."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def main() -> None:
    """Trains what is not there yet, and prints and writes what is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    data = load_classification(
        "cifar10", options.data_dir, train_images=20_000, validation_images=5_000
    )
    found: dict[str, Any] = {}
    for seed in options.seeds:
        surgery = Surgery(data.train, data.validation, options.output, seed)
        parts = {f"resize {m}": partial(surgery.resize, m) for m in RATES}
        parts |= {"replace": surgery.replace, "insert": surgery.insert}
        for name, part in parts.items():
            keras.backend.clear_session()
            for measure, value in part().items():
                found.setdefault(name, {}).setdefault(measure, []).append(value)
                print(f"{name:22} {measure:32} {100 * value:5.1f}", flush=True)
    content = {
        "command": "python docs/results/surgery/run.py --data-dir DIR --output DIR "
        f"--seeds {' '.join(map(str, options.seeds))}",
        **environment(),
        "seeds": options.seeds,
        "train_images": len(data.train),
        "validation_accuracy": found,
    }
    write_json(options.output / "validation.json", content)


if __name__ == "__main__":
    main()
