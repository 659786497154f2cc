"""Data sets read through TensorFlow Datasets, against sets whose images are known.

Pixels and label of an image of `Numbered` follow from one number that is in its first
pixel, so every array read can be checked without a second reader. Preparing and
reading the small data sets takes TensorFlow Datasets a second or two each.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

tfds = pytest.importorskip("tensorflow_datasets")

from keras_stt.experiments.data import tfds_reader  # noqa: E402
from keras_stt.experiments.data.classification import load_classification  # noqa: E402

pytestmark = pytest.mark.backend_free

CLASSES = 3
SIZES = {"train": 50, "test": 20, "validation": 15}


def pixels(number, shape):
    """Image `number`: its number in the first pixel, something else behind."""
    image = (np.arange(np.prod(shape)).reshape(shape) * 7 + number) % 256
    image[0, 0] = number
    return image.astype(np.uint8)


class Config(tfds.core.BuilderConfig):
    def __init__(self, shape=(4, 6, 3), splits=("train", "test"), **what):
        super().__init__(name=what.pop("name"))
        self.shape, self.splits, self.what = shape, splits, what


class Numbered(tfds.core.GeneratorBasedBuilder):
    """Small data sets of numbered images."""

    VERSION = tfds.core.Version("1.2.3")
    BUILDER_CONFIGS = [  # noqa: RUF012
        Config(name="colour"),
        Config(name="grey", shape=(4, 6, 1)),
        Config(name="sizes", shape=(None, None, 3)),
        Config(name="withheld", splits=tuple(SIZES), withheld="test"),
        Config(name="no_label", label=tfds.features.Text()),
        Config(name="no_image", image=tfds.features.Tensor(shape=(), dtype=np.int64)),
        Config(name="two_labels", second="fine"),
        Config(name="train_only", splits=("train",)),
        Config(name="unlabelled_train", withheld="train"),
        Config(name="deep", image_dtype=np.uint16),
    ]

    def _info(self):
        config = self.builder_config
        image = tfds.features.Image(
            shape=config.shape,
            encoding_format="png",
            dtype=config.what.get("image_dtype", np.uint8),
        )
        label = tfds.features.ClassLabel(num_classes=CLASSES)
        features = {
            "mask": tfds.features.LabeledImage(labels=2, shape=(2, 2, 1)),
            "picture": config.what.get("image", image),
            "label": config.what.get("label", label),
        }
        if "second" in config.what:
            features[config.what["second"]] = tfds.features.ClassLabel(num_classes=50)
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {
            name: self._generate_examples(name) for name in self.builder_config.splits
        }

    def _generate_examples(self, split):
        config = self.builder_config
        for number in range(SIZES[split]):
            label = number % CLASSES
            if config.what.get("withheld") == split:
                label = -1
            shape = [side or 4 + number % 2 for side in config.shape]
            image = pixels(number, shape).astype(
                config.what.get("image_dtype", np.uint8)
            )
            example = {"mask": np.zeros((2, 2, 1), np.uint8), "label": label}
            example["picture"] = 1 if "image" in config.what else image
            if "label" in config.what:
                example["label"] = "text"
            if "second" in config.what:
                example[config.what["second"]] = number
            yield number, example


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("prepared"))
    # Several files for a split, as large data sets have them.
    tfds.builder("numbered/colour", data_dir=folder).download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=3)
    )
    return folder


def load(name, data_dir, **options):
    return load_classification(f"numbered/{name}", data_dir, progress=False, **options)


def numbers(split):
    """The numbers of the images, after comparing every pixel and label."""
    found = split.images[:, 0, 0, 0].astype(int)
    for number, image, label in zip(found, split.images, split.labels, strict=True):
        np.testing.assert_array_equal(image, pixels(number, image.shape))
        assert label == number % CLASSES
    return found.tolist()


def test_reads_whole_data_set(data_dir):
    data = load("colour", data_dir)
    assert (data.name, data.version) == ("numbered/colour", "1.2.3")
    assert data.class_names == ("0", "1", "2")
    assert data.train.images.shape == (50, 4, 6, 3)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int32
    assert sorted(numbers(data.train)) == list(range(50))
    assert sorted(numbers(data.test)) == list(range(20))
    assert len(data.validation) == 0
    assert data.validation.images.shape == (0, 4, 6, 3)


def test_parts_are_first_and_last(data_dir):
    whole = load("colour", data_dir)
    order, test_order = numbers(whole.train), numbers(whole.test)
    part = load(
        "colour", data_dir, train_images=30, validation_images=13, test_images=7
    )
    assert numbers(part.train) == order[:30]
    assert numbers(part.validation) == order[-13:]
    assert numbers(part.test) == test_order[:7]
    rest = load("colour", data_dir, validation_images=13)
    assert numbers(rest.train) == order[:-13]
    assert numbers(rest.validation) == order[-13:]


def test_keeps_grey_images(data_dir):
    data = load("grey", data_dir)
    assert data.train.images.shape == (50, 4, 6, 1)
    assert sorted(numbers(data.train)) == list(range(50))


def test_images_of_several_sizes(data_dir):
    with pytest.raises(ValueError, match=r"differ in size: `image_size`"):
        load("sizes", data_dir)
    with pytest.raises(ValueError, match=r"differ in size: `image_size`"):
        load("sizes", data_dir, validation_images=2)
    data = load("sizes", data_dir, image_size=5, validation_images=4)
    assert data.train.images.shape == (46, 5, 5, 3)
    assert data.validation.images.shape == (4, 5, 5, 3)
    # Images that have the size already stay as they are.
    kept = [image for image in data.train.images if image[0, 0, 0] % 2]
    unchanged = [
        image
        for image in kept
        if np.array_equal(image, pixels(image[0, 0, 0], image.shape))
    ]
    assert len(unchanged) >= 20


def triangle(size, new):
    """Matrix of an antialiased linear reduction from `size` to `new` pixels."""
    scale = size / new
    centres = (np.arange(new)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - abs(np.arange(size) + 0.5 - centres) / scale)
    return weights / weights.sum(axis=1, keepdims=True)


def test_resizing_is_linear_and_antialiased(data_dir):
    whole = load("colour", data_dir, validation_images=3)
    data = load("colour", data_dir, validation_images=3, image_size=2)
    rows, columns = triangle(4, 2), triangle(6, 2)
    for before, after in ((whole.train, data.train), (whole.test, data.test)):
        expected = np.einsum("yh,nhwc,xw->nyxc", rows, before.images, columns)
        assert after.images.dtype == np.uint8
        np.testing.assert_allclose(after.images, expected, atol=0.51)
        np.testing.assert_array_equal(after.labels, before.labels)


def test_validation_stands_in_for_unlabelled_test(data_dir):
    data = load("withheld", data_dir, validation_images=5)
    assert sorted(numbers(data.test)) == list(range(15))
    assert len(data.train) == 45


def test_label_named_so_wins(data_dir):
    data = load("two_labels", data_dir)
    assert len(data.class_names) == CLASSES
    assert sorted(numbers(data.train)) == list(range(50))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_label", "must have one label feature.*Received: features .*picture"),
        ("no_image", "must have one image feature.*Received: features "),
        ("train_only", "must have a split 'test' or 'validation' with labels"),
        ("unlabelled_train", "labels from 0 in its training split. Received: label -1"),
        ("deep", "must be uint8"),
    ],
)
def test_unsuitable_data_sets(name, message, data_dir):
    with pytest.raises(ValueError, match=message) as caught:
        load(name, data_dir)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["no_label", "no_image"])
def test_unsuitable_data_sets_are_not_downloaded(name, tmp_path, monkeypatch):
    monkeypatch.setattr(
        Numbered, "download_and_prepare", lambda *_, **__: pytest.fail("downloaded")
    )
    with pytest.raises(ValueError, match="must have one"):
        load_classification(f"numbered/{name}", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_images": 51}, "at most 50 together"),
        ({"train_images": 50, "validation_images": 1}, "at most 50 together"),
        ({"validation_images": 50}, "leave something to train on"),
        ({"test_images": 21}, "`test_images` must be at most 20"),
        ({"train_images": 0}, "`train_images` must be at least 1"),
        ({"test_images": 0}, "`test_images` must be at least 1"),
        ({"validation_images": -1}, "`validation_images` must be at least 0"),
        ({"image_size": 0}, "`image_size` must be at least 1"),
    ],
)
def test_impossible_counts(options, message, data_dir):
    with pytest.raises(ValueError, match=message) as caught:
        load("colour", data_dir, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nothing_of_this_name", "no name!", "numbered/x"])
def test_unknown_data_set(name, data_dir):
    with pytest.raises(ValueError, match="`dataset` must be 'scenes' or") as caught:
        load_classification(name, data_dir)
    assert "\n" not in str(caught.value)


def test_unknown_folder(tmp_path):
    with pytest.raises(ValueError, match="`data_dir` must be an existing folder"):
        load_classification("numbered/colour", str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_data_set_that_cannot_be_prepared(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no network\nand more")

    monkeypatch.setattr(Numbered, "download_and_prepare", fail)
    with pytest.raises(ValueError, match=r"Received: OSError: no network$"):
        load_classification("numbered/colour", str(tmp_path))


def test_without_a_network_a_download_is_not_even_tried(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("tries, for minutes")

    def no_host(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr(Numbered, "download_and_prepare", fail)
    urls = {"https://example.org/numbers.zip": None}
    monkeypatch.setattr(Numbered, "url_infos", urls)
    monkeypatch.setattr(tfds_reader, "getproxies", dict)
    monkeypatch.setattr(tfds_reader.socket, "getaddrinfo", no_host)
    message = r"`dataset`.*`data_dir`.*'scenes'.*Received: .*example.org"
    with pytest.raises(ValueError, match=message):
        load_classification("numbered/colour", str(tmp_path))


def test_scenes(scenes_dir):
    data = load_classification("scenes", scenes_dir, validation_images=8)
    assert data.name == "scenes"
    assert data.class_names == ("different", "same")
    assert data.train.images.shape == (56, 32, 32, 3)
    assert set(data.train.labels) == {0, 1}


def test_reading_is_silent_and_local(data_dir):
    """A process of its own, whose connections fail (its imports take seconds)."""
    program = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise SystemExit('connects')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from keras_stt.experiments.data.classification import load_classification\n"
        "sys.stderr.flush(); print('ready', file=sys.stderr, flush=True)\n"
        "data = load_classification(*sys.argv[1:])\n"
        "print(len(data.train))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "numbered/colour", data_dir],
        capture_output=True,
        text=True,
        env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "50"
    # Before, only the backend itself may have something to say.
    assert done.stderr.partition("ready\n")[2] == ""
