"""`scenes` as a TensorFlow Datasets builder. Importing this module registers it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from keras_stt.datasets import drawing
from keras_stt.datasets.captions import CAPTIONS, captions

SEED = 0
"""Seed of every split."""
EXAMPLES = {"train": 10_000, "test": 2_000, "unseen": 2_000}
"""Number of examples of each split."""

_DESCRIPTION = f"""
Two coloured shapes far apart in front of a dark background. The label says whether
they have the same colour ({", ".join(drawing.COLOURS)}). Their shapes, sizes and
positions vary and tell nothing about the label, and no window of {drawing.GAP + 1}
pixels touches both objects. {CAPTIONS} captions describe both objects and how they
lie. In each scene of the split "unseen", one object has a colour and a shape that never
come together in the other splits. The images are drawn by a program: the same pixels on
every platform, and no network is needed.
"""


class Scenes(tfds.core.GeneratorBasedBuilder):
    """Two objects far apart, with their label (same or different colour) and captions.

    Features of an example, which is `drawing.scene(SEED, split, i)`:

    - `image`: uint8 `(32, 32, 3)`, PNG.
    - `label`: `"different"` (0) or `"same"` (1), both equally often.
    - `objects`: a sequence of two: `shape`, `colour` and `size` as class labels, and
      the centre `x` (column) and `y` (row), int32, in pixels from the top left.
    - `captions`: five sentences that say the same, of `keras_stt.datasets.captions`.

    Examples are stored in their order, so example i is the i-th of its split.
    """

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {  # noqa: RUF012 (as tfds names it)
        "2.0.0": "Captions, and a split of combinations that no other has.",
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
                    tfds.features.Text(), length=CAPTIONS
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
            scene = drawing.scene(SEED, split, index, unseen=split == "unseen")
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
