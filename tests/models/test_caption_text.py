import keras
import numpy as np
import pytest

from keras_stt.models import ImageCaptioner, learn_vocabulary, normalize_caption

WORDS = ["red", "green", "a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("There is a piece of farmland .", "there is a piece of farmland"),
        ("A man's t-shirt, (drying)!", "a mans tshirt drying"),
        ("  Ärger\tim\nÉtang ", "ärger im étang"),
        (" . ", ""),
    ],
)
def test_normalize(text, expected):
    assert normalize_caption(text) == expected


def text_vectorization(**arguments):
    pytest.importorskip("tensorflow", reason="TextVectorization needs it")
    return keras.layers.TextVectorization(output_mode="int", **arguments)


def test_plain_text_is_what_text_vectorization_makes_of_it():
    texts = ["There is a `piece`, of {farmland} ~ [today]!", 'Say: "x_y" & #1 *2* z\\w']
    layer = text_vectorization()
    layer.adapt([normalize_caption(text) for text in texts])
    ours = np.asarray(layer([normalize_caption(text) for text in texts]))
    np.testing.assert_array_equal(np.asarray(layer(texts)), ours)
    assert (ours != 1).all()


def test_vocabulary_by_frequency_then_alphabet():
    captions = ["A red circle.", "a RED cross", "a blue cross"]
    assert learn_vocabulary(captions) == ["a", "cross", "red", "blue", "circle"]
    assert learn_vocabulary(captions, min_count=2) == ["a", "cross", "red"]
    assert learn_vocabulary([]) == []


def captioner():
    return ImageCaptioner(
        (4, 4, 3), WORDS, max_length=4, grid=(2, 2), width=4, num_heads=2
    )


def test_tokens():
    # 2 start, 3 end, 0 padding, 1 unknown; red, green, a from 4 on.
    tokens = captioner().tokenize(["a Red .", "", "red blue green a red", "a a a red"])
    assert tokens.dtype == np.int32
    assert tokens.tolist() == [
        [2, 6, 4, 3, 0, 0],
        [2, 3, 0, 0, 0, 0],
        [2, 4, 1, 5, 6, 3],
        [2, 6, 6, 6, 4, 3],
    ]
    assert captioner().tokenize([]).shape == (0, 6)


def test_words_are_those_of_text_vectorization():
    texts = ["a red", "blue green a red, a!", "", "green"]
    layer = text_vectorization(vocabulary=WORDS, output_sequence_length=4)
    theirs = np.asarray(layer(texts))  # 1 unknown, and the words from 2 on.
    ours = captioner().tokenize(texts)[:, 1:-1]
    np.testing.assert_array_equal(
        np.where(ours == 3, 0, ours), np.where(theirs > 1, theirs + 2, theirs)
    )


def test_text_is_the_inverse():
    model = captioner()
    texts = ["a red", "green green a red", ""]
    assert [model.detokenize(row) for row in model.tokenize(texts)] == texts


@pytest.mark.parametrize(
    ("vocabulary", "received"),
    [
        ([], "0 words, 0 distinct"),
        (["a", "a"], "2 words, 1 distinct"),
        ("abc", "vocabulary='abc'"),
        (["a", "Red"], "'Red'"),
        (["a", ""], "''"),
        (["a", "[UNK]"], r"'\[UNK\]'"),
        (["a cat"], "'a cat'"),
    ],
)
def test_vocabularies_that_do_not_fit(vocabulary, received):
    with pytest.raises(ValueError, match=f"`vocabulary` must.*Received: {received}"):
        ImageCaptioner((4, 4, 3), vocabulary, grid=(2, 2), width=4, num_heads=2)


def test_a_text_is_not_a_sequence_of_texts():
    for call in (captioner().tokenize, learn_vocabulary):
        with pytest.raises(ValueError, match=r"of texts\. Received: captions='a b'"):
            call("a b")


@pytest.mark.parametrize("token", [-1, 7])
def test_tokens_that_are_not_there(token):
    with pytest.raises(ValueError, match=rf"lie in \[0, 7\). Received: {token}"):
        captioner().detokenize([2, token])
