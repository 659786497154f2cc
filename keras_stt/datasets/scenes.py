"""`scenes` as a TensorFlow Datasets builder. Importing this module registers it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_stt.datasets import drawing
from keras_stt.datasets.captions import NUMBER_OF_CAPTIONS, captions

SEED = 0
"""Seed of every split."""
EXAMPLES = {
    "train": 10_000,
    "test": 2_000,
    "caption_train": 10_000,
    "caption_test": 2_000,
    "caption_unseen": 2_000,
}
"""Number of examples of each split."""
COMBINATIONS: dict[str, drawing.Combinations] = {
    "caption_train": "seen",
    "caption_test": "seen",
    "caption_unseen": "unseen",
}
"""Which colours and shapes come together, in splits where not all do."""

_DESCRIPTION = f"""
Two coloured shapes far apart in front of a dark background. The label says whether
they have the same colour ({", ".join(drawing.COLOURS)}). Their shapes, sizes and
positions vary and tell nothing about the label, and no window of {drawing.GAP + 1}
pixels touches both objects. {NUMBER_OF_CAPTIONS} captions describe both objects and how
they lie. In the splits for captioning, some colours and shapes come together in no
scene but those of "caption_unseen"; in each of them, one object has such a pair. The
images are drawn by a program: the same pixels on every platform, and no network is
needed.
"""


def drawn(split: str, index: int) -> drawing.Scene:
    """The scene of an example of the data set."""
    return drawing.scene(SEED, split, index, COMBINATIONS.get(split, "any"))


class Scenes(tfds.core.GeneratorBasedBuilder):
    """Two objects far apart, with their label (same or different colour) and captions.

    Splits: `train` and `test` for the label, `caption_train`, `caption_test` and
    `caption_unseen` for captions. Features of an example, which is
    `drawing.scene(SEED, split, i)`, with `COMBINATIONS` in the latter:

    - `image`: uint8 `(32, 32, 3)`, PNG.
    - `label`: `"different"` (0) or `"same"` (1), both equally often.
    - `objects`: a sequence of two: `shape`, `colour` and `size` as class labels, and
      the centre `x` (column) and `y` (row), int32, in pixels from the top left.
    - `captions`: five sentences that say the same, of `keras_stt.datasets.captions`.

    Examples are stored in their order, so example i is the i-th of its split.
    """

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {  # noqa: RUF012 (as tfds names it)
        "1.1.0": "Captions, and splits for them.",
        "1.0.0": "First release.",
    }

    def _info(self) -> Any:
        side = drawing.CANVAS
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(
                    shape=(side, side, 3), encoding_format="png"
                ),
                "label": tfds.features.ClassLabel(names=drawing.LABELS),
                "objects": tfds.features.Sequence(
                    {
                        "shape": tfds.features.ClassLabel(names=drawing.SHAPES),
                        "colour": tfds.features.ClassLabel(names=drawing.COLOURS),
                        "size": tfds.features.ClassLabel(names=drawing.SIZES),
                        "x": np.int32,
                        "y": np.int32,
                    },
                    length=2,
                ),
                "captions": tfds.features.Sequence(
                    tfds.features.Text(), length=NUMBER_OF_CAPTIONS
                ),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=features,
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in EXAMPLES}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(EXAMPLES[split]):
            scene = drawn(split, index)
            objects = [
                {
                    "shape": item.shape,
                    "colour": item.colour,
                    "size": item.size,
                    "x": item.x,
                    "y": item.y,
                }
                for item in scene.objects
            ]
            image = drawing.render(scene)
            yield (
                index,
                {
                    "image": image,
                    "label": scene.label,
                    "objects": objects,
                    "captions": captions(scene),
                },
            )
