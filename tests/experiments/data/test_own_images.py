"""Labelled images of the user's own, in folders and .npz files."""

import numpy as np
import pytest
from PIL import Image

from keras_stt.experiments.data.classification import load_classification
from keras_stt.experiments.data.source import path_of
from keras_stt.experiments.errors import UserError

pytestmark = pytest.mark.backend_free

COLORS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


def write_images(folder, counts, size=(6, 4), suffix=".png"):
    """One colour per class; the first pixel has the number of the image."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image = Image.new("RGB", size, COLORS[name])
            image.putpixel((0, 0), (number, number, number))
            image.save(folder / name / f"{number}{suffix}")


def colors_of(images):
    return [tuple(map(int, image[-1, -1])) for image in images.images]


def identities(images):
    return {
        (color, int(image[0, 0, 0]))
        for color, image in zip(colors_of(images), images.images, strict=True)
    }


def test_one_subfolder_per_class(tmp_path):
    folder = tmp_path / "my.photos"
    write_images(folder, {"red": 10, "blue": 6, "green": 4})
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "red" / ".hidden.png").write_text("no image")
    data = load_classification(str(folder), validation_images=3)
    assert (data.name, data.version) == ("my.photos", "")
    assert data.class_names == ("blue", "green", "red")
    parts = (data.train, data.validation, data.test)
    assert [len(part) for part in parts] == [13, 3, 4]
    assert data.train.images.shape == (13, 4, 6, 3)
    # No image twice, and none lost.
    assert len(set.union(*map(identities, parts))) == 20
    for part in parts:
        named = [COLORS[data.class_names[label]] for label in part.labels]
        assert colors_of(part) == named
    assert len(set(data.train.labels[:6])) > 1
    again = load_classification(str(folder), train_images=5)
    np.testing.assert_array_equal(again.train.images, data.train.images[:5])
    np.testing.assert_array_equal(again.test.images, data.test.images)


@pytest.mark.parametrize("name", ["test", "val", "validation"])
def test_folders_of_training_and_test_images(name, tmp_path):
    write_images(tmp_path / "train", {"red": 5, "blue": 4}, suffix=".JPG")
    write_images(tmp_path / name, {"red": 2, "blue": 1})
    data = load_classification(str(tmp_path), image_size=3)
    assert data.train.images.shape == (9, 3, 3, 3)
    assert sorted(data.test.labels.tolist()) == [0, 1, 1]
    assert data.class_names == ("blue", "red")


def arrays(**changes):
    rng = np.random.default_rng(0)
    found = {
        "x_train": rng.integers(0, 256, (7, 4, 5), dtype=np.uint8),
        "y_train": np.array([[0], [1], [2], [0], [1], [2], [0]]),
        "x_test": rng.integers(0, 256, (3, 4, 5), dtype=np.uint8),
        "y_test": np.array([2, 1, 0], np.uint8),
        **changes,
    }
    return {key: value for key, value in found.items() if value is not None}


def test_npz(tmp_path):
    path, found = tmp_path / "images.npz", arrays()
    np.savez(path, **found)
    data = load_classification(str(path), validation_images=2)
    assert (data.name, data.class_names) == ("images", ("0", "1", "2"))
    np.testing.assert_array_equal(data.train.images, found["x_train"][:5, ..., None])
    np.testing.assert_array_equal(data.train.labels, [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(data.validation.labels, [2, 0])
    np.testing.assert_array_equal(data.test.labels, [2, 1, 0])
    small = load_classification(str(path), image_size=2).test
    assert small.images.shape == (3, 2, 2, 1)
    # Antialiased: an image keeps its mean, nearly.
    means = small.images.mean(axis=(1, 2, 3)) - found["x_test"].mean(axis=(1, 2))
    assert abs(means).max() < 25


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None}, r"must hold .*without x_test"),
        ({"x_train": np.zeros((7, 4, 5), "float32")}, r"`x_train` must hold uint8"),
        ({"x_train": np.zeros((7, 20), "uint8")}, r"`x_train`.*shape \(7, 20\)"),
        ({"x_test": np.zeros((3, 5, 5), "uint8")}, r"must have one shape"),
        ({"y_train": np.zeros(6, "int64")}, r"`y_train` must hold .*shape \(6,\)"),
        ({"y_train": np.zeros(7, "float32")}, r"`y_train` must hold integer labels"),
        ({"y_train": np.full(7, -1)}, r"`y_train`.*with -1"),
        (
            {"y_train": np.zeros(7, int)},
            r"at least two classes.*Received: 0 in y_train",
        ),
        (
            {"y_test": np.array([0, 3, 1])},
            r"of the same\. Received: 0, 1, 2 in y_train, and 2, 3 in one of them only",
        ),
    ],
)
def test_arrays_that_do_not_fit(changes, message, tmp_path):
    np.savez(tmp_path / "images.npz", **arrays(**changes))
    with pytest.raises(UserError, match=message):
        load_classification(str(tmp_path / "images.npz"))


def test_a_file_that_is_no_npz(tmp_path):
    (tmp_path / "images.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"must be an \.npz file of arrays"):
        load_classification(str(tmp_path / "images.npz"))
    with pytest.raises(UserError, match=r"existing folder or \.npz file"):
        load_classification(str(tmp_path / "other.npz"))


def test_folders_that_do_not_fit(tmp_path):
    with pytest.raises(UserError, match=r"at least two classes.*no subfolder"):
        load_classification(str(tmp_path))
    write_images(tmp_path, {"red": 5})
    with pytest.raises(UserError, match=r"at least two classes.*with red"):
        load_classification(str(tmp_path))
    write_images(tmp_path / "train", {"red": 5, "green": 1})
    write_images(tmp_path / "test", {"blue": 1})
    with pytest.raises(UserError, match=r"the same classes.*: blue, green, red in one"):
        load_classification(str(tmp_path))


def test_images_that_do_not_fit(tmp_path):
    write_images(tmp_path, {"red": 3, "green": 3})
    write_images(tmp_path, {"blue": 3}, size=(5, 5))
    with pytest.raises(UserError, match=r"`image_size` must say.*(blue|red|green)/\d"):
        load_classification(str(tmp_path))
    (tmp_path / "blue" / "0.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"must be readable.*blue/0\.png"):
        load_classification(str(tmp_path), image_size=4)


def test_a_name_is_not_taken_for_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    assert path_of("mnist") is None
    write_images(tmp_path / "mnist", {"red": 1})
    assert path_of("mnist") is not None
