"""Bad input is a `ValueError` that says what was expected and what came."""

import keras
import numpy as np
import pytest
from support import normal

from keras_stt.layers import STT, DepthwiseSTT
from keras_stt.synthesizers import Mixture, Random

IMAGE = (2, 3, 5, 8)


def names(message, name, value):
    """Whether an error says which argument is wrong, and what was received."""
    assert f"`{name}`" in message
    assert "Received: " in message
    assert str(value) in message.partition("Received: ")[2]
    return True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_heads", 0),
        ("num_heads", 2.0),
        ("num_heads", True),
        ("value_dim", -1),
        ("synthesizer", "desne"),
        ("synthesizer", None),
        ("synthesizer", 3),
        ("attention_axes", 1.5),
        ("attention_axes", ()),
        ("attention_axes", "1"),
        ("attention_axes", (1, None)),
        ("causal_axes", (True,)),
        ("output_shape", 0),
        ("output_shape", "3"),
        ("dropout", 1.5),
        ("dropout", -0.1),
        ("dropout", float("nan")),
        ("dropout", "a"),
        ("use_bias", 2),
        ("seed", "a"),
        ("seed", -1),
        ("kernel_initializer", "glorot"),
        ("bias_regularizer", "L3"),
        ("kernel_constraint", 5),
        ("data_format", "channels"),
    ],
)
def test_arguments(name, value):
    with pytest.raises(ValueError) as info:  # noqa: PT011 - checked in `names`
        STT(**{"num_heads": 2, name: value})
    assert names(str(info.value), name, value)


def test_numbers_of_numpy_and_ranges_are_welcome():
    layer = STT(
        np.int64(2),
        value_dim=np.int32(3),
        attention_axes=range(1, 3),
        causal_axes=np.array([2]),
        dropout=np.float32(0.5),
        use_bias=np.False_,
        output_shape=np.int64(6),
        seed=np.uint32(1),
    )
    config = layer.get_config()
    expected = {"num_heads": 2, "value_dim": 3, "attention_axes": (1, 2)}
    expected |= {"causal_axes": (2,), "dropout": 0.5, "use_bias": False}
    expected |= {"output_shape": (6,), "seed": 1}
    assert {name: config[name] for name in expected} == expected
    assert {type(config[name]) for name in expected} == {int, float, bool, tuple}
    output = layer(normal(*IMAGE), return_attention_scores=np.False_)
    assert tuple(output.shape) == (2, 3, 5, 6)


@pytest.mark.parametrize(
    "initializer",
    [None, lambda shape, dtype=None: keras.ops.ones(shape, dtype)],
    ids=["default", "function"],
)
def test_initializers_as_keras_has_them(initializer):
    layer, dense = STT(2, kernel_initializer=initializer), keras.layers.Dense(8)
    layer.build(IMAGE)
    kernel = keras.ops.convert_to_numpy(layer.value_dense.kernel)
    assert (kernel == 1).all() == (initializer is not None)
    assert kernel.shape == (8, dense.units)


@pytest.mark.parametrize("layer", [lambda **k: STT(2, **k), DepthwiseSTT])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("key_dim", "there are no keys"),
        ("query", "one tensor"),
        ("value", "one tensor"),
        ("attention_mask", "`mask`, one boolean per position"),
    ],
)
def test_arguments_of_multi_head_attention(layer, name, words):
    images = normal(*IMAGE)

    def use():
        return layer(key_dim=8) if name == "key_dim" else layer()(images, **{name: 1})

    message = f"`{name}` is an .*{words}.*Received: .*{name}"
    with pytest.raises(ValueError, match=message):
        use()


@pytest.mark.parametrize("layer", [STT(2), DepthwiseSTT()])
def test_a_second_tensor_is_not_taken_for_the_mask(layer):
    with pytest.raises(ValueError, match="no value or key as a second argument"):
        layer(normal(*IMAGE), normal(*IMAGE))


@pytest.mark.parametrize(
    ("arguments", "shape", "name"),
    [
        ({}, (2, 8), "inputs"),
        ({}, (2, 5, None), "inputs"),
        ({}, (2, 5, 0), "inputs"),
        ({}, (2, 0, 5, 8), "inputs"),
        ({}, (2, 5, 7), "value_dim"),
        ({"attention_axes": 0}, IMAGE, "attention_axes"),
        ({"attention_axes": 3}, IMAGE, "attention_axes"),
        ({"attention_axes": -1}, IMAGE, "attention_axes"),
        ({"attention_axes": -4}, IMAGE, "attention_axes"),
        ({"attention_axes": (1, -3)}, IMAGE, "attention_axes"),
        ({"data_format": "channels_first", "attention_axes": 1}, IMAGE, "attention_ax"),
        ({}, (2, 3, None, 8), "keras.Input"),
        ({"synthesizer": "random"}, (2, None, None, 8), "keras.Input"),
    ],
)
def test_shapes(arguments, shape, name):
    with pytest.raises(ValueError, match=rf"(?s)`{name}.*Received: "):
        STT(2, **arguments).build(shape)


@pytest.mark.parametrize("shape", [(2, 8), (2, 0, 5, 8)])
def test_inputs_without_a_mode(shape):
    with pytest.raises(ValueError, match=r"`inputs`.*Received: inputs\.shape="):
        STT(2)(np.zeros(shape))


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
    with pytest.raises(ValueError, match=r"`inputs`.*2.*resize_model.*Received"):
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
        ({}, True, "`use_causal_mask`.*along axis 1.*weights of axis 2.*Dense"),
        (
            {"synthesizer": Mixture(["random", "dense"]), "causal_axes": 2},
            True,
            "`use_causal_mask`.*along axis 2.*weights of axis 1.*Mixture",
        ),
        ({"synthesizer": "random"}, "yes", "`use_causal_mask`.*Received: .*'yes'"),
        ({"synthesizer": "random"}, 1, "`use_causal_mask`.*Received: .*1"),
    ],
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_causal_masks(arguments, use_causal_mask, message, symbolic):
    layer = STT(2, **arguments)
    layer.build(IMAGE)
    x = keras.KerasTensor(IMAGE) if symbolic else normal(*IMAGE)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        layer(x, use_causal_mask=use_causal_mask)


@pytest.mark.parametrize(
    "arguments",
    [
        {"causal_axes": 3},
        {"causal_axes": (0,)},
        {"causal_axes": 1, "attention_axes": 2},
    ],
    ids=str,
)
def test_causal_axes_that_are_none(arguments):
    with pytest.raises(ValueError, match=r"`causal_axes`.*Received: causal_axes="):
        STT(2, **arguments).build(IMAGE)


def test_a_size_of_one_is_no_trouble():
    assert STT(2)(normal(2, 1, 5, 8)).shape == (2, 1, 5, 8)
