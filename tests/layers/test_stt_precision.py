"""The STT layer in low precision, and far from the logits of a fresh layer."""

import keras
import numpy as np
import oracle
import pytest
from cases import KINDS, SYNTHESIZERS
from support import array, built, gradients, normal, relative_error, weights_of

from keras_stt.layers import STT
from keras_stt.synthesizers import Mixture

IMAGE = (2, 3, 5, 8)
POLICIES = {
    "float16": ("float16", "float16", 0.03),
    "mixed_float16": ("float16", "float32", 0.03),
    "bfloat16": ("bfloat16", "bfloat16", 0.15),
    "mixed_bfloat16": ("bfloat16", "float32", 0.15),
}


def image_mask():
    mask = np.random.default_rng(0).random(IMAGE[:-1]) < 0.6
    mask[0] = False
    return mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", KINDS)
def test_half_precision(name, policy, masked):
    compute, variable, tolerance = POLICIES[policy]
    layer = built(
        STT(4, synthesizer=SYNTHESIZERS[name].make(), dtype=policy, dropout=0.1), IMAGE
    )
    # Centers and widths keep float32: half precision miscounts long modes.
    kept = {"float32"} if name == "gaussian" else set()
    assert {w.dtype for w in layer.weights} == {variable} | kept
    x, mask = normal(*IMAGE), image_mask() if masked else None
    output, scores = layer(x, mask=mask, return_attention_scores=True)
    for tensor in (output, *scores):
        assert keras.backend.standardize_dtype(tensor.dtype) == compute
    expected = oracle.stt(x, weights_of(layer), SYNTHESIZERS[name].logits, 4, mask=mask)
    assert relative_error(output, expected) < tolerance
    trained = layer(x, mask=mask, training=True)
    assert keras.backend.standardize_dtype(trained.dtype) == compute
    assert np.isfinite(array(trained)).all()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "float32"])
@pytest.mark.parametrize("name", [*KINDS, "mixture_of_two_that_overflow"])
def test_large_logits_give_no_nan(name, policy, masked):
    # Logits beyond 65504, the greatest float16.
    synthesizer = (
        SYNTHESIZERS[name].make()
        if name in SYNTHESIZERS
        else Mixture(["dot_product", "dense"])
    )
    layer = STT(4, synthesizer=synthesizer, dtype=policy)
    layer.build(IMAGE)
    rng = np.random.default_rng(0)
    for synthesizer in layer.synthesizers:
        for weight in synthesizer.weights:
            weight.assign(12 * rng.normal(size=weight.shape))
    mask = image_mask() if masked else None
    x = 30 * normal(*IMAGE)
    output, scores = layer(x, mask=mask, return_attention_scores=True)
    assert np.isfinite(array(output)).all()
    for score in scores:
        sums = array(score).sum(axis=-1)[1 if masked else 0]
        np.testing.assert_allclose(sums, 1.0, rtol=1e-2)


@pytest.mark.parametrize("gap", [20.0, 45.0, 60.0, 80.0])
def test_gradients_are_finite_where_the_valid_positions_weigh_little(gap):
    # The diagonal is valid; the rows prefer the first, the columns the second: all
    # that is valid weighs 2·exp(-gap). Its square, in the derivative, leaves float32.
    layer = built(STT(1, synthesizer="random"), (1, 2, 2, 2))
    rows, columns = layer.synthesizers
    rows.logits.assign([[[0, -gap], [0, -gap]]])
    columns.logits.assign([[[-gap, 0], [-gap, 0]]])
    x, mask = normal(1, 2, 2, 2), np.eye(2, dtype=bool)[None]
    expected = oracle.stt(x, weights_of(layer), oracle.random, 1, mask=mask)
    assert relative_error(layer(x, mask=mask), expected) < 1e-4
    share = normal(1, 2, 2, 2, seed=1)
    dx, grads = gradients(layer, x, share, mask=mask)
    assert all(np.isfinite(g).all() for g in (dx, *grads.values()))
    # Both valid positions weigh one half, and an eighth more of one makes a difference.
    assert np.abs(grads["synthesizer_1/logits"]).max() > 1e-3


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("policy", ["float32", *POLICIES])
def test_dropout_of_nothing_changes_nothing(policy, masked):
    """Where the valid positions weigh less than half precision can tell from 0."""
    gap = 20.0
    layer = built(
        STT(1, synthesizer="random", dropout=1e-7, dtype=policy), (1, 2, 2, 2)
    )
    rows, columns = layer.synthesizers
    rows.logits.assign([[[0, -gap], [0, -gap]]])
    columns.logits.assign([[[-gap, 0], [-gap, 0]]])
    x, mask = normal(1, 2, 2, 2), np.eye(2, dtype=bool)[None] if masked else None
    expected = array(layer(x, mask=mask))
    assert relative_error(layer(x, mask=mask, training=True), expected) < 1e-2


def test_where_the_valid_positions_weigh_less_than_any_float32():
    """Documented: attention to nothing, as if all were masked, and no NaN."""
    gap = 110.0
    layer = built(STT(1, synthesizer="random"), (1, 2, 2, 2))
    rows, columns = layer.synthesizers
    rows.logits.assign([[[0, -gap], [0, -gap]]])
    columns.logits.assign([[[-gap, 0], [-gap, 0]]])
    output = array(layer(normal(1, 2, 2, 2), mask=np.eye(2, dtype=bool)[None]))
    bias = array(layer.output_dense.bias.value)
    np.testing.assert_array_equal(output, np.broadcast_to(bias, output.shape))


def test_padding_with_nan_does_no_harm():
    layer, x, mask = built(STT(4), IMAGE), normal(*IMAGE), image_mask()
    expected = array(layer(x, mask=mask))
    x[~mask] = np.nan
    np.testing.assert_array_equal(array(layer(x, mask=mask)), expected)


def test_nan_at_a_valid_position_is_not_hidden():
    layer, x = built(STT(4), IMAGE), normal(*IMAGE)
    x[1, 2, 3, 4] = np.nan
    for mask in (None, np.ones(IMAGE[:-1], bool)):
        output = array(layer(x, mask=mask))
        assert np.isfinite(output[0]).all()
        assert np.isnan(output[1]).any()
