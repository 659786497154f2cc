"""The search for captions, against a search in plain words."""

import itertools

import numpy as np
import pytest
from captioners import (
    END,
    FIRST,
    LENGTH,
    START,
    WORDS,
    best_text,
    captioner,
    images,
    log_probabilities,
)
from support import array, normal


def test_beam_search():
    """With weights that are unsure what to write: every width and penalty differs."""
    model, found = captioner(), {}
    logits = model.text_decoder.get_layer("logits")
    kernel, bias = (0.4 * array(value) for value in logits.get_weights())
    bias[END] = 0.5
    logits.set_weights([kernel, bias])
    for beam_size, penalty in ((1, 1.0), (2, 1.0), (4, 0.0), (4, 3.0)):
        texts = model.generate(images(6), beam_size=beam_size, length_penalty=penalty)
        assert texts == [best_text(model, i, beam_size, penalty) for i in images(6)]
        found[beam_size, penalty] = texts
    assert len(set(map(tuple, found.values()))) == len(found)


def test_a_wide_beam_finds_the_most_probable_text():
    """Against every text there is, of two words at most."""
    model = captioner()
    (image,) = images(1)
    (found,) = model.generate(
        image[None], max_length=2, beam_size=12, length_penalty=0.0
    )
    tokens = [END, *range(FIRST, FIRST + len(WORDS))]
    texts = [(END,), *((a, b) for a, b in itertools.product(tokens[1:], tokens))]

    def score(text):
        return sum(
            log_probabilities(model, image, (START, *text[:k]))[token]
            for k, token in enumerate(text)
        )

    best = max(texts, key=score)
    assert found == " ".join(WORDS[t - FIRST] for t in best if t != END)


def test_any_number_of_images_is_few_shapes():
    """Each shape compiles; a batch is filled up to one that is there."""
    model, shapes = captioner(), set()
    generator = model.text_generator(LENGTH)
    search = generator.predict_on_batch
    generator.predict_on_batch = lambda batch: shapes.add(batch.shape) or search(batch)
    for count in (1, 2, 3, 4, 5, 6):
        assert len(model.generate(images(count), batch_size=4)) == count
    assert shapes == {(size, 8, 12, 3) for size in (1, 2, 4)}


def test_fine_tuning_is_seen():
    """LoRA and quantisation give layers other variables than have been compiled."""
    model = captioner()
    before = model.generate(images(6))
    logits = model.text_decoder.get_layer("logits")
    logits.enable_lora(2)
    for seed, factor in enumerate((logits.lora_kernel_a, logits.lora_kernel_b)):
        factor.assign(0.5 * normal(*factor.shape, seed=seed + 1))
    tuned = model.generate(images(6))
    assert tuned == [best_text(model, image, 1) for image in images(6)]
    assert tuned != before
    logits.quantize("int8")
    quantized = model.generate(images(6))
    assert quantized == [best_text(model, image, 1) for image in images(6)]


def test_the_search_checks_its_images():
    search = captioner().text_generator()
    for entry in (search, search.predict, search.predict_on_batch):
        with pytest.raises(ValueError, match=r"\[0, 1\].*Received: float32.*255"):
            entry(np.full((2, 8, 12, 3), 255, "float32"))


@pytest.mark.parametrize("beam_size", [1, 2])
def test_a_diverged_captioner_writes_something(beam_size):
    model = captioner()
    kernel = model.text_decoder.get_layer("logits").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    texts = model.generate(images(2), beam_size=beam_size)
    assert [type(text) for text in texts] == [str, str]
