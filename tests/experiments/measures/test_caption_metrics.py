"""The metrics against values worked out by hand."""

import math

import pytest

from keras_stt.experiments.measures.caption_metrics import caption_metrics

pytestmark = pytest.mark.backend_free

PENALTY = math.exp(1 - 6 / 5)  # five words where the reference has six


def test_one_sentence():
    found = caption_metrics(["the cat sat on mat"], [["the cat sat on the mat"]])
    assert found["bleu_1"] == pytest.approx(PENALTY * 5 / 5)
    assert found["bleu_2"] == pytest.approx(PENALTY * (1 * 3 / 4) ** (1 / 2))
    assert found["bleu_3"] == pytest.approx(PENALTY * (1 * 3 / 4 * 2 / 3) ** (1 / 3))
    expected = PENALTY * (1 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4)
    assert found["bleu_4"] == pytest.approx(expected)
    # Longest common subsequence 5; recall weighs 1.2² times as much as precision.
    precision, recall = 5 / 5, 5 / 6
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert found["rouge_l"] == pytest.approx(expected)
    assert found["exact_match"] == 0


def test_bleu_is_of_the_corpus_and_takes_the_closest_reference():
    # 2 of 2 and 1 of 4 words, not the mean of 1 and 1/4; 6 words against 2 and 5.
    found = caption_metrics(["a b", "a x y z"], [["a b"], ["a c c c c", "d"]])
    assert found["bleu_1"] == pytest.approx(math.exp(1 - 7 / 6) * 3 / 6)


def test_all_references_count():
    found = caption_metrics(["a b", "c d"], [["b q", "a b"], ["c d"]])
    assert found["bleu_2"] == pytest.approx(1)
    assert found["rouge_l"] == pytest.approx(1)
    assert found["exact_match"] == 1


def test_cider_of_two_images():
    # All n-grams occur in one image of two, so all weigh the same. Of "a d" and "a b":
    # cosine 1/2 for words, 0 for pairs; none has triples. The other is exact: 1, 1.
    found = caption_metrics(["a d", "c d"], [["a b"], ["c d"]])
    assert found["cider"] == pytest.approx(10 * (0.5 / 4 + 2 / 4) / 2)
    # What all images have in common tells nothing.
    found = caption_metrics(["a x", "a y"], [["a b"], ["a c"]])
    assert found["cider"] == pytest.approx(0)


def test_cider_of_another_length():
    # "a b b" against "a b": words (1, 2)·clipped (1, 1)·(1, 1), pairs ab, bb against
    # ab; two pairs where there is one: a penalty.
    found = caption_metrics(["a b b", "c d"], [["a b"], ["c d"]])
    words = 2 / math.sqrt(5 * 2)
    pairs = 1 / math.sqrt(2)
    penalty = math.exp(-1 / (2 * 6**2))
    expected = 10 * ((words + pairs) * penalty / 4 + 2 / 4) / 2
    assert found["cider"] == pytest.approx(expected)


def test_text_is_normalised():
    found = caption_metrics(["A b. "], [["a  B"]])
    assert found["exact_match"] == 1
    assert found["bleu_1"] == pytest.approx(1)


def test_an_empty_caption_is_worth_nothing():
    found = caption_metrics(["", "c d"], [["a b"], ["c d"]])
    assert found["cider"] == pytest.approx(10 * (2 / 4) / 2)
    assert found["rouge_l"] == pytest.approx(0.5)
    assert found["exact_match"] == 0.5
    assert caption_metrics(["", ""], [["a b"], ["c d"]])["bleu_1"] == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize(
    ("captions", "references"), [([], []), (["a"], []), (["a", "b"], [["a"], []])]
)
def test_bad_input(captions, references):
    with pytest.raises(ValueError, match="Every image must have a caption"):
        caption_metrics(captions, references)


@pytest.mark.parametrize(
    ("captions", "references"), [("ab", [["a"], ["b"]]), (["a", "b"], ["a", "b"])]
)
def test_texts_in_the_place_of_sequences(captions, references):
    with pytest.raises(ValueError, match="a text in the place of a sequence"):
        caption_metrics(captions, references)


def test_references_without_a_word():
    with pytest.raises(ValueError, match="Received: an empty reference"):
        caption_metrics(["a", "b"], [["a"], ["b", " . "]])
