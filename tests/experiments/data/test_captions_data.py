"""Captioned images from folders and TensorFlow Datasets, against known ones."""

import json

import numpy as np
import pytest
from PIL import Image

tfds = pytest.importorskip("tensorflow_datasets")

from keras_stt.datasets import captions, render, scene  # noqa: E402
from keras_stt.experiments.data.captions import load_captions  # noqa: E402

pytestmark = pytest.mark.backend_free

SPLITS = {"train": ["a.png", "b.png", "c.png"], "val": ["d.png"], "test": ["e.png"]}
FILES = [file for files in SPLITS.values() for file in files]


def picture(number, shape=(4, 6, 3)):
    return np.full(shape, 10 * number, np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A folder of five plain images, lighter from one to the next."""
    (tmp_path / "images").mkdir()
    for number, file in enumerate(FILES):
        Image.fromarray(picture(number)).save(tmp_path / "images" / file)
    texts = {file: [f"Picture {file[0]} .", "a picture"] for file in FILES}
    (tmp_path / "captions.json").write_text(json.dumps(texts))
    (tmp_path / "splits.json").write_text(json.dumps(SPLITS))
    return tmp_path


def edit(folder, name, change):
    path = folder / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def load(folder, **options):
    return load_captions(str(folder), progress=False, **options)


def test_folder(folder):
    data = load(folder, validation_images=1)
    assert (data.name, data.version) == (folder.name, "")
    expected = np.stack([picture(0), picture(1), picture(2)])
    np.testing.assert_array_equal(data.train.images, expected)
    assert data.train.images.dtype == np.uint8
    assert data.train.captions[1] == ("picture b", "a picture")
    np.testing.assert_array_equal(data.validation.images, [picture(3)])
    assert list(data.tests) == ["test"]
    np.testing.assert_array_equal(data.tests["test"].images, [picture(4)])
    assert data.tests["test"].captions == (("picture e", "a picture"),)


def test_numbers_of_images(folder):
    data = load(folder, train_images=2)
    assert (len(data.train), len(data.validation)) == (2, 0)
    assert data.validation.images.shape[0] == 0
    for options, message in (
        ({"train_images": 4}, "at most 3 .*Received: train_images=4"),
        ({"validation_images": 2}, "at most 1, the size of split 'val'"),
        ({"test_images": 2}, "at most 1, the size of split 'test'"),
        ({"test_images": 0}, "at least 1. Received: test_images=0"),
    ):
        with pytest.raises(ValueError, match=message):
            load(folder, **options)


def test_without_a_validation_split_the_last_training_images_take_its_place(folder):
    edit(folder, "splits.json", lambda splits: splits.pop("val"))
    data = load(folder, validation_images=1)
    np.testing.assert_array_equal(data.train.images, [picture(0), picture(1)])
    np.testing.assert_array_equal(data.validation.images, [picture(2)])


def test_grey_images_and_sizes(folder):
    Image.fromarray(picture(9, (8, 8))).save(folder / "images" / "b.png")
    with pytest.raises(
        ValueError, match=r"differ in size.*a.png of \(4, 6\), images/b.png"
    ):
        load(folder)
    data = load(folder, image_size=5)
    assert data.train.images.shape == (3, 5, 5, 3)
    np.testing.assert_array_equal(data.train.images[1], picture(9, (5, 5, 3)))


@pytest.mark.parametrize("name", ["captions.json", "splits.json"])
@pytest.mark.parametrize("content", [None, "{", '{"a.png": 3}', '{"a.png": [3]}', "[]"])
def test_malformed_json(folder, name, content):
    path = folder / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(ValueError, match=f"'{name}'.* form .*Received: .*{name}"):
        load(folder)


BREAKING = {
    "no images": (
        lambda f: (f / "images").rename(f / "pictures"),
        "must hold a folder 'images'",
    ),
    "no test split": (
        lambda f: edit(f, "splits.json", lambda s: [s.pop("test"), s.pop("val")]),
        "in one of 'test', 'val', 'validation'. Received: splits .*'train': 3",
    ),
    "empty split": (
        lambda f: edit(f, "splits.json", lambda s: s["train"].clear()),
        "a split 'train'.*Received: splits .*'train': 0",
    ),
    "unknown split": (
        lambda f: edit(f, "splits.json", lambda s: s.update({"valid": s.pop("val")})),
        "among train, test, val, validation. Received: valid",
    ),
    "deep image": (
        lambda f: Image.fromarray(np.full((4, 6), 999, np.uint16)).save(
            f / "images" / "a.png"
        ),
        "8 bits per colour. Received: images/a.png of mode I",
    ),
    "image in two splits": (
        lambda f: edit(f, "splits.json", lambda s: s["test"].append("b.png")),
        "in one split, once. Received: b.png",
    ),
    "image without captions": (
        lambda f: edit(f, "captions.json", lambda c: c.pop("d.png")),
        "must have captions in 'captions.json'. Received: d.png",
    ),
    "image with an empty list": (
        lambda f: edit(f, "captions.json", lambda c: c["c.png"].clear()),
        "must have captions in 'captions.json'. Received: c.png",
    ),
    "blank caption": (
        lambda f: edit(f, "captions.json", lambda c: c.update({"a.png": [" . "]})),
        "a caption with a word in it. Received: a.png",
    ),
    "caption without image": (
        lambda f: edit(f, "captions.json", lambda c: c.update({"z.png": ["z"]})),
        "must be a file in 'images'. Received: z.png",
    ),
    "unreadable image": (
        lambda f: (f / "images" / "e.png").write_bytes(b"no picture"),
        r"must be readable. Received: images/e.png \(",
    ),
    "cut image": (
        lambda f: (f / "images" / "e.png").write_bytes(
            (f / "images" / "e.png").read_bytes()[:-30]
        ),
        r"must be readable. Received: images/e.png \(",
    ),
    "many": (
        lambda f: edit(f, "captions.json", lambda c: [c.pop(n) for n in FILES]),
        "Received: a.png, b.png, c.png and 2 more",
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_what_is_missing_or_malformed(folder, name):
    change, message = BREAKING[name]
    change(folder)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        load(folder)


@pytest.mark.parametrize("dataset", ["./nowhere", "/no/such/folder", "~/no/such"])
def test_no_such_folder(dataset):
    with pytest.raises(ValueError, match=r"existing folder or \.npz file.*Received"):
        load_captions(dataset)


def test_a_folder_by_another_name(folder, monkeypatch):
    edit(folder, "splits.json", lambda s: s.update({"validation": s.pop("val")}))
    monkeypatch.chdir(folder)
    data = load_captions(".", validation_images=1, progress=False)
    assert data.name == folder.name
    np.testing.assert_array_equal(data.validation.images, [picture(3)])
    # Without a test split, that of validation is tested.
    edit(folder, "splits.json", lambda s: s.pop("test"))
    data = load_captions(".", validation_images=1, progress=False)
    np.testing.assert_array_equal(data.tests["test"].images, [picture(3)])
    np.testing.assert_array_equal(data.validation.images, [picture(2)])
    # Neither the name of a data set nor a folder of captions.
    with pytest.raises(ValueError, match="name of a data set of TensorFlow"):
        load_captions("no_such_data_set", progress=False)
    (folder / "no_such_data_set").mkdir()
    with pytest.raises(ValueError, match=r"with captions\.json\. .*has neither"):
        load_captions("no_such_data_set", progress=False)


def test_images_are_upright(folder):
    tall = np.zeros((6, 4, 3), np.uint8)
    tall[:2] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: to be shown a quarter clockwise
    lying = Image.fromarray(np.rot90(tall))
    lying.save(folder / "images" / "b.png", exif=exif)
    for file in ("a.png", "c.png"):
        Image.fromarray(tall).save(folder / "images" / file)
    data = load(folder, test_images=1)
    np.testing.assert_array_equal(data.train.images[1], tall)


def test_scenes(scenes_dir):
    data = load_captions("scenes", scenes_dir, validation_images=4, progress=False)
    assert (data.name, data.version) == ("scenes", "1.1.0")
    assert (len(data.train), len(data.validation)) == (60, 4)
    assert {name: len(images) for name, images in data.tests.items()} == {
        "test": 32,
        "unseen": 16,
    }
    for images, split, index, combinations in (
        (data.train, "caption_train", 7, "seen"),
        (data.validation, "caption_train", 60, "seen"),
        (data.tests["test"], "caption_test", 0, "seen"),
        (data.tests["unseen"], "caption_unseen", 0, "unseen"),
    ):
        drawn = scene(0, split, index, combinations)
        place = index - 60 if images is data.validation else index
        np.testing.assert_array_equal(images.images[place], render(drawn))
        assert images.captions[place] == captions(drawn)


class Form(tfds.core.BuilderConfig):
    def __init__(self, name, feature, value):
        super().__init__(name=name)
        self.feature, self.value = feature, value


class Captioned(tfds.core.GeneratorBasedBuilder):
    """Data sets with captions in the forms that there are."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [  # noqa: RUF012
        Form("one", {"caption": tfds.features.Text()}, {"caption": "A\nB ."}),
        Form(
            "several",
            {"texts": tfds.features.Sequence(tfds.features.Text())},
            {"texts": ["A b.", "c"]},
        ),
        Form(
            "nested",
            {
                "captions": tfds.features.Sequence(
                    {"id": np.int64, "text": tfds.features.Text()}
                ),
                "note": tfds.features.Text(),
            },
            {
                "captions": [{"id": 1, "text": "a b"}, {"id": 2, "text": "C"}],
                "note": "n",
            },
        ),
        Form(  # as coco_captions has them
            "tensors",
            {
                "captions": tfds.features.Sequence({"id": np.int64, "text": np.str_}),
                "image/filename": tfds.features.Text(),
            },
            {
                "captions": [{"id": 1, "text": "a b"}, {"id": 2, "text": "C"}],
                "image/filename": "1.jpg",
            },
        ),
        Form(
            "two",
            {"en": tfds.features.Text(), "de": tfds.features.Text()},
            {"en": "a", "de": "b"},
        ),
        Form("none", {"filename": tfds.features.Text()}, {"filename": "a"}),
        Form("blank", {"caption": tfds.features.Text()}, {"caption": "."}),
    ]

    def _info(self):
        image = tfds.features.Image(shape=(2, 3, 3), encoding_format="png")
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {"image": image, **self.builder_config.feature}
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in ("train", "val")}

    def _generate_examples(self):
        for number in range(2):
            image = picture(number, (2, 3, 3))
            yield number, {"image": image, **self.builder_config.value}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("one", ("a b",)),
        ("several", ("a b", "c")),
        ("nested", ("a b", "c")),
        ("tensors", ("a b", "c")),
    ],
)
def test_forms_of_captions(form, expected, tmp_path):
    data = load_captions(f"captioned/{form}", str(tmp_path), progress=False)
    assert data.train.captions == (expected, expected)
    np.testing.assert_array_equal(data.tests["test"].images[1], picture(1, (2, 3, 3)))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("two", "captions in one feature.*Received: features de, en, image"),
        ("none", "captions in one feature.*Received: features filename, image"),
        ("blank", "a word in it. Received: example 0 of 'train', example 1"),
    ],
)
def test_unsuitable_data_sets(form, message, tmp_path):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        load_captions(f"captioned/{form}", str(tmp_path), progress=False)
