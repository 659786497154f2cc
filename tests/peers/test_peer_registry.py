"""Which peers there are, by name, and what each of them costs."""

import math

import pytest
from support import normal

from keras_stt import peers
from keras_stt.models import MIXERS
from keras_stt.models.mixers import Mixer

GRID, WIDTH, HEADS = (6, 12), 24, 3

CLASSES = {
    "mha-axes": peers.GridAttention,
    "mlp-mixer": peers.TokenMLP,
    "gmlp": peers.SpatialGating,
    "external-attention": peers.ExternalAttention,
    "linformer": peers.LinformerAttention,
    "dynamixer": peers.DynamicMixing,
    "pooling": peers.Pooling,
}


def test_the_peers_of_the_benchmark():
    assert set(peers.PEERS) == set(CLASSES)
    assert not set(peers.PEERS) & set(MIXERS)
    for name, peer in peers.PEERS.items():
        assert isinstance(peer, Mixer)
        assert peer.description
        layer = peer.build(WIDTH, HEADS)
        assert type(layer) is CLASSES[name]
        assert layer.name == "mixer"
        assert peer.build(WIDTH, HEADS) is not layer
        assert layer(normal(1, *GRID, WIDTH)).shape == (1, *GRID, WIDTH)
    assert peers.PEERS["mha-axes"].build(WIDTH, HEADS).num_heads == HEADS
    assert peers.PEERS["linformer"].build(WIDTH, HEADS).num_heads == HEADS
    assert peers.PEERS["dynamixer"].build(WIDTH, HEADS).segments == HEADS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # N = 72, C = 24, N·C² = 41472; 2·72²·24.
        ("mha-axes", 4 * 41472 + 248832),
        # From 72 positions to 12, and back, for 24 channels.
        ("mlp-mixer", 2 * 72 * 12 * 24),
        # C to 2·C, C to C, and 72²·24.
        ("gmlp", 3 * 41472 + 124416),
        # 64 memory units.
        ("external-attention", 2 * 41472 + 2 * 72 * 64 * 24),
        # Twice 64 rows from 72; keys and values of 64, queries and output of 72;
        # scores and their products with the values.
        ("linformer", 128 * 72 * 24 + 136 * 2 * 576 + 2 * 72 * 64 * 24),
        # 4 dense layers; features twice 24·6; 6 rows and 12 columns of 3 segments with
        # (2·12)·12² and (2·6)·6²; products with 12 and with 6.
        (
            "dynamixer",
            4 * 41472
            + 2 * 72 * 24 * 6
            + 3 * (6 * 24 * 144 + 12 * 12 * 36)
            + 72 * 24 * (12 + 6),
        ),
        ("pooling", 9 * 72 * 24),
    ],
)
def test_multiply_adds_by_hand(name, expected):
    assert peers.PEERS[name].multiply_adds(GRID, WIDTH, HEADS) == expected


# How often each matrix of weights is used for an image, but for those of 72 positions.
USES = {
    "mlp-mixer": {"hidden": WIDTH, "output": WIDTH},
    "gmlp": {"spatial": WIDTH},
    "linformer": {"project": WIDTH, "key": 64, "value": 64},
    "dynamixer": {"generate_rows": 6 * HEADS, "generate_columns": 12 * HEADS},
}
# The products of two activations.
PRODUCTS = {
    "mha-axes": 2 * 72 * 72 * WIDTH,
    "linformer": 2 * 72 * 64 * WIDTH,
    "dynamixer": 72 * WIDTH * (6 + 12),
    "pooling": 9 * 72 * WIDTH,
}


@pytest.mark.parametrize("name", peers.PEERS)
def test_multiply_adds_of_the_weights(name):
    layer = peers.PEERS[name].build(WIDTH, HEADS)
    layer.build((None, *GRID, WIDTH))
    counted = PRODUCTS.get(name, 0)
    for variable in layer.weights:
        *_, owner, kind = variable.path.split("/")
        if kind == "kernel":
            uses = USES.get(name, {}).get(owner, math.prod(GRID))
            counted += uses * math.prod(variable.shape)
    assert peers.PEERS[name].multiply_adds(GRID, WIDTH, HEADS) == counted


def test_linformer_of_a_small_grid():
    # N = k = 15: 2·15·64·2 for the dense layers, 4·15·15·8.
    assert peers.PEERS["linformer"].multiply_adds((3, 5), 8, 4) == 3840 + 7200


def test_all_names_are_public_and_sorted():
    def isort_style(name):
        return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)

    assert peers.__all__ == sorted(peers.__all__, key=isort_style)
    assert all(hasattr(peers, name) for name in peers.__all__)
