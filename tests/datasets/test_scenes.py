import socket
import subprocess
import sys

import numpy as np
import pytest

from keras_stt.datasets import captions, drawing, prepare_scenes

pytestmark = pytest.mark.backend_free

EXAMPLES = {
    "train": 12,
    "test": 6,
    "caption_train": 3,
    "caption_test": 2,
    "caption_unseen": 4,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A small `scenes` in a folder, prepared while no connection can be opened."""
    from keras_stt.datasets import scenes

    def refuse(*_):
        raise AssertionError("a connection was opened")

    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "EXAMPLES", EXAMPLES)
        patch.setattr(socket.socket, "connect", refuse)
        return folder, prepare_scenes(str(folder))


def _read(dataset):
    return list(dataset.as_numpy_iterator())


def test_round_trip_gives_what_was_drawn_in_order(prepared):
    _, builder = prepared
    labels = builder.info.features["objects"]
    for split, count in EXAMPLES.items():
        examples = _read(builder.as_dataset(split=split))
        assert len(examples) == count
        for index, example in enumerate(examples):
            kind = {"train": "any", "test": "any", "caption_unseen": "unseen"}
            drawn = drawing.scene(0, split, index, kind.get(split, "seen"))
            np.testing.assert_array_equal(example["image"], drawing.render(drawn))
            written = [caption.decode() for caption in example["captions"]]
            assert tuple(written) == captions(drawn)
            read = example["objects"]
            for k, item in enumerate(drawn.objects):
                for name in ("shape", "colour", "size"):
                    assert labels[name].int2str(read[name][k]) == getattr(item, name)
                assert (read["x"][k], read["y"][k]) == (item.x, item.y)


def test_label_agrees_with_the_objects(prepared):
    _, builder = prepared
    examples = _read(builder.as_dataset(split="train+test"))
    names = builder.info.features["label"].names
    for example in examples:
        one, two = example["objects"]["colour"]
        assert names[example["label"]] == ("same" if one == two else "different")
    assert sum(example["label"] for example in examples) == len(examples) / 2


def test_tfds_load_finds_it_by_name(prepared):
    import tensorflow_datasets as tfds

    folder, _ = prepared
    loaded = tfds.load(
        "scenes", data_dir=str(folder), split="test[2:4]", as_supervised=True
    )
    images, labels = zip(*_read(loaded), strict=True)
    for k in (0, 1):
        drawn = drawing.scene(0, "test", 2 + k)
        np.testing.assert_array_equal(images[k], drawing.render(drawn))
        assert ("different", "same")[labels[k]] == drawn.label


def test_features(prepared):
    _, builder = prepared
    features = builder.info.features
    assert builder.info.supervised_keys == ("image", "label")
    assert features["image"].shape == (32, 32, 3)
    assert features["image"].np_dtype == np.uint8
    assert features["label"].names == ["different", "same"]
    assert features["objects"]["shape"].names == list(drawing.SHAPES)
    assert features["objects"]["colour"].names == list(drawing.COLOURS)
    assert features["objects"]["size"].names == ["small", "large"]
    assert builder.info.splits["train"].num_examples == EXAMPLES["train"]


def test_preparing_again_draws_nothing(prepared, monkeypatch):
    folder, _ = prepared
    monkeypatch.setattr(drawing, "render", None)
    again = prepare_scenes(str(folder))
    assert again.info.splits["test"].num_examples == EXAMPLES["test"]


def test_default_splits():
    from keras_stt.datasets import scenes

    assert scenes.EXAMPLES == {
        "train": 10_000,
        "test": 2_000,
        "caption_train": 10_000,
        "caption_test": 2_000,
        "caption_unseen": 2_000,
    }


def test_without_tensorflow_datasets_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"keras-stt\[compare,tensorflow\]"):
        prepare_scenes()


def test_importing_is_lazy_and_silent():
    # Takes seconds: a fresh interpreter, as this one has imported it all.
    code = (
        "import sys, warnings; import keras; warnings.simplefilter('error')\n"
        "import keras_stt.datasets\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
        "import keras_stt.datasets.scenes\n"
        "import tensorflow_datasets as tfds\n"
        "assert tfds.builder_cls('scenes') is keras_stt.datasets.scenes.Scenes\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
