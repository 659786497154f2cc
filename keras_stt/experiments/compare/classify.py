"""The comparison of token mixers in image classification."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_stt.experiments import files
from keras_stt.experiments.compare.comparison import Comparison
from keras_stt.experiments.compare.stem import load_stem
from keras_stt.experiments.data.classification import Images, load_classification
from keras_stt.experiments.data.examples import Examples, checksum
from keras_stt.experiments.measures.predictions import BATCH_SIZE, accuracy
from keras_stt.experiments.reports.results import FGSM_STRENGTHS, NOISE_STRENGTHS
from keras_stt.experiments.robustness import suite
from keras_stt.experiments.robustness.attacks import fgsm_accuracy
from keras_stt.experiments.robustness.corruptions import check_corruptible
from keras_stt.experiments.robustness.noise import noise_accuracy
from keras_stt.layers import PositionEmbedding, STTBlock
from keras_stt.mixers import MIXERS
from keras_stt.models import image_classifier
from keras_stt.surgery import resize_model

_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)


class ClassifyComparison(Comparison):
    """The comparison of token mixers: `ClassifySettings` says of which, and how."""

    def load(self, data_dir: str | None) -> None:
        settings = self.settings
        self.data = load_classification(
            settings.dataset,
            data_dir,
            train_images=settings.train_images,
            validation_images=settings.validation_images,
            test_images=settings.test_images,
            image_size=settings.image_size,
            progress=self.progress,
        )
        if settings.robustness == "full":
            check_corruptible(self.data.test.images.shape[1:])

    def examples(self) -> tuple[Examples, Examples]:
        return self.data.train, self.data.validation

    def fingerprint(self) -> str:
        data = self.data
        sums = (checksum(images) for images in (data.train, data.validation, data.test))
        return f"{data.name} {data.version}: {', '.join(sums)}"

    def dataset(self) -> dict[str, Any]:
        data = self.data
        return {
            "name": data.name,
            "version": data.version,
            "class_names": data.class_names,
            "train_images": len(data.train),
            "validation_images": len(data.validation),
            "test_images": len(data.test),
            "image_shape": data.train.images.shape[1:],
        }

    def build(self, variant: str) -> keras.Model:
        settings, data = self.settings, self.data
        return image_classifier(
            data.train.images.shape[1:],
            len(data.class_names),
            mixer=variant,
            grid=settings.grid,
            width=settings.width,
            depth=settings.depth,
            num_heads=settings.num_heads,
            mlp_ratio=settings.mlp_ratio,
            stem=load_stem(settings.stem, data.train.images.shape[1:]),
        )

    def score(self, model: keras.Model, validation: Any, batch_size: int) -> float:
        return accuracy(model, validation, batch_size)

    def measure(self, model: keras.Model, label: str) -> dict[str, Any]:
        # Not more at a time than in training: what fitted there fits here.
        batch_size = min(BATCH_SIZE, self.settings.batch_size)
        return _accuracies(model, self.data.test, batch_size, self.progress, label)

    def further(self, variant: str, seed: int, label: str) -> dict[str, Any]:
        """What `--robustness full` measures of a run, from its file if it is there."""
        if self.settings.robustness != "full":
            return {}
        path = self.run_folder(variant, seed) / "robustness.json"
        known = files.read_json(path) if path.exists() else {}
        if len(known) == len(suite.NAMES):
            return known
        model = self.trained(variant, seed)
        measures = suite.measures(
            model,
            self.data.test,
            self.data.train,
            partial(self._resized, model),
            _grid(model),
            self.folder / "corrupted",
            min(BATCH_SIZE, self.settings.batch_size),
        )
        for name, measure in _shown(measures, f"{label}: robustness", self.progress):
            if name not in known:
                known[name] = measure()
                files.write_json(path, known)
        return known

    def _resized(self, model: keras.Model, scale: float) -> keras.Model | None:
        """The trained model for larger or smaller images, if it has no fixed size."""
        height, width, channels = model.input_shape[1:]
        if any(scale * size % 1 for size in (height, width, *_grid(model))):
            return None
        shape = (round(scale * height), round(scale * width), channels)
        try:
            return resize_model(model, shape)
        except ValueError:
            return None

    def sizes(self, model: keras.Model, variant: str) -> dict[str, int]:
        settings, layer = self.settings, _first(model, STTBlock).mixer
        mixing = MIXERS[variant].multiply_adds(
            _grid(model), settings.width, settings.num_heads
        )
        return {
            "parameters": model.count_params(),
            "mixer_parameters": layer.count_params(),
            "multiply_adds": skeleton_multiply_adds(model) + settings.depth * mixing,
            "mixer_multiply_adds": mixing,
        }


def _grid(model: keras.Model) -> tuple[int, int]:
    """The grid that the blocks of a classifier work on."""
    rows, columns = _first(model, PositionEmbedding).output.shape[1:3]
    return rows, columns


def _first(model: keras.Model, kind: type[keras.layers.Layer]) -> Any:
    """The first layer of a kind."""
    return next(layer for layer in model.layers if isinstance(layer, kind))


def _accuracies(
    model: keras.Model, test: Images, batch_size: int, progress: bool, label: str
) -> dict[str, float]:
    """Accuracy on the test images as they are, noisy, and attacked."""
    measures: dict[str, Callable[[], float]] = {
        "test_accuracy": partial(accuracy, model, test, batch_size)
    }
    for sigma in NOISE_STRENGTHS:
        measures[f"accuracy_noise_{sigma:g}"] = partial(
            noise_accuracy, model, test, sigma, batch_size=batch_size
        )
    for step in FGSM_STRENGTHS:
        measures[f"accuracy_fgsm_{step}_255"] = partial(
            fgsm_accuracy, model, test, step / 255, batch_size=batch_size
        )
    shown = _shown(measures, f"{label}: testing", progress)
    return {name: measure() for name, measure in shown}


def _shown(
    measures: dict[str, Callable[[], Any]], label: str, progress: bool
) -> Iterable[tuple[str, Callable[[], Any]]]:
    """The measures one after the other, with a progress bar."""
    from tqdm import tqdm

    return tqdm(
        measures.items(),
        desc=label,
        unit="measure",
        leave=False,
        disable=None if progress else True,
    )


def skeleton_multiply_adds(model: keras.Model) -> int:
    """Counts the multiply-adds of a classifier for one image, without its mixers.

    A convolution with kernel `k_1×k_2` from `C` to `C'` channels onto `N` positions
    has `N·k_1·k_2·C·C'`, the MLP of a block on `N` positions `2·N·C·C_hidden`, the
    last layer `C·classes`. Normalisation, activations, means and other element-wise
    work are not counted. The mixers are counted by `keras_stt.mixers.MIXERS`. Of a stem
    from a file, its convolutions and dense layers are.

    Args:
        model: A model that `keras_stt.models.image_classifier` made.

    Returns:
        The multiply-adds of one image, forward.
    """
    count = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            count += skeleton_multiply_adds(layer)
        elif isinstance(layer, (*_CONVOLUTIONS, keras.layers.Dense)):
            positions = int(np.prod(layer.output.shape[1:-1]))
            kernels = [each.shape for each in layer.weights if "kernel" in each.name]
            count += positions * sum(int(np.prod(shape)) for shape in kernels)
        elif isinstance(layer, STTBlock):
            _, rows, columns, channels = layer.output.shape
            count += 2 * rows * columns * channels * layer.expand.units
    return count
