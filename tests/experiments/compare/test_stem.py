"""A comparison with a stem from a file."""

import zipfile

import keras
import numpy as np
import pytest
from support import randomize

from keras_stt.experiments.compare import classify
from keras_stt.experiments.compare.classify import ClassifyComparison
from keras_stt.experiments.compare.settings import ClassifySettings, identity, record
from keras_stt.experiments.compare.stem import load_stem
from keras_stt.experiments.errors import UserError
from keras_stt.models import image_classifier


def network(shape=(32, 32, 3)):
    layers = [
        keras.Input(shape),
        keras.layers.Conv2D(4, 3, strides=8, padding="same"),
        keras.layers.DepthwiseConv2D(5, padding="same", name="block_1_depthwise"),
        keras.layers.SeparableConv2D(4, 3, padding="same"),
    ]
    return randomize(keras.Sequential(layers, name="network"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "network.keras"
    network().save(path)
    return path


@pytest.fixture
def data(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "images.npz"
    images = rng.integers(0, 256, (16, 32, 32, 3)).astype("uint8")
    labels = np.arange(16) % 2
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return path


def settings(file, data, **options):
    return ClassifySettings(
        dataset=str(data),
        mixers=("none", "stt-depthwise"),
        stem=str(file),
        width=4,
        depth=1,
        num_heads=2,
        epochs=1,
        batch_size=8,
        **options,
    )


def test_every_variant_starts_from_the_file(file, data, tmp_path):
    chosen = settings(file, data)
    comparison = ClassifyComparison(chosen, tmp_path / "results", progress=False)
    expected = network().get_weights()
    for variant in chosen.mixers:
        model = comparison.build(variant)
        assert model.get_layer("encoder_position").output.shape == (None, 4, 4, 4)
        for weight, value in zip(
            model.get_layer("network").get_weights(), expected, strict=True
        ):
            np.testing.assert_array_equal(weight, value)
    results = comparison.run()
    assert results["finished"]
    assert results["settings"]["stem"] == "network.keras"
    assert results["settings"]["grid"] is None
    # One dense layer 4 → 4 on the 4×4 positions of the feature map.
    assert results["mixers"]["none"]["mixer_multiply_adds"]["runs"] == [16 * 4 * 4]


def test_another_file_of_the_same_name_is_another_comparison(file, data, tmp_path):
    chosen = settings(file, data)
    before = identity(chosen)
    assert str(tmp_path) not in f"{before} {record(chosen)}".replace(str(data), "")
    again = keras.saving.load_model(file)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["metadata.json"] = b'{"date_saved": "another day"}'
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert identity(chosen)["stem"] == before["stem"]
    again.set_weights([weight + 1 for weight in again.get_weights()])
    again.save(file)
    assert identity(chosen)["stem"] != before["stem"]


def test_multiply_adds_of_a_stem_from_a_file_by_hand():
    model = image_classifier(
        (32, 32, 3), 10, "none", width=6, depth=2, stem=network(), mlp_ratio=2
    )
    stem = 3 * 3 * 3 * 4 + 5 * 5 * 4 + (3 * 3 * 4 + 4 * 4) + 4 * 6
    mlps = 2 * 16 * (2 * 6 * 12)
    assert classify.skeleton_multiply_adds(model) == 16 * stem + mlps + 6 * 10


@pytest.mark.parametrize("size", [32, None])
def test_a_file_for_images_of_another_size(tmp_path, size):
    network((size, size, 3)).save(tmp_path / "network.keras")
    stem = load_stem(str(tmp_path / "network.keras"), (64, 48, 3))
    assert stem.output_shape == (None, 8, 6, 4)


def test_files_that_are_no_stem(tmp_path, file):
    with pytest.raises(UserError, match=r"`stem` must be convolution, patch.*magic"):
        ClassifySettings(stem="magic")
    with pytest.raises(UserError, match=r"`stem` must be .*none\.keras"):
        ClassifySettings(stem=str(tmp_path / "none.keras"))
    (tmp_path / "text.keras").write_text("text")
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as archive:
        archive.writestr("note", "no model")
    for name in ("text", "empty"):
        with pytest.raises(UserError, match=rf"`stem` must hold.*{name}\.keras"):
            load_stem(str(tmp_path / f"{name}.keras"), (32, 32, 3))
    with pytest.raises(UserError, match=r"`stem` must hold.*text\.keras"):
        identity(ClassifySettings(stem=str(tmp_path / "text.keras")))
    with pytest.raises(UserError, match=r"`stem` must hold.*32, 1\)"):
        load_stem(str(file), (32, 32, 1))


@pytest.mark.parametrize("shape", [(24, 32, 3), (32, 32, 1)])
def test_full_robustness_refuses_images_before_training(tmp_path, shape):
    images, labels = np.zeros((8, *shape), np.uint8), np.arange(8) % 2
    path = tmp_path / "images.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    chosen = ClassifySettings(dataset=str(path), mixers=("none",), robustness="full")
    with pytest.raises(
        UserError, match=r"`robustness=full` needs RGB images of at least 32"
    ):
        ClassifyComparison(chosen, tmp_path / "results", progress=False)
    assert not (tmp_path / "results").exists()


def test_a_stem_of_one_size_has_no_other_sizes(tmp_path, data):
    layers = [
        keras.Input((32, 32, 3)),
        keras.layers.Conv2D(4, 8, strides=8),
        keras.layers.Reshape((16, 4)),
        keras.layers.Reshape((4, 4, 4)),
    ]
    keras.Sequential(layers).save(tmp_path / "tied.keras")
    chosen = settings(tmp_path / "tied.keras", data)
    comparison = ClassifyComparison(chosen, tmp_path / "results", progress=False)
    assert comparison._resized(comparison.build("stt-depthwise"), 1.5) is None
