"""Bad input is a `ValueError` that says what was expected and what came."""

import keras
import numpy as np
import pytest
from support import normal

from keras_stt.layers import STT
from keras_stt.synthesizers import Mixture, Random

IMAGE = (2, 3, 5, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 0}, "`num_heads` must be a positive integer.*num_heads=0"),
        ({"num_heads": 2.0}, "`num_heads` must be a positive integer.*num_heads=2.0"),
        ({"num_heads": True}, "`num_heads` must be .*Received: num_heads=True"),
        ({"value_dim": -1}, "`value_dim` must be a positive.*Received: value_dim=-1"),
        ({"synthesizer": "desne"}, "must be one of 'dense'.*Received: 'desne'"),
        ({"synthesizer": None}, "must be one of 'dense'.*Received: None"),
        ({"synthesizer": 3}, "must be one of 'dense'.*Received: 3"),
        ({"attention_axes": 1.5}, "`attention_axes` must be an integer or.*=1.5"),
        ({"attention_axes": ()}, r"`attention_axes` must be .*attention_axes=\(\)"),
        ({"attention_axes": "1"}, "`attention_axes` must be .*attention_axes=1"),
        ({"attention_axes": (1, None)}, r"Received: attention_axes=\(1, None\)"),
        ({"output_shape": 0}, "`output_shape` must be a positive.*output_shape=0"),
        ({"output_shape": (3, -2)}, "`output_shape` must be .*output_shape=-2"),
        ({"output_shape": "3"}, "`output_shape` must be an integer.*Received"),
        ({"dropout": 1.5}, "between 0 and 1.*Received: rate=1.5"),
        ({"dropout": -0.1}, "between 0 and 1.*Received: rate=-0.1"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        STT(**{"num_heads": 2, **arguments})


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({}, (2, 8), r"one mode at least.*Received: input_shape=\(2, 8\)"),
        ({}, (2, 5, None), r"known number of channels.*Received: input_shape="),
        ({}, (2, 5, 7), "multiple of num_heads=2 where `value_dim` is.*: 7 chan"),
        ({"attention_axes": 0}, IMAGE, r"lie between the batch.*Received: \(0,\)"),
        ({"attention_axes": 3}, IMAGE, r"the channels \(3\).*Received: \(3,\).*rank 4"),
        ({"attention_axes": -1}, IMAGE, r"lie between.*Received: \(-1,\)"),
        ({"attention_axes": -4}, IMAGE, r"lie between.*Received: \(-4,\)"),
        ({"attention_axes": (1, -3)}, IMAGE, r"distinct.*Received: \(1, -3\)"),
        ({}, (2, 3, None, 8), "Dense has weights of the size of axis 2.*dot_product"),
        (
            {"synthesizer": "random"},
            (2, None, None, 8),
            r"Random has weights.*axis 1.*Received: input_shape=\(2, None, None, 8\)",
        ),
    ],
)
def test_shapes(arguments, shape, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        STT(2, **arguments).build(shape)


def test_an_unattended_axis_may_have_any_size():
    layer = STT(2, attention_axes=1)
    layer.build((None, 3, None, 8))
    assert layer(normal(2, 3, 5, 8)).shape == (2, 3, 5, 8)
    assert layer(normal(2, 3, 4, 8)).shape == (2, 3, 4, 8)


@pytest.mark.parametrize(
    "synthesizer",
    [
        "dense",
        "random",
        "factorized_dense",
        "factorized_random",
        Mixture(["dot_product", Random()]),
        Mixture([Mixture(["random", "dot_product"]), "dot_product"]),
    ],
)
@pytest.mark.parametrize("built_for", [(2, 2, 8), (2, 4, 2, 8)])
def test_another_size_than_the_built_one(synthesizer, built_for):
    # 2 and 4: sizes that a careless reshape would take for one another.
    layer = STT(2, synthesizer=synthesizer)
    layer.build(built_for)
    with pytest.raises(ValueError, match=r"(?s)expected axis.*2.*received"):
        layer(normal(2, *(4 for _ in built_for[1:-1]), 8))


@pytest.mark.parametrize(
    "shape", [(2, 3), (2, 3, 5, 8), (3, 3, 5), (2, 5, 3), (2, 3, 5, 1), (2,)]
)
def test_masks(shape):
    layer = STT(2)
    layer.build(IMAGE)
    message = r"(?s)True for the positions that may be attended to.*Received: mask"
    with pytest.raises(ValueError, match=message):
        layer(normal(*IMAGE), mask=np.ones(shape, bool))


@pytest.mark.parametrize(
    ("arguments", "use_causal_mask", "message"),
    [
        ({}, True, "weights of axis 2 are synthesised from.*Received: use_causal_mask"),
        ({}, 1, "along axis 1 is not possible.*weights of axis 2.*=1, synth.*=Dense"),
        (
            {"synthesizer": Mixture(["random", "dense"])},
            2,
            "weights of axis 1.*Mixture",
        ),
        ({"synthesizer": "dot_product"}, True, "'random', 'factorized_random'"),
        ({"synthesizer": "random"}, 3, r"lie between.*Received: \(3,\)"),
        ({"synthesizer": "random"}, (0,), r"lie between.*Received: \(0,\)"),
        ({"synthesizer": "random"}, "yes", "`use_causal_mask` must be an integer"),
        ({"attention_axes": 2}, 1, r"among \(2,\).*Received: use_causal_mask=1"),
    ],
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_causal_masks(arguments, use_causal_mask, message, symbolic):
    layer = STT(2, **arguments)
    layer.build(IMAGE)
    x = keras.KerasTensor(IMAGE) if symbolic else normal(*IMAGE)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        layer(x, use_causal_mask=use_causal_mask)


def test_a_size_of_one_is_no_trouble():
    assert STT(2)(normal(2, 1, 5, 8)).shape == (2, 1, 5, 8)
