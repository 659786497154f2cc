"""Captions as tokens: one normalisation for models, references and metrics.

Tokens are numbers: 0 is padding, 1 an unknown word, 2 the start of a text, 3 its end,
and from 4 on the words of a vocabulary.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_stt.export import export

#: Tokens before the words of the vocabulary.
SPECIAL_TOKENS = ("", "[UNK]", "[START]", "[END]")
PADDING, UNKNOWN, START, END = range(len(SPECIAL_TOKENS))

# What TextVectorization strips, whose lower-casing stops at ASCII.
_PUNCTUATION = re.compile(r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~']""")


@export
def normalize_caption(caption: str) -> str:
    """Returns a caption in lower case, without punctuation and with single spaces.

    This is how `keras.layers.TextVectorization` standardises text, except for letters
    beyond ASCII. The tokenisation of the COCO evaluation, which needs Java, differs:
    "a man's hat" has the words a, mans, hat here, but a, man, 's, hat there.

    Args:
        caption: Any text.

    Returns:
        The text that models are trained on and that metrics compare.

    Example:

    >>> keras_stt.models.normalize_caption("There's a T-shirt , drying .")
    'theres a tshirt drying'
    """
    return " ".join(_PUNCTUATION.sub("", caption.lower()).split())


@export
def learn_vocabulary(captions: Iterable[str], min_count: int = 1) -> list[str]:
    """The words of captions, the most frequent first, ties in alphabetical order.

    Args:
        captions: Captions, which are normalised first.
        min_count: How often a word must occur at least; rarer words become unknown.

    Returns:
        The words, as `ImageCaptioner` takes them.

    Example:

    >>> keras_stt.models.learn_vocabulary(["A red circle.", "a cross"])
    ['a', 'circle', 'cross', 'red']
    """
    check_texts("captions", captions)
    counts = Counter(
        word for text in captions for word in normalize_caption(text).split()
    )
    words = sorted(counts, key=lambda word: (-counts[word], word))
    return [word for word in words if counts[word] >= min_count]


@export
def tokenize_captions(
    captions: Sequence[str], vocabulary: Sequence[str], max_length: int
) -> npt.NDArray[np.int32]:
    """Converts captions to tokens.

    `keras.layers.TextVectorization` does the same, but needs TensorFlow on every
    backend.

    Args:
        captions: Captions, which are normalised first.
        vocabulary: The words.
        max_length: Number of words to keep; longer captions are cut off.

    Returns:
        int32, `(N, max_length + 2)`: start, words, end, padding.
    """
    check_texts("captions", captions)
    numbers = {word: len(SPECIAL_TOKENS) + i for i, word in enumerate(vocabulary)}
    tokens = np.full((len(captions), max_length + 2), PADDING, np.int32)
    for row, caption in zip(tokens, captions, strict=True):
        words = normalize_caption(caption).split()[:max_length]
        text = [START, *(numbers.get(word, UNKNOWN) for word in words), END]
        row[: len(text)] = text
    return tokens


def check_texts(name: str, value: Any) -> None:
    """Raises a `ValueError` for anything but several texts."""
    received = f"{name}={value!r}"
    if isinstance(value, Collection) and not isinstance(value, str):
        # One wrong text is shown, not all of them.
        wrong = ((i, text) for i, text in enumerate(value) if not isinstance(text, str))
        index, text = next(wrong, (None, ""))
        if index is None:
            return
        received = f"{name}[{index}]={text!r}"
    elif isinstance(value, Iterable) and not isinstance(value, str):
        return
    raise ValueError(f"`{name}` must be a sequence of texts. Received: {received}")


def check_tokens(name: str, tokens: Any, length: int) -> None:
    """Raises a `ValueError` for what is not the input tokens of captions.

    Args:
        name: Name of the argument that holds them.
        tokens: What should be integers, `(B, length)`.
        length: Start and words of the longest caption.
    """
    shape = getattr(tokens, "shape", None)
    texts = isinstance(tokens, (list, tuple, str)) or (
        isinstance(tokens, np.ndarray) and tokens.dtype.kind not in "iuf"
    )
    if texts or (shape is not None and tuple(shape[1:]) not in ((length,), (None,))):
        received = type(tokens).__name__ if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            f"`{name}` must be tokens of shape (B, {length}): "
            "`captioner.tokenize(texts)[:, :-1]`, where `[:, 1:]` are the targets. "
            f"Received: {received}"
            + (f" of {tokens.dtype}" if hasattr(tokens, "dtype") else "")
        )


def check_vocabulary(vocabulary: Sequence[str]) -> None:
    """Raises a `ValueError` unless words are distinct and normalised."""
    check_texts("vocabulary", vocabulary)
    if not vocabulary or len(set(vocabulary)) != len(vocabulary):
        raise ValueError(
            "`vocabulary` must hold one word or more, and no word twice. "
            f"Received: {len(vocabulary)} words, {len(set(vocabulary))} distinct"
        )
    for word in vocabulary:
        if not word or normalize_caption(word) != word or " " in word:
            raise ValueError(
                "`vocabulary` must hold single words in lower case without "
                "punctuation, as `learn_vocabulary` returns them; special tokens are "
                f"added to them. Received: {word!r}"
            )


def detokenize_caption(tokens: Sequence[int], vocabulary: Sequence[str]) -> str:
    """The words of a row of tokens, up to its end.

    Raises:
        ValueError: For a number that is no token.
    """
    names, words = (*SPECIAL_TOKENS, *vocabulary), []
    for token in map(int, tokens):
        if not 0 <= token < len(names):
            raise ValueError(f"Tokens must lie in [0, {len(names)}). Received: {token}")
        if token in (END, PADDING):
            break
        if token != START:
            words.append(names[token])
    return " ".join(words)
