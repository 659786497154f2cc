"""The STT layer against float64 loops over positions, in float32.

All sizes are distinct, so that no two axes can be swapped unseen.
"""

import keras
import numpy as np
import oracle
import pytest
from cases import KINDS, SYNTHESIZERS
from support import array, built, normal, relative_error, weights_of

from keras_stt.layers import STT

TEXT, IMAGE, VIDEO = (2, 5, 8), (2, 3, 5, 8), (2, 3, 5, 4, 8)
TOLERANCE = 1e-5


def check(layer, name, x, axes=None, mask=None, causal=(), **call_arguments):
    """Compares the layer with the oracle on one input."""
    expected = oracle.stt(
        x,
        weights_of(layer),
        SYNTHESIZERS[name].logits,
        layer.num_heads,
        axes,
        mask,
        causal,
    )
    actual = layer(x, mask=mask, **call_arguments)
    assert relative_error(actual, expected) < TOLERANCE


def stt(name, shape, heads=4, **arguments):
    synthesizer = SYNTHESIZERS[name].make()
    return built(STT(heads, synthesizer=synthesizer, **arguments), shape)


@pytest.mark.parametrize("shape", [TEXT, IMAGE, VIDEO], ids=["text", "image", "video"])
@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_every_synthesizer_at_every_rank(name, shape):
    heads = 2 if shape == VIDEO else 4
    check(stt(name, shape, heads), name, normal(*shape))


@pytest.mark.parametrize("name", ["dense", "random"])
@pytest.mark.parametrize(
    ("shape", "attention_axes", "axes"),
    [
        (TEXT, -2, [1]),
        (IMAGE, 1, [1]),
        (IMAGE, -2, [2]),
        (IMAGE, (2, 1), [1, 2]),
        (IMAGE, [-3, -2], [1, 2]),
        (VIDEO, 2, [2]),
        (VIDEO, (1, -2), [1, 3]),
        (VIDEO, [3, 2], [2, 3]),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_some_axes(name, shape, attention_axes, axes, masked):
    layer = stt(name, shape, 2, attention_axes=attention_axes)
    mask = random_mask(shape) if masked else None
    check(layer, name, normal(*shape), axes, mask)


def test_heads_of_another_size_and_no_biases():
    layer = stt("dense", IMAGE, heads=2, value_dim=3, use_bias=False, output_shape=7)
    assert layer.value_dense.kernel.shape == (8, 6)
    assert not any("value/bias" in v.path for v in layer.weights)
    check(layer, "dense", normal(*IMAGE))


def test_an_output_of_several_axes():
    layer = stt("random", IMAGE, output_shape=(3, 2))
    x = normal(*IMAGE)
    expected = oracle.stt(x, weights_of(layer), oracle.random, 4)
    assert relative_error(layer(x), expected.reshape(2, 3, 5, 3, 2)) < TOLERANCE


def random_mask(shape, seed=0):
    return np.random.default_rng(seed).random(shape[:-1]) < 0.5


def one_row(shape):
    mask = np.zeros(shape[:-1], bool)
    mask[:, 1] = True
    return mask


def one_position(shape):
    mask = np.zeros(shape[:-1], bool)
    mask[(0, *(1 for _ in shape[1:-1]))] = True
    mask[(1, *(size - 1 for size in shape[1:-1]))] = True
    return mask


def nothing_in_one_example(shape):
    mask = random_mask(shape)
    mask[1] = False
    return mask


MASKS = {
    "random": random_mask,
    "row": one_row,
    "one position": one_position,
    "nothing in one example": nothing_in_one_example,
    "integers": lambda shape: 3 * random_mask(shape).astype("int32"),
}


@pytest.mark.parametrize("form", MASKS)
@pytest.mark.parametrize("name", KINDS)
def test_every_synthesizer_with_every_form_of_mask(name, form):
    check(stt(name, IMAGE), name, normal(*IMAGE), mask=MASKS[form](IMAGE))


@pytest.mark.parametrize("form", ["random", "row", "nothing in one example"])
@pytest.mark.parametrize("shape", [TEXT, VIDEO], ids=["text", "video"])
@pytest.mark.parametrize("name", ["dense", "dot_product", "random"])
def test_masks_at_other_ranks(name, shape, form):
    check(stt(name, shape, 2), name, normal(*shape), mask=MASKS[form](shape))


@pytest.mark.parametrize(
    "shape", [(2, 1, 5), (2, 3, 1), (1, 3, 5), (1, 1, 5), (2, 1, 1), (1, 1, 1)]
)
def test_masks_that_broadcast(shape):
    mask = np.random.default_rng(1).random(shape) < 0.6
    check(stt("dense", IMAGE), "dense", normal(*IMAGE), mask=mask)


def test_a_mask_as_a_tensor_of_the_backend():
    layer, x, mask = stt("dense", IMAGE), normal(*IMAGE), random_mask(IMAGE)
    expected = array(layer(x, mask=mask))
    actual = layer(x, mask=keras.ops.convert_to_tensor(mask))
    np.testing.assert_array_equal(array(actual), expected)


@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_the_implicit_mask_of_an_embedding(name):
    tokens = np.array([[3, 1, 0, 2, 0], [0, 0, 4, 0, 0]])
    embedding = built(keras.layers.Embedding(6, 8, mask_zero=True), (2, 5))
    layer = stt(name, TEXT)
    embedded = embedding(tokens)
    output = layer(embedded)
    expected = oracle.stt(
        array(embedded),
        weights_of(layer),
        SYNTHESIZERS[name].logits,
        4,
        mask=tokens != 0,
    )
    assert relative_error(output, expected) < TOLERANCE
    # Mask in, mask out.
    np.testing.assert_array_equal(
        array(keras.src.backend.get_keras_mask(output)), tokens != 0
    )


def test_an_explicit_mask_goes_before_the_implicit_one():
    tokens, mask = (
        np.array([[3, 1, 0, 2, 0]]),
        np.array([[1, 0, 1, 1, 1]], bool),
    )
    embedding = built(keras.layers.Embedding(6, 8, mask_zero=True), (1, 5))
    layer, embedded = stt("random", TEXT), embedding(tokens)
    expected = oracle.stt(
        array(embedded), weights_of(layer), oracle.random, 4, mask=mask
    )
    assert relative_error(layer(embedded, mask=mask), expected) < TOLERANCE


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_causal_text(name, masked):
    mask = random_mask(TEXT) if masked else None
    layer = stt(name, TEXT)
    check(layer, name, normal(*TEXT), None, mask, causal=[1], use_causal_mask=True)


@pytest.mark.parametrize(
    ("causal_axes", "causal"),
    [(None, [1, 2]), (1, [1]), (-2, [2]), ((1, 2), [1, 2]), ([2], [2])],
)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ["random", "factorized_random"])
def test_causal_images(name, masked, causal_axes, causal):
    mask = random_mask(IMAGE) if masked else None
    check(
        stt(name, IMAGE, causal_axes=causal_axes),
        name,
        normal(*IMAGE),
        None,
        mask,
        causal,
        use_causal_mask=True,
    )


@pytest.mark.parametrize("name", KINDS)
def test_integers_are_numbers(name):
    """As floats, where a mean of integers would be cut to an integer."""
    layer = stt(name, IMAGE)
    x = np.random.default_rng(0).integers(0, 4, IMAGE).astype("uint8")
    expected = oracle.stt(x, weights_of(layer), SYNTHESIZERS[name].logits, 4)
    assert relative_error(layer(x), expected) < TOLERANCE


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ["dense", "dot_product"])
def test_causal_along_the_only_attention_axis(name, masked):
    # Synthesised from the input, which is averaged along axis 2 alone.
    mask = random_mask(IMAGE) if masked else None
    layer = stt(name, IMAGE, attention_axes=1)
    check(layer, name, normal(*IMAGE), [1], mask, [1], use_causal_mask=True)


def test_causal_video_with_a_mask():
    layer, mask = stt("random", VIDEO, 2, causal_axes=2), random_mask(VIDEO)
    check(layer, "random", normal(*VIDEO), None, mask, [2], use_causal_mask=True)


@pytest.mark.parametrize("name", ["dense", "random"])
@pytest.mark.parametrize("shape", [TEXT, IMAGE], ids=["text", "image"])
@pytest.mark.parametrize("masked", [False, True])
def test_scores(name, shape, masked):
    layer, x = stt(name, shape), normal(*shape)
    mask = nothing_in_one_example(shape) if masked else None
    if masked:
        mask[0, 1] = False  # a whole slice of the first mode
    _, scores = layer(x, mask=mask, return_attention_scores=True)
    assert len(scores) == len(shape) - 2
    for axis, score in enumerate(scores, start=1):
        logits = SYNTHESIZERS[name].logits(
            np.where(True if mask is None else mask[..., None], x, 0.0),
            oracle.below(weights_of(layer), f"synthesizer_{axis}"),
            axis,
            4,
            mask,
        )
        expected = np.zeros(logits.shape)
        for b, h, i in np.ndindex(logits.shape[:3]):
            columns = [
                j
                for j in range(shape[axis])
                if mask is None or np.take(mask[b], j, axis=axis - 1).any()
            ]
            if columns:
                expected[b, h, i, columns] = oracle.softmax(logits[b, h, i, columns])
        assert relative_error(score, expected) < TOLERANCE


def test_scores_times_the_mask_renormalised_are_the_weights_that_were_used():
    layer, x, mask = stt("dense", IMAGE, 1), normal(*IMAGE), random_mask(IMAGE)
    output, (rows, columns) = layer(x, mask=mask, return_attention_scores=True)
    rows, columns = array(rows)[:, 0], array(columns)[:, 0]
    weights = weights_of(layer)
    value = x @ weights["value/kernel"] + weights["value/bias"]
    y = np.zeros(value.shape)
    for b, i, j in np.ndindex(2, 3, 5):
        share = np.outer(rows[b, i], columns[b, j]) * mask[b]
        y[b, i, j] = np.einsum("hw,hwc->c", share / share.sum(), value[b])
    expected = y @ weights["attention_output/kernel"] + weights["attention_output/bias"]
    assert relative_error(output, expected) < TOLERANCE
