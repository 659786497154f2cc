"""Every peer: against its equations, in half precision, trained, saved, misused."""

import inspect
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import peer_oracle
import pytest
from support import (
    array,
    built,
    gradients,
    normal,
    randomize,
    relative_error,
    weights_of,
)

from keras_stt import mixers

SHAPE = (2, 3, 5, 8)


@dataclass(frozen=True)
class Case:
    """A peer, its arguments, and the arguments that are errors."""

    make: type
    oracle: Any
    arguments: dict = field(default_factory=dict)
    wrong: dict = field(default_factory=dict)
    fixed_grid: bool = False


CASES = {
    "grid_attention": Case(
        mixers.GridAttention,
        peer_oracle.grid_attention,
        {"num_heads": 4},
        {"num_heads": 0, "key_dim": 0.5},
    ),
    "token_mlp": Case(
        mixers.TokenMLP,
        peer_oracle.token_mlp,
        {},
        {"hidden_dim": 0},
        fixed_grid=True,
    ),
    "token_mlp_hidden": Case(
        mixers.TokenMLP,
        peer_oracle.token_mlp,
        {"hidden_dim": 7},
        {"hidden_dim": "7"},
        fixed_grid=True,
    ),
    "spatial_gating": Case(
        mixers.SpatialGating, peer_oracle.spatial_gating, fixed_grid=True
    ),
    "external_attention": Case(
        mixers.ExternalAttention,
        peer_oracle.external_attention,
        {"memory_dim": 6},
        {"memory_dim": -1},
    ),
    "linformer_attention": Case(
        mixers.LinformerAttention,
        peer_oracle.linformer_attention,
        {"num_heads": 4, "projected": 7},
        {"num_heads": None, "projected": 0},
        fixed_grid=True,
    ),
    # More than there are positions.
    "linformer_attention_all": Case(
        mixers.LinformerAttention,
        peer_oracle.linformer_attention,
        {"num_heads": 4, "projected": 64},
        {"num_heads": True},
        fixed_grid=True,
    ),
    "dynamic_mixing": Case(
        mixers.DynamicMixing,
        peer_oracle.dynamic_mixing,
        {"segments": 4, "hidden_dim": 3},
        {"segments": 0, "hidden_dim": 0},
        fixed_grid=True,
    ),
    "strip_convolution": Case(
        mixers.StripConvolution,
        peer_oracle.strip_convolution,
        {"kernel_size": 5},
        {"kernel_size": 0},
    ),
    "local_global": Case(
        mixers.LocalGlobal,
        peer_oracle.local_global,
        {"kernel_size": 3},
        {"kernel_size": "3"},
    ),
    # Of 8 channels, one for each offset but the last.
    "shift": Case(mixers.Shift, peer_oracle.shift, {"window": 3}, {"window": 0}),
    "pooling": Case(
        mixers.Pooling, peer_oracle.pooling, {"pool_size": 3}, {"pool_size": 0}
    ),
    "pooling_wide": Case(
        mixers.Pooling, peer_oracle.pooling, {"pool_size": 5}, {"pool_size": (3, 3)}
    ),
}


def cases(*names, **selection):
    chosen = names or [
        name
        for name, case in CASES.items()
        if all(getattr(case, key) == value for key, value in selection.items())
    ]
    return pytest.mark.parametrize(
        "case", [pytest.param(CASES[name], id=name) for name in chosen]
    )


def layer_of(case, shape=SHAPE, **options):
    return built(case.make(**case.arguments, **options), shape)


def test_every_peer_has_a_case():
    classes = {
        item
        for name in mixers.__all__
        if isinstance(item := getattr(mixers, name), type)
        and issubclass(item, mixers.GridMixer | mixers.GridAttention)
        and item is not mixers.GridMixer
    }
    assert {case.make for case in CASES.values()} == classes


@cases()
def test_the_equations(case):
    layer, x = layer_of(case), normal(*SHAPE)
    expected = case.oracle(weights_of(layer), x.astype("float64"), **case.arguments)
    assert relative_error(layer(x), expected) < 1e-5


@cases()
def test_bfloat16_is_close_to_float32(case):
    x = normal(*SHAPE)
    full, mixed = layer_of(case), layer_of(case, dtype="mixed_bfloat16")
    expected, actual = array(full(x)), mixed(x)
    assert keras.backend.standardize_dtype(actual.dtype) == "bfloat16"
    assert np.isfinite(array(actual)).all()
    assert relative_error(actual, expected) < 0.05


@cases()
def test_the_gradient_reaches_every_weight(case):
    layer, x = layer_of(case), normal(*SHAPE)
    for_inputs, for_weights = gradients(layer, x, share=normal(*SHAPE, seed=1))
    assert np.abs(for_inputs).max() > 1e-3
    assert len(for_weights) == len(layer.weights)
    for path, gradient in for_weights.items():
        # A bias of the keys adds the same to all logits of a query.
        expected_none = path == "attention/key/bias"
        assert (np.abs(gradient).max() < 1e-4) == expected_none, path


@cases()
def test_the_config(case):
    layer = case.make(**case.arguments)
    names = {"name", "trainable", "dtype"}
    for base in case.make.__mro__[: case.make.__mro__.index(keras.layers.Layer)]:
        if "__init__" in vars(base):
            names |= set(inspect.signature(base.__init__).parameters)
    config = layer.get_config()
    assert set(config) == names - {"self", "args", "kwargs"}
    assert case.make.from_config(config).get_config() == config
    assert {name: config[name] for name in case.arguments} == case.arguments
    registered = keras.saving.get_registered_name(case.make)
    assert registered == f"keras_stt>{case.make.__name__}"


def test_saved_and_loaded(tmp_path):
    image = keras.Input(SHAPE[1:])
    x = image
    for name, case in CASES.items():
        x = keras.layers.Add()([x, case.make(**case.arguments, name=name)(x)])
    model = randomize(keras.Model(image, x), stddev=0.3)
    model.save(tmp_path / "peers.keras")
    loaded = keras.saving.load_model(tmp_path / "peers.keras")
    expected = array(model(normal(*SHAPE)))
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(array(loaded(normal(*SHAPE))), expected)


@cases()
def test_the_shape_stays(case):
    layer = case.make(**case.arguments)
    assert layer.compute_output_shape((None, *SHAPE[1:])) == (None, *SHAPE[1:])
    output = layer(keras.Input(SHAPE[1:]))
    assert tuple(output.shape) == (None, *SHAPE[1:])


@cases(fixed_grid=False)
def test_any_grid(case):
    layer = layer_of(case, (None, None, None, 8))
    x = normal(2, 4, 3, 8)
    expected = case.oracle(weights_of(layer), x.astype("float64"), **case.arguments)
    assert relative_error(layer(x), expected) < 1e-5


@cases(fixed_grid=True)
def test_errors_of_other_grids(case):
    with pytest.raises(ValueError, match=r"must be known.*Received: .*None, 5, 8"):
        case.make(**case.arguments).build((2, None, 5, 8))
    # As many positions, other rows.
    layer = layer_of(case)
    with pytest.raises(ValueError, match="expected axis 1 of input shape"):
        layer(normal(2, 5, 3, 8))


@cases()
@pytest.mark.parametrize("shape", [(2, 15, 8), (2, 3, 5, 7, 8)])
def test_errors_of_the_rank(case, shape):
    expected = r"two modes, of shape \(B, H, W, C\)\. Received: input_shape=\(2, "
    with pytest.raises(ValueError, match=expected):
        case.make(**case.arguments)(normal(*shape))


@pytest.mark.parametrize(
    ("case", "name", "value"),
    [
        pytest.param(case, argument, value, id=f"{name}-{argument}")
        for name, case in CASES.items()
        for argument, value in case.wrong.items()
    ],
)
def test_errors_of_arguments(case, name, value):
    expected = rf"`{name}` must be a positive integer\. Received: {name}="
    with pytest.raises(ValueError, match=expected):
        case.make(**{**case.arguments, name: value})


@cases("grid_attention", "linformer_attention", "dynamic_mixing")
def test_errors_of_channels(case):
    expected = r"must be a multiple of (num_heads|segments)=4.*Received: 6 channels"
    with pytest.raises(ValueError, match=expected):
        case.make(**case.arguments).build((2, 3, 5, 6))


def test_errors_of_an_even_window():
    with pytest.raises(ValueError, match=r"must be odd.*Received: pool_size=4"):
        mixers.Pooling(4)


def test_external_attention_survives_a_position_that_nothing_attends_to():
    layer = built(mixers.ExternalAttention(1), (1, 1, 2, 1))
    for variable in layer.weights:
        variable.assign(np.full(variable.shape, 1.0 if variable.ndim == 2 else 0.0))
    x = np.array([-1e3, 0.0], "float32").reshape(1, 1, 2, 1)
    np.testing.assert_allclose(array(layer(x)).reshape(-1), [0.0, 1.0])


def test_the_gate_is_open_at_first():
    layer = mixers.SpatialGating()
    layer.build(SHAPE)
    w, x = weights_of(layer), normal(*SHAPE)
    expected = peer_oracle.gelu(x @ w["gated/kernel"]) @ w["output/kernel"]
    assert relative_error(layer(x), expected) < 1e-4
