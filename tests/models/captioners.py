"""Small captioners, and their search in plain words."""

import numpy as np
from support import array

from keras_stt.models import ImageCaptioner

WORDS = ["red", "green", "blue", "circle", "and"]
START, END, FIRST = 2, 3, 4
LENGTH = 5
TEXTS = ["red circle", "blue", "green and blue circle", "red red red and blue"]


def captioner(decoder="stt-dense", cross="mha", encoder="stt-dense", **options):
    """A small captioner with random weights."""
    model = ImageCaptioner(
        (8, 12, 3),
        WORDS,
        max_length=LENGTH,
        encoder_mixer=encoder,
        decoder_mixer=decoder,
        cross_attention=cross,
        **{"grid": (4, 6), "width": 8, "encoder_depth": 1, "num_heads": 2, **options},
    )
    rng = np.random.default_rng(1)
    for variable in model.trainable_weights:
        variable.assign(rng.normal(0, 0.4, variable.shape))
    return model


def tokens_of(texts):
    rows = [[START, *(FIRST + WORDS.index(w) for w in t.split()), END] for t in texts]
    return np.array([row + [0] * (LENGTH + 2 - len(row)) for row in rows], "int32")


def images(count=4):
    """One colour each, nearly: images that differ as a whole."""
    rng = np.random.default_rng(0)
    colours = 0.9 * rng.random((6, 1, 1, 3))[:count]
    return (colours + 0.1 * rng.random((count, 8, 12, 3))).astype("float32")


def log_probabilities(model, image, text):
    """Of the next token behind a text, by itself: padded with what does not matter."""
    tokens = np.full((1, LENGTH + 1), 7, "int32")
    tokens[0, : len(text)] = text
    logits = array(model({"image": image[None], "tokens": tokens}))[0, len(text) - 1]
    logits = logits.astype("float64")
    logits[[0, 1, START]] = -np.inf
    return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()


def best_text(model, image, beam_size, penalty=1.0, length=LENGTH):
    """Beam search in plain words."""
    beams = [((START,), 0.0)]
    for _ in range(length):
        grown = []
        for text, score in beams:
            if text[-1] == END:
                grown.append((text, score))
                continue
            gains = log_probabilities(model, image, text)
            grown += [
                ((*text, token), score + gains[token])
                for token in range(END, FIRST + len(WORDS))
            ]
        beams = sorted(grown, key=lambda beam: -beam[1])[:beam_size]
    text, _ = max(beams, key=lambda beam: beam[1] / (len(beam[0]) - 1) ** penalty)
    return " ".join(WORDS[token - FIRST] for token in text[1:] if token != END)
