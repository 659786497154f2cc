import keras
import numpy as np
import oracle
import pytest
from support import array, built, normal, relative_error, weights_of

from keras_stt.layers import CrossAttention, STTCrossAttention
from keras_stt.mixers import AxialAttention, GridAttention, Pooling, SelfAttention

IMAGE = (2, 3, 5, 8)


def attention(x, w, mask=None):
    """`MultiHeadAttention` of a sequence `(n, C)`, from its weights, and its scores."""
    query, key, value = (
        np.einsum("nc,chd->nhd", x, w[f"{name}/kernel"]) + w[f"{name}/bias"]
        for name in ("query", "key", "value")
    )
    y, scores = np.zeros(value.shape), np.zeros((value.shape[1], len(x), len(x)))
    for i, h in np.ndindex(*value.shape[:2]):
        valid = [j for j in range(len(x)) if mask is None or mask[j]]
        logits = [query[i, h] @ key[j, h] / np.sqrt(key.shape[-1]) for j in valid]
        scores[h, i, valid] = oracle.softmax(logits)
        y[i, h] = scores[h, i] @ value[:, h]
    output = np.einsum("nhd,hdc->nc", y, w["attention_output/kernel"])
    return output + w["attention_output/bias"], scores


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(2, 5, 8), IMAGE, (2, 3, 5, 4, 8)])
def test_all_positions_are_one_sequence(shape, masked):
    layer, x = built(SelfAttention(4), shape), normal(*shape)
    mask = normal(*shape[:-1]) > 0 if masked else None
    seen = x if mask is None else np.where(mask[..., None], x, 0.0)
    weights = oracle.below(weights_of(layer), "attention")
    found = [
        attention(
            image.reshape(-1, 8), weights, None if mask is None else mask[b].ravel()
        )
        for b, image in enumerate(seen.astype("float64"))
    ]
    expected, scores = map(np.stack, zip(*found, strict=True))
    expected = expected.reshape(shape)
    assert relative_error(layer(x, mask=mask), expected) < 1e-5
    output, returned = layer(x, mask=mask, return_attention_scores=True)
    assert relative_error(output, expected) < 1e-5
    grid = shape[1:-1]
    assert relative_error(returned, scores.reshape(2, 4, *grid, *grid)) < 1e-5


def test_grid_attention_masks_as_the_flattened_one_does():
    layer, flat = (built(kind(4), IMAGE) for kind in (GridAttention, SelfAttention))
    flat.set_weights(layer.get_weights())
    x, mask = normal(*IMAGE), normal(*IMAGE[:-1]) > 0
    expected = array(flat(x, mask=mask))
    assert relative_error(layer(x, mask=mask), expected) < 1e-5
    assert relative_error(layer(x), expected) > 1e-2
    # An implicit mask.
    embedding = keras.layers.Embedding(10, 8, mask_zero=True)
    tokens = np.where(mask, np.random.default_rng(0).integers(1, 10, mask.shape), 0)
    embedded = embedding(tokens)
    expected = array(flat(array(embedded), mask=mask))
    assert relative_error(layer(embedded), expected) < 1e-5


@pytest.mark.parametrize("flag", ["use_causal_mask", "return_attention_scores"])
@pytest.mark.parametrize(
    "layer",
    [SelfAttention(2), AxialAttention(2), CrossAttention(2), STTCrossAttention(2)],
)
@pytest.mark.parametrize("symbolic", [True, False])
def test_flags_are_true_or_false(layer, flag, symbolic):
    if flag not in (*layer.call_options, "return_attention_scores"):
        pytest.skip("takes no such flag")
    x = keras.Input((5, 8)) if symbolic else normal(2, 5, 8)
    inputs = (x, x) if "context_mask" in layer.call_options else (x,)
    with pytest.raises(ValueError, match=f"`{flag}` must be True or False.*{flag}=2"):
        layer(*inputs, **{flag: 2})


@pytest.mark.parametrize("shape", [(2, 5, 8), IMAGE, (2, 3, 5, 4, 8)])
def test_one_axis_after_the_other(shape):
    # Each but the last adds to its input.
    layer, x = built(AxialAttention(2, key_dim=3), shape), normal(*shape)
    expected, scores = x.astype("float64"), []
    for axis in range(1, len(shape) - 1):
        weights = oracle.below(weights_of(layer), f"attention_{axis}")
        fibres = np.moveaxis(expected, axis, -2).copy()
        *outer, size, _ = fibres.shape
        scores.append(np.zeros((*outer, 2, size, size)))
        for position in np.ndindex(*outer):
            fibres[position], scores[-1][position] = attention(
                fibres[position], weights
            )
        mixed = np.moveaxis(fibres, -2, axis)
        expected = mixed if axis == len(shape) - 2 else expected + mixed
    assert relative_error(layer(x), expected) < 1e-5
    output, returned = layer(x, return_attention_scores=True)
    assert relative_error(output, expected) < 1e-5
    for found, wanted in zip(returned, scores, strict=True):
        # Softmaxes of a third attention in a row, in float32.
        assert relative_error(found, np.moveaxis(wanted, -3, 1)) < 1e-4


def test_a_grid_has_no_causal_mask():
    layer = SelfAttention(4)
    for x in (normal(*IMAGE), keras.Input(IMAGE[1:])):
        with pytest.raises(ValueError, match="a grid has no order"):
            layer(x, use_causal_mask=True)


@pytest.mark.parametrize("layer_class", [SelfAttention, AxialAttention])
def test_dropout_is_for_training_only_and_follows_its_seed(layer_class):
    x, outputs = normal(*IMAGE), []
    for seed in (1, 1, 2):
        layer = built(layer_class(4, dropout=0.5, seed=seed), IMAGE)
        expected = array(layer(x))
        np.testing.assert_array_equal(array(layer(x)), expected)
        outputs.append(array(layer(x, training=True)))
        assert not np.array_equal(outputs[-1], expected)
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


@pytest.mark.parametrize("layer_class", [SelfAttention, AxialAttention])
def test_heads(layer_class):
    with pytest.raises(ValueError, match=r"`num_heads` must.*Received: num_heads=0"):
        layer_class(0)
    with pytest.raises(ValueError, match=r"`key_dim` must be .*Received: key_dim=0"):
        layer_class(2, key_dim=0)
    message = "multiple of num_heads=3 where `key_dim` is not given. Received: 8"
    with pytest.raises(ValueError, match=message):
        layer_class(3).build(IMAGE)
    assert tuple(layer_class(3, key_dim=2)(normal(*IMAGE)).shape) == IMAGE


def test_an_explicit_mask_replaces_an_implicit_one():
    tokens = np.array([[3, 1, 0, 2, 0], [4, 0, 0, 0, 0]])
    embedded = keras.layers.Embedding(6, 8, mask_zero=True)(tokens)
    layer = built(SelfAttention(2), (2, 5, 8))
    explicit = np.array([[True] * 5, [True, True, False, False, True]])
    expected = array(layer(array(embedded), mask=explicit))
    actual = array(layer(embedded, mask=explicit))
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    implicit = array(layer(array(embedded), mask=tokens != 0))
    np.testing.assert_allclose(array(layer(embedded)), implicit, atol=1e-6)
    assert relative_error(implicit, expected) > 1e-3


@pytest.mark.parametrize("shape", [(2, 0, 5, 8), (2, 3, 5, 0)])
@pytest.mark.parametrize("layer", [SelfAttention(2), AxialAttention(2), Pooling()])
def test_empty_grids_are_errors_that_name_the_argument(layer, shape):
    with pytest.raises(ValueError, match=r"`inputs`.*Received: inputs.shape="):
        layer.build(shape)
