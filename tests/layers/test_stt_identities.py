"""STT against what it is equal to: flattened and one-mode Synthesizers."""

import numpy as np
import oracle
import pytest
from support import built, normal, relative_error, weights_of

from keras_stt.layers import STT
from keras_stt.synthesizers import Dense

TOLERANCE = 1e-5


def random_synthesizer(logits, value, mask=None):
    """`Y = softmax(R) G(X)` of one head: Tay et al., equation 7."""
    weights = np.exp(logits) if mask is None else np.exp(logits) * mask
    return weights / weights.sum(axis=-1, keepdims=True) @ value


def projections(weights):
    return (
        lambda x: x @ weights["value/kernel"] + weights["value/bias"],
        lambda y: (
            y @ weights["attention_output/kernel"] + weights["attention_output/bias"]
        ),
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 5, 8), (2, 3, 5, 4, 8)])
def test_random_is_the_flattened_random_synthesizer_of_a_kronecker_sum(shape, masked):
    batch, *sizes, channels = shape
    heads, positions = 4, int(np.prod(sizes))
    layer, x = built(STT(heads, synthesizer="random"), shape), normal(*shape)
    mask = np.random.default_rng(0).random(shape[:-1]) < 0.5 if masked else None
    weights = weights_of(layer)
    # R[(h, w), (h', w')] = R_1[h, h'] + R_2[w, w'], entry by entry.
    logits = np.zeros((heads, positions, positions))
    grid = list(np.ndindex(*sizes))
    for (row, query), (column, key) in (
        (a, b) for a in enumerate(grid) for b in enumerate(grid)
    ):
        for axis, (i, j) in enumerate(zip(query, key, strict=True), start=1):
            logits[:, row, column] += weights[f"synthesizer_{axis}/logits"][:, i, j]
    value, output = projections(weights)
    flat = value(x.reshape(batch, positions, channels).astype("float64"))
    y = np.concatenate(
        [
            np.stack(
                [
                    random_synthesizer(
                        logits[h],
                        flat[b][:, 2 * h : 2 * h + 2],
                        None if mask is None else mask[b].reshape(1, -1),
                    )
                    for b in range(batch)
                ]
            )
            for h in range(heads)
        ],
        axis=-1,
    )
    expected = output(y).reshape(shape)
    assert relative_error(layer(x, mask=mask), expected) < TOLERANCE


def test_one_mode_is_the_random_synthesizer_of_tay_et_al():
    layer, x = built(STT(1, synthesizer="random"), (2, 5, 8)), normal(2, 5, 8)
    weights = weights_of(layer)
    value, output = projections(weights)
    logits = weights["synthesizer_1/logits"][0]
    expected = output(random_synthesizer(logits, value(x.astype("float64"))))
    assert relative_error(layer(x), expected) < TOLERANCE


def test_one_mode_is_the_dense_synthesizer_of_tay_et_al():
    # Equations 2 to 5: B_i = W_2 σ_R(W_1 X_i + b_1) + b_2, Y = softmax(B) G(X).
    layer, x = built(STT(1, synthesizer=Dense(7)), (2, 5, 8)), normal(2, 5, 8)
    weights = weights_of(layer)
    value, output = projections(weights)
    w1, b1, w2, b2 = (
        weights[f"synthesizer_1/{name}"]
        for name in ("hidden/kernel", "hidden/bias", "logits/kernel", "logits/bias")
    )
    expected = np.zeros(x.shape)
    for example, sequence in enumerate(x.astype("float64")):
        logits = np.array(
            [w2.T @ np.maximum(w1.T @ x_i + b1, 0) + b2 for x_i in sequence]
        )
        expected[example] = output(random_synthesizer(logits, value(sequence)))
    assert relative_error(layer(x), expected) < TOLERANCE


def test_the_oracle_without_a_mask_is_a_chain_of_mode_products():
    # The oracle flattens; this is the specification's other side, Y = V ×₁A₁ ×₂A₂.
    weights = weights_of(built(STT(2, synthesizer="random"), (1, 3, 5, 8)))
    x = normal(1, 3, 5, 8).astype("float64")
    value, output = projections(weights)
    y = oracle.heads_of(value(x), 2)
    for head in range(2):
        for axis in (1, 2):
            logits = weights[f"synthesizer_{axis}/logits"][head]
            matrix = np.array([oracle.softmax(row) for row in logits])
            y[..., head, :] = oracle.mode_product(y[..., head, :], matrix, axis)
    expected = output(y.reshape(x.shape))
    actual = oracle.stt(x, weights, oracle.random, 2)
    assert relative_error(actual, expected) < 1e-12
