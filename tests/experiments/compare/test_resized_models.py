"""Accuracy at other sizes: which trained models there are."""

import pytest

from keras_stt.experiments.compare.classify import ClassifyComparison
from keras_stt.experiments.compare.settings import ClassifySettings


@pytest.mark.parametrize(
    ("mixer", "scale", "possible"),
    [
        ("mlp-mixer", 1.5, False),
        ("stt-dense", 1.5, True),
        # No whole grid.
        ("stt-dense", 0.875, False),
    ],
)
def test_a_mixer_of_one_size_has_no_accuracy_at_others(
    mixer, scale, possible, tmp_path, scenes_dir
):
    settings = ClassifySettings(
        dataset="scenes", mixers=(mixer,), grid=(4, 4), width=8, depth=1, batch_size=16
    )
    comparison = ClassifyComparison(settings, tmp_path, scenes_dir)
    resized = comparison._resized(comparison.build(mixer), scale)
    assert (resized is not None) == possible
    assert not possible or resized.input_shape == (None, 48, 48, 3)
