"""What a comparison measures of a classifier: multiply-adds, and batches of a size."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_stt.experiments.compare import classify
from keras_stt.experiments.compare.classify import ClassifyComparison
from keras_stt.experiments.compare.settings import ClassifySettings
from keras_stt.experiments.data.classification import Images
from keras_stt.models import image_classifier


def test_skeleton_multiply_adds_by_hand():
    model = image_classifier((32, 16, 3), 10, "none", grid=(8, 4), width=6, depth=2)
    stem = 16 * 8 * (3 * 3 * 3 * 3) + 8 * 4 * (3 * 3 * 3 * 6)
    mlps = 2 * (8 * 4) * (2 * 6 * 12)
    assert classify.skeleton_multiply_adds(model) == stem + mlps + 6 * 10


def test_images_are_tested_in_batches_no_larger_than_in_training():
    class Spy:
        def __init__(self):
            self.sizes = []

        def predict_on_batch(self, images):
            self.sizes.append(len(images))
            return np.zeros((len(images), 2), np.float32)

    spy = Spy()
    test = Images(np.zeros((5, 4, 4, 3), np.uint8), np.zeros(5, np.int32))
    with pytest.MonkeyPatch.context() as patch:
        # It takes gradients of a model, which the spy is not.
        patch.setattr(
            classify,
            "fgsm_accuracy",
            lambda *_, batch_size: spy.sizes.append(batch_size),
        )
        of_two = ClassifyComparison.__new__(ClassifyComparison)
        of_two.settings, of_two.progress = ClassifySettings(batch_size=2), False
        of_two.data = SimpleNamespace(test=test)
        of_two.measure(spy, "spy")
    assert set(spy.sizes) == {2}
