"""The two ways to read a grid, against loops, and the block around them."""

import itertools

import keras
import numpy as np
import oracle
import pytest
from support import array, normal, relative_error, weights_of

from keras_stt.layers import STT, CrossAttention, STTBlock, STTCrossAttention

TEXT, HEADS = (2, 4, 8), 2
GRIDS = [(2, 3, 6), (2, 3, 5, 6), (2, 3, 5, 7, 6)]
IMAGE = GRIDS[1]


def pair(layer, grid):
    layer.build(TEXT, grid)
    return built_already(layer), normal(*TEXT), normal(*grid, seed=1)


def built_already(layer):
    rng = np.random.default_rng(0)
    for variable in layer.weights:
        variable.assign(rng.normal(0, 0.5, variable.shape))
    return layer


@pytest.mark.parametrize("grid", GRIDS, ids=["text", "image", "video"])
def test_synthesised_reading(grid):
    layer, x, context = pair(STTCrossAttention(HEADS, value_dim=3, hidden_dim=5), grid)
    w, sizes = weights_of(layer), grid[1:-1]
    value = context @ w["value/kernel"] + w["value/bias"]
    hidden = oracle.gelu(x @ w["hidden/kernel"] + w["hidden/bias"])
    scores = []
    for axis, size in enumerate(sizes, start=1):
        logits = hidden @ w[f"logits_{axis}/kernel"] + w[f"logits_{axis}/bias"]
        logits = logits.reshape(*TEXT[:2], HEADS, size).transpose(0, 2, 1, 3)
        score = np.zeros(logits.shape)
        for index in np.ndindex(*logits.shape[:3]):
            score[index] = oracle.softmax(logits[index])
        scores.append(score)
    read = np.zeros((*TEXT[:2], HEADS * 3))
    for b, t, h in np.ndindex(*TEXT[:2], HEADS):
        for position in itertools.product(*map(range, sizes)):
            share = np.prod(
                [s[b, h, t, p] for s, p in zip(scores, position, strict=True)]
            )
            head = slice(3 * h, 3 * h + 3)
            read[b, t, head] += share * value[(b, *position)][head]
    expected = read @ w["attention_output/kernel"] + w["attention_output/bias"]
    output, found = layer(x, context, return_attention_scores=True)
    assert relative_error(output, expected) < 1e-5
    assert len(found) == len(sizes)
    for score, wanted in zip(found, scores, strict=True):
        assert relative_error(score, wanted) < 1e-5
    np.testing.assert_array_equal(array(layer(x, context)), array(output))


@pytest.mark.parametrize("grid", GRIDS, ids=["text", "image", "video"])
def test_reading_by_dot_products(grid):
    layer, x, context = pair(CrossAttention(HEADS, key_dim=3), grid)
    w = {k.removeprefix("attention/"): v for k, v in weights_of(layer).items()}
    sequence = context.reshape(2, -1, 6)
    query, key, value = (
        np.einsum("btc,chd->bhtd", source, w[f"{n}/kernel"]) + w[f"{n}/bias"][:, None]
        for n, source in (("query", x), ("key", sequence), ("value", sequence))
    )
    scores = np.zeros((2, HEADS, TEXT[1], sequence.shape[1]))
    for b, h, t in np.ndindex(*scores.shape[:3]):
        scores[b, h, t] = oracle.softmax(key[b, h] @ query[b, h, t] / np.sqrt(3))
    read = np.einsum("bhtn,bhnd->bthd", scores, value)
    kernel = w["attention_output/kernel"]
    expected = np.einsum("bthd,hdc->btc", read, kernel) + w["attention_output/bias"]
    output, found = layer(x, context, return_attention_scores=True)
    assert relative_error(output, expected) < 1e-5
    wanted = scores.reshape(*scores.shape[:3], *grid[1:-1])
    assert relative_error(found, wanted) < 1e-5


@pytest.mark.parametrize("layer", [CrossAttention, STTCrossAttention])
@pytest.mark.parametrize("scores", [False, True])
def test_symbolic_and_eager_outputs_agree(layer, scores):
    symbolic = layer(HEADS)(
        keras.KerasTensor(TEXT),
        keras.KerasTensor(IMAGE),
        return_attention_scores=scores,
    )
    eager = layer(HEADS)(normal(*TEXT), normal(*IMAGE), return_attention_scores=scores)
    for one, other in zip(
        keras.tree.flatten(symbolic), keras.tree.flatten(eager), strict=True
    ):
        assert tuple(one.shape) == tuple(other.shape)


@pytest.mark.parametrize("layer", [CrossAttention(2, 3), STTCrossAttention(2, 3, 5)])
def test_configs(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("cross", [CrossAttention, STTCrossAttention])
def test_the_block_of_a_decoder(cross):
    """Mixer, cross-attention and MLP, each with norm and residual."""
    block = STTBlock(STT(HEADS), cross_attention=cross(HEADS))
    block.build(TEXT, IMAGE)
    block, x, context = built_already(block), normal(*TEXT), normal(*IMAGE, seed=1)
    mixed = x + array(block.mixer(block.mixer_norm(x)))
    read = mixed + array(block.cross_attention(block.cross_norm(mixed), context))
    expected = read + array(block.project(block.expand(block.mlp_norm(read))))
    assert relative_error(block(x, context), expected) < 1e-5
    again = STTBlock.from_config(block.get_config())
    again.build(TEXT, IMAGE)
    again.set_weights(block.get_weights())
    assert relative_error(again(x, context), expected) < 1e-5


@pytest.mark.parametrize(
    ("cross", "context", "message"),
    [
        (None, normal(*IMAGE), "only then. Received: a context"),
        (STTCrossAttention(HEADS), None, "`context` must be given"),
    ],
)
def test_context_and_cross_attention_go_together(cross, context, message):
    with pytest.raises(ValueError, match=message):
        STTBlock(STT(HEADS), cross_attention=cross)(normal(*TEXT), context)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CrossAttention(0), "`num_heads`"),
        (lambda: CrossAttention(2, 0), "`key_dim`"),
        (lambda: STTCrossAttention(0), "`num_heads`"),
        (lambda: STTCrossAttention(2, 0), "`value_dim`"),
        (lambda: STTCrossAttention(2, None, 0), "`hidden_dim`"),
        (lambda: STTBlock(cross_attention="mha"), "`cross_attention`.*Received: "),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_grid_of_unknown_size_is_an_error():
    with pytest.raises(ValueError, match="The grid's sizes must be known"):
        STTCrossAttention(2).build(TEXT, (None, None, 5, 6))
