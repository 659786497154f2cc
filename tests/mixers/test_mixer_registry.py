"""What the token mixers are, and what each of them costs."""

import math

import keras
import numpy as np
import pytest
from support import built, normal

from keras_stt import mixers
from keras_stt.layers import STT, DepthwiseSTT
from keras_stt.mixers import MIXERS, AxialAttention, SelfAttention

GRID, WIDTH, HEADS = (6, 10), 24, 3
LOCAL = (
    *("none", "pooling", "dynamixer", "shift"),
    *("stt-depthwise", "stt-depthwise-bounded"),
    *("depthwise-conv", "depthwise-conv-3", "depthwise-conv-5", "strip-conv"),
)


def build(name):
    return MIXERS[name].build(WIDTH, HEADS)


def test_the_mixers_of_the_comparison():
    expected = {
        "stt-dense": (STT, "Dense"),
        "stt-random": (STT, "Random"),
        "stt-factorized-dense": (STT, "FactorizedDense"),
        "stt-factorized-random": (STT, "FactorizedRandom"),
        "stt-mixture": (STT, "Mixture"),
        "stt-mixture-dot": (STT, "Mixture"),
        "stt-depthwise": (DepthwiseSTT, "Gaussian"),
        "stt-depthwise-synthesized": (DepthwiseSTT, "Gaussian"),
        "stt-depthwise-bounded": (DepthwiseSTT, "Gaussian"),
        "mha": (SelfAttention, None),
        "axial-mha": (AxialAttention, None),
        "depthwise-conv": (keras.layers.DepthwiseConv2D, None),
        "none": (keras.layers.Dense, None),
        "mha-axes": (mixers.GridAttention, None),
        "mlp-mixer": (mixers.TokenMLP, None),
        "gmlp": (mixers.SpatialGating, None),
        "external-attention": (mixers.ExternalAttention, None),
        "linformer": (mixers.LinformerAttention, None),
        "dynamixer": (mixers.DynamicMixing, None),
        "pooling": (mixers.Pooling, None),
        "depthwise-conv-3": (keras.layers.DepthwiseConv2D, None),
        "depthwise-conv-5": (keras.layers.DepthwiseConv2D, None),
        "strip-conv": (mixers.StripConvolution, None),
        "local-global": (mixers.LocalGlobal, None),
        "shift": (mixers.Shift, None),
    }
    assert set(MIXERS) == set(expected)
    for name, (layer_class, synthesizer) in expected.items():
        layer = MIXERS[name].build(WIDTH, HEADS)
        assert type(layer) is layer_class, name
        if synthesizer:
            assert type(layer.synthesizer).__name__ == synthesizer
        if hasattr(layer, "num_heads"):
            assert layer.num_heads == HEADS
        assert layer.name == "mixer"
        assert MIXERS[name].description
    assert MIXERS["dynamixer"].build(WIDTH, HEADS).segments == HEADS
    assert MIXERS["stt-depthwise-synthesized"].build(WIDTH, HEADS).amplitude == (
        "synthesized"
    )
    bounded = [name for name in MIXERS if getattr(build(name), "bounded", False)]
    assert bounded == ["stt-depthwise-bounded"]


@pytest.mark.parametrize(
    ("name", "components"),
    [
        ("stt-mixture", ["Random", "Dense"]),
        ("stt-mixture-dot", ["Random", "DotProduct"]),
    ],
)
def test_what_the_mixtures_mix(name, components):
    mixture = MIXERS[name].build(WIDTH, HEADS).synthesizer
    assert [type(s).__name__ for s in mixture.synthesizers] == components


@pytest.mark.parametrize("name", MIXERS)
def test_who_mixes_positions(name):
    # The neighbour in the row: all but `none`. Another row and column, far apart: all
    # but windows and what mixes one row or column at a time.
    layer, x = MIXERS[name].build(WIDTH, HEADS), normal(1, *GRID, WIDTH)
    assert MIXERS[name].build(WIDTH, HEADS) is not layer
    layer = built(layer, x.shape)
    before = keras.ops.convert_to_numpy(layer(x))
    x[0, 0, 0] += 10.0
    assert before.shape == x.shape
    change = np.abs(keras.ops.convert_to_numpy(layer(x)) - before).max(axis=-1)[0]
    assert change[0, 0] > 1e-3
    assert (change[0, 1] > 1e-6) == (name != "none")
    assert (change[5, 9] > 1e-6) == (name not in LOCAL)


def multiply_adds(jaxpr):
    """The multiply-adds of all matrix products and convolutions of a jaxpr."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += equation.outvars[0].aval.size * math.prod(
                shape[axis] for axis in contracted
            )
        elif equation.primitive.name == "conv_general_dilated":
            numbers = equation.params["dimension_numbers"]
            kernel = equation.invars[1].aval.shape
            outputs = kernel[numbers.rhs_spec[0]]
            total += equation.outvars[0].aval.size * (math.prod(kernel) // outputs)
        total += sum(multiply_adds(inner) for inner in inner_jaxprs(equation.params))
    return total


def inner_jaxprs(parameters):
    for value in parameters.values():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                yield item


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="counts the operations of JAX's trace"
)
@pytest.mark.parametrize("name", sorted(set(MIXERS) - {"pooling", "shift"}))
def test_multiply_adds_are_those_that_jax_traces(name):
    import jax

    layer = MIXERS[name].build(WIDTH, HEADS)
    layer.build((None, *GRID, WIDTH))
    values = [
        [v.value for v in vs]
        for vs in (layer.trainable_variables, layer.non_trainable_variables)
    ]
    traced = jax.make_jaxpr(lambda x: layer.stateless_call(*values, x))(
        np.zeros((1, *GRID, WIDTH), "float32")
    )
    counted = multiply_adds(traced.jaxpr)
    assert counted > 0
    assert MIXERS[name].multiply_adds(GRID, WIDTH, HEADS) == counted


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # N = 60, C = 24, Σn = 16; two projections 2·60·24², products 60·24·16.
        ("stt-random", 69120 + 23040),
        # + per mode 24·32·n + 32·3·n².
        ("stt-dense", 69120 + 23040 + 24 * 32 * 16 + 96 * (36 + 100)),
        ("stt-mixture", 69120 + 23040 + 24 * 32 * 16 + 96 * (36 + 100)),
        # + per mode 24·3·n·(a + b), with 6 = 2·3 and 10 = 2·5.
        ("stt-factorized-dense", 69120 + 23040 + 72 * (6 * 5 + 10 * 7)),
        # + per mode 8·3·n².
        ("stt-factorized-random", 69120 + 23040 + 24 * (36 + 100)),
        # + per mode 2·n·24² + 24·n².
        ("stt-mixture-dot", 69120 + 23040 + 1152 * 16 + 24 * (36 + 100)),
        # Two terms of 60·24·16, and 24·48 for the amplitudes.
        ("stt-depthwise", 46080),
        ("stt-depthwise-synthesized", 46080 + 1152),
        ("stt-depthwise-bounded", 46080),
        # 4·60·24² + 2·60²·24.
        ("mha", 138240 + 172800),
        # 8·60·24² + 2·60·24·16.
        ("axial-mha", 276480 + 46080),
        ("depthwise-conv", 49 * 60 * 24),
        ("none", 60 * 24**2),
    ],
)
def test_multiply_adds_by_hand(name, expected):
    assert MIXERS[name].multiply_adds(GRID, WIDTH, HEADS) == expected


PEER_GRID = (6, 12)


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
        ("depthwise-conv-3", 9 * 72 * 24),
        ("depthwise-conv-5", 25 * 72 * 24),
        ("strip-conv", 14 * 72 * 24),
        ("local-global", 9 * 72 * 24),
        ("shift", 0),
    ],
)
def test_multiply_adds_of_the_peers_by_hand(name, expected):
    assert MIXERS[name].multiply_adds(PEER_GRID, WIDTH, HEADS) == expected


PEERS = (
    *("mha-axes", "mlp-mixer", "gmlp", "external-attention", "linformer"),
    *("dynamixer", "pooling", "depthwise-conv-3", "depthwise-conv-5", "strip-conv"),
    *("local-global", "shift"),
)

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


@pytest.mark.parametrize("name", PEERS)
def test_multiply_adds_of_the_weights(name):
    layer = MIXERS[name].build(WIDTH, HEADS)
    layer.build((None, *PEER_GRID, WIDTH))
    counted = PRODUCTS.get(name, 0)
    for variable in layer.weights:
        *_, owner, kind = variable.path.split("/")
        if kind == "kernel":
            uses = USES.get(name, {}).get(owner, math.prod(PEER_GRID))
            counted += uses * math.prod(variable.shape)
    assert MIXERS[name].multiply_adds(PEER_GRID, WIDTH, HEADS) == counted


def test_linformer_of_a_small_grid():
    # N = k = 15: 2·15·64·2 for the dense layers, 4·15·15·8.
    assert MIXERS["linformer"].multiply_adds((3, 5), 8, 4) == 3840 + 7200
