"""Which images each measure of `--robustness full` is taken on."""

import keras
import numpy as np
import pytest

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.reports.robustness import FAMILIES
from keras_stt.experiments.reports.tasks import TASKS
from keras_stt.experiments.robustness import suite

pytestmark = pytest.mark.backend_free


def test_a_loss_compares_the_same_images(monkeypatch, tmp_path):
    monkeypatch.setattr(suite, "IMAGES", 5)
    monkeypatch.setattr(suite, "ATTACKED", 3)
    seen = []

    def record(*arguments, **options):
        # The data, by name or after the model.
        seen.append(len(options["data"] if "data" in options else arguments[1]))
        return 0.0

    for name in dir(suite):
        if name.endswith(("accuracy", "consistency")):
            monkeypatch.setattr(suite, name, record)
    monkeypatch.setattr(suite, "corrupted", lambda images, *_: [images])
    images = Images(np.zeros((8, 4, 4, 3), np.uint8), np.zeros(8, np.int32))
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    taken = suite.measures(
        model, images, images, lambda scale: model, (2, 2), tmp_path, 8
    )
    measures = TASKS["classify"].measures.values()
    for family in FAMILIES:
        names = [m.name for m in measures if m.group in family.groups]
        assert names
        # A calibration error is compared with nothing.
        for name in {family.subset, *names} - {"calibration_error"}:
            taken[name]()
        assert len(set(seen)) == 1, family.name
        seen.clear()
