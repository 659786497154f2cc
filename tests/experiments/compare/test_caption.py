"""The comparison of captioners: small ones, on few scenes."""

import json

import keras
import numpy as np
import pytest

from keras_stt.datasets import captions, scene
from keras_stt.experiments.compare import comparison
from keras_stt.experiments.compare.caption import (
    CaptionComparison,
    correct_share,
    right_and_wrong,
    token_accuracy,
    tokenized,
)
from keras_stt.experiments.compare.settings import CaptionSettings, captioner_parts
from keras_stt.experiments.data.captions import CaptionedImages
from keras_stt.experiments.reports.results import TASKS
from keras_stt.experiments.reports.table import markdown_table, terminal_table, verdict
from keras_stt.models import ImageCaptioner

SMALL = CaptionSettings(
    variants=("stt-dense+stt-random", "mha+mha+stt"),
    seeds=(0,),
    train_images=48,
    validation_images=8,
    grid=(4, 4),
    width=8,
    encoder_depth=1,
    decoder_depth=1,
    num_heads=2,
    max_length=17,
    epochs=2,
    batch_size=16,
    beam_size=2,
)


def changed(**values):
    return CaptionSettings(**{**vars(SMALL), **values})


def compared(settings, folder, scenes_dir):
    return CaptionComparison(settings, folder, scenes_dir, progress=False).run()


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch):
    monkeypatch.setattr(comparison, "TIMING_ROUNDS", 2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, scenes_dir):
    """A finished comparison: some seconds, since every model compiles."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "TIMING_ROUNDS", 2)
        return folder, compared(SMALL, folder, scenes_dir)


def test_results_hold_every_measure_of_every_variant(finished):
    folder, results = finished
    assert json.loads((folder / "results.json").read_text()) == results
    assert results["finished"] is True
    assert results["task"] == "caption"
    assert list(results["variants"]) == list(SMALL.variants)
    for entry in results["variants"].values():
        for name, measure in TASKS["caption"].measures.items():
            found = entry[name]
            if found is None:
                assert name == "peak_step_bytes"
            elif measure.is_quality:
                assert len(found["runs"]) == 1
                assert all(0 <= run <= 10 for run in found["runs"])
    assert results["dataset"]["words"] == 29


def test_captions_are_kept_and_measured(finished):
    folder, results = finished
    path = folder / "runs" / "mha+mha+stt" / "seed-0" / "measures.json"
    run = json.loads(path.read_text())
    assert {split: len(texts) for split, texts in run["captions"].items()} == {
        "test": 32,
        "unseen": 16,
    }
    entry = results["variants"]["mha+mha+stt"]
    for split, name in (("test", "exact_match"), ("unseen", "unseen_exact_match")):
        kind = "unseen" if split == "unseen" else "seen"
        exact = [
            text in captions(scene(0, f"caption_{split}", i, kind))
            for i, text in enumerate(run["captions"][split])
        ]
        assert entry[name]["runs"][0] == np.mean(exact)


def test_pictures_report_and_tables_are_written(finished):
    folder, results = finished
    pictures = {path.name for path in folder.glob("*.png")}
    assert pictures == {
        *("accuracy.png", "learning.png", "cost.png", "trade_off.png"),
        *("gallery.png", "gallery_unseen.png", "attention.png"),
    }
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png") == len(pictures)
    assert "Captioners compared on scenes" in page
    for text in (markdown_table(results), terminal_table(results), page):
        assert "stt-dense+stt-random" in text
        assert "CIDEr" in text
    assert max(map(len, terminal_table(results).splitlines())) <= 120
    assert "has the best CIDEr of 2 captioners" in verdict(results)


# Classification shows it on every backend.
@pytest.mark.backend_free
def test_killed_and_started_again_ends_the_same(
    finished, tmp_path, scenes_dir, monkeypatch
):
    _, undisturbed = finished
    fit, calls = keras.Model.fit, []

    def killed(self, *args, **kwargs):
        calls.append(self)
        if len(calls) == 4:  # the second epoch of the second run
            raise KeyboardInterrupt
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(keras.Model, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        compared(SMALL, tmp_path, scenes_dir)
    results = compared(SMALL, tmp_path, scenes_dir)
    assert len(calls) == 4 + 1
    timed = {name for name in undisturbed["variants"]["mha+mha+stt"] if "_ms" in name}
    timed |= {"training_seconds", "peak_step_bytes"}
    for variant, entry in undisturbed["variants"].items():
        found = results["variants"][variant]
        assert found["history"] == entry["history"]
        for name in set(entry) - timed - {"history", "learning_rate"}:
            assert found[name]["runs"] == entry[name]["runs"], (variant, name)


@pytest.mark.backend_free
def test_another_variant_with_another_seed_in_one_folder(tmp_path, scenes_dir):
    """What was trained with other seeds alone has no model to time."""
    quick = {"train_images": 16, "epochs": 1, "beam_size": 1}
    first, second = "stt-random+stt-random", "none+stt-random"
    compared(changed(variants=(first,), seeds=(0,), **quick), tmp_path, scenes_dir)
    other = changed(variants=(second,), seeds=(1,), **quick)
    results = compared(other, tmp_path, scenes_dir)
    assert set(results["variants"]) == {second}
    assert set(json.loads((tmp_path / "costs.json").read_text())) == {second}


@pytest.mark.parametrize(
    ("variant", "parts"),
    [
        ("stt-dense+mha", ("stt-dense", "mha", "mha")),
        ("none+stt-mixture-dot+stt", ("none", "stt-mixture-dot", "stt")),
    ],
)
def test_names_of_variants(variant, parts):
    assert captioner_parts(variant) == parts


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"variants": ("mha",)}, r"ENCODER\+DECODER.*Received: mha$"),
        ({"variants": ("mha+magic",)}, "decoder .*Received: magic"),
        ({"variants": ("mha+mha+magic",)}, "cross-attention .*among mha, stt"),
        ({"variants": ()}, "at least one value.*none"),
        ({"variants": ("mha+mha", "mha+mha")}, "twice"),
        ({"beam_size": 0}, "`beam_size` must be a positive"),
        ({"max_length": 0}, "`max_length` must be a positive"),
    ],
)
def test_settings_that_do_not_fit(values, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        changed(**values)


def test_a_vocabulary_without_words_is_refused(tmp_path, scenes_dir):
    settings = changed(min_count=10_000)
    with pytest.raises(ValueError, match=r"`min_count`.*Received: min_count=10000"):
        CaptionComparison(settings, tmp_path / "out", scenes_dir, progress=False)
    assert not (tmp_path / "out").exists()


def test_a_decoder_without_a_causal_form_is_refused(tmp_path, scenes_dir):
    with pytest.raises(ValueError, match="causal form"):
        CaptionComparison(changed(variants=("mha+none",)), tmp_path / "new", scenes_dir)
    assert not (tmp_path / "new").exists()


def toy():
    """Three images with three, one and two captions of two words at most."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    texts = (("a", "b a", "c"), ("a b",), ("b", "c c"))
    captioner = ImageCaptioner(
        (4, 4, 3), ["a", "b", "c"], max_length=2, grid=(2, 2), width=4, num_heads=2
    )
    data = CaptionedImages(images, texts)
    return tokenized(data, captioner.vocabulary, max_length=2), captioner


def test_tokens_by_image_and_caption():
    data, _ = toy()
    assert data.counts.tolist() == [3, 1, 2]
    # 2 start, 3 end, 0 padding; a, b, c are 4, 5, 6.
    assert data.tokens.tolist() == [
        [[2, 4, 3, 0], [2, 5, 4, 3], [2, 6, 3, 0]],
        [[2, 4, 5, 3], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[2, 5, 3, 0], [2, 6, 6, 3], [0, 0, 0, 0]],
    ]
    assert len(data.first(2)) == 2


def test_batches_take_one_caption_each_and_padding_has_no_weight():
    data, _ = toy()
    pixels = np.zeros((3, 4, 4, 3), np.float32)
    inputs, targets, weights = data.batch(
        pixels, np.array([2, 0, 1]), np.array([0.6, 0.34, 0.99])
    )
    assert inputs["image"] is pixels
    assert inputs["tokens"].tolist() == [[2, 6, 6], [2, 5, 4], [2, 4, 5]]
    assert targets.tolist() == [[6, 6, 3], [5, 4, 3], [4, 5, 3]]
    assert weights.tolist() == [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    _, targets, weights = data.batch(pixels, np.array([0, 0, 2]), np.zeros(3))
    assert targets.tolist() == [[4, 3, 0], [4, 3, 0], [5, 3, 0]]
    assert weights.tolist() == [[1, 1, 0]] * 3


class Always:
    """A model whose largest logit is always that of one token."""

    def __init__(self, token):
        self.token = token

    def predict_on_batch(self, inputs):
        logits = np.zeros((*inputs["tokens"].shape, 7))
        logits[..., self.token] = 1
        return logits


def test_token_accuracy_leaves_padding_out():
    data, _ = toy()
    # Six captions with 1 + 2 + 1 + 2 + 1 + 2 words, and an end each.
    for token, count in ((3, 6), (4, 3), (5, 3), (6, 3), (0, 0)):
        for batch_size in (4, 100):
            found = token_accuracy(Always(token), data, batch_size)
            assert found == pytest.approx(count / 15)


def test_correct_share():
    drawn = [scene(0, "caption_unseen", i, "unseen") for i in range(4)]
    texts = [captions(each)[i] for i, each in enumerate(drawn)]
    assert correct_share(texts, "unseen") == 1
    assert correct_share([*texts[:2], "a cat", ""], "unseen") == 0.5
    assert correct_share(texts, "test") < 1


def test_the_loss_is_the_mean_over_what_counts():
    data, captioner = toy()
    recipe = SMALL.recipe(1e-3)
    comparison.compile_model(captioner, recipe, steps=10)
    inputs, targets, weights = data.batch(
        data.images.astype(np.float32) / 255, np.arange(3), np.zeros(3)
    )
    logits = keras.ops.convert_to_numpy(captioner(inputs)).astype("float64")
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    chosen = np.take_along_axis(shares, targets[..., None], -1)[..., 0]
    counted = targets != 0
    loss, accuracy = captioner.test_on_batch(inputs, targets, weights)
    assert loss == pytest.approx(-np.log(chosen[counted]).mean(), rel=1e-5)
    right = logits.argmax(-1) == targets
    assert accuracy == pytest.approx(right[counted].mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("count", "wrong", "shown", "shown_wrong"),
    [
        (2000, range(0, 2000, 10), 12, 6),
        (2000, [7, 1234], 12, 2),
        (40, range(38), 12, 10),
        (5, [3], 5, 1),
        (12, range(12), 12, 12),
    ],
)
def test_a_gallery_shows_right_and_wrong_ones(count, wrong, shown, shown_wrong):
    right = np.ones(count, bool)
    right[list(wrong)] = False
    chosen = right_and_wrong(right)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == shown
    assert int((~right[chosen]).sum()) == shown_wrong
