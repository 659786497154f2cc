"""Synthesizers by name, instance, class and config; and as templates of layers."""

import copy
import itertools

import keras
import numpy as np
import pytest
from cases import SYNTHESIZERS
from support import array, built, normal, relative_error

import keras_stt
from keras_stt import synthesizers
from keras_stt.layers import STT
from keras_stt.synthesizers import (
    Dense,
    DotProduct,
    FactorizedDense,
    FactorizedRandom,
    Mixture,
    Random,
    Synthesizer,
)

IMAGE = (2, 3, 5, 8)
NAMES = {
    "dense": Dense,
    "random": Random,
    "factorized_dense": FactorizedDense,
    "factorized_random": FactorizedRandom,
    "dot_product": DotProduct,
}


@pytest.mark.parametrize("name", NAMES)
def test_by_name(name):
    assert type(synthesizers.get(name)) is NAMES[name]
    assert synthesizers.get(name) is not synthesizers.get(name)


def test_an_instance_stays():
    instance = Random()
    assert synthesizers.get(instance) is instance


def test_by_class():
    assert type(synthesizers.get(FactorizedRandom)) is FactorizedRandom


@pytest.mark.parametrize(
    "synthesizer",
    [
        Dense(5, "tanh", bias_initializer="zeros", name="mine"),
        Random("zeros", trainable=False, num_heads=3, axis=2),
        FactorizedDense((2, 3), bias_initializer="ones"),
        FactorizedRandom(3, initializer="ones", dtype="mixed_bfloat16"),
        DotProduct(7),
        Mixture([Mixture(["random", Dense(4)]), DotProduct(3)]),
    ],
    ids=lambda s: type(s).__name__,
)
def test_there_and_back(synthesizer):
    config = synthesizers.serialize(synthesizer)
    for back in (synthesizers.deserialize(config), synthesizers.get(config)):
        assert type(back) is type(synthesizer)
        assert back is not synthesizer
        assert back.get_config() == synthesizer.get_config()


@pytest.mark.parametrize(
    "identifier",
    [
        "densest",
        None,
        3,
        keras.layers.Layer,
        ["dense"],
        {"class_name": "Densest", "config": {}},
    ],
)
def test_what_stands_for_no_synthesizer(identifier):
    with pytest.raises(ValueError, match=r"must be one of 'dense'.*Received: ") as info:
        synthesizers.get(identifier)
    assert repr(identifier) in str(info.value)


def test_a_slip_of_the_pen():
    with pytest.raises(ValueError, match=r"'gausian' \(did you mean gaussian\?\)"):
        synthesizers.get("gausian")


def test_names_of_classes():
    assert type(synthesizers.get("FactorizedRandom")) is FactorizedRandom
    by_hand = {"class_name": "Dense", "config": {"hidden_dim": 7}}
    assert synthesizers.get(by_hand).hidden_dim == 7
    assert synthesizers.deserialize(by_hand).hidden_dim == 7
    two = {"class_name": "Mixture", "config": {"synthesizers": ["random", by_hand]}}
    assert synthesizers.get(two).synthesizers[1].hidden_dim == 7


def test_names_of_registered_classes():
    @keras.saving.register_keras_serializable("test_registry")
    class Own(Dense):
        pass

    assert type(synthesizers.get("test_registry>Own")) is Own


def test_a_config_of_something_else():
    config = keras.saving.serialize_keras_object(keras.layers.Dense(3))
    with pytest.raises(ValueError, match=r"must be one of 'dense'.*Received: "):
        synthesizers.get(config)


def test_a_template_is_copied_for_every_mode_of_every_layer():
    template = Mixture(["random", Dense(5)], name="mine")
    layers = [built(STT(4, synthesizer=template), IMAGE) for _ in range(2)]
    copies = [s for layer in layers for s in layer.synthesizers]
    assert len({id(s) for s in (template, *copies)}) == 5
    variables = [id(v) for layer in layers for v in layer.variables]
    assert len(set(variables)) == len(variables)
    assert not template.built
    assert not template.weights
    for layer in layers:
        assert layer.synthesizer is template
        assert template not in layer._flatten_layers()
    assert [(s.axis, s.num_heads) for s in copies] == [(1, 4), (2, 4)] * 2
    assert all(s.components[1].hidden_dim == 5 for s in copies)


@pytest.mark.parametrize("name", ["dense", "random", "factorized_random"])
def test_copies_are_drawn_apart(name):
    # Two modes of one size, in two layers: four different draws.
    template = synthesizers.get(name)
    draws = []
    for _ in range(2):
        layer = STT(4, synthesizer=template)
        layer.build((2, 5, 5, 8))
        draws += [array(s.weights[-1].value) for s in layer.synthesizers]
    for first, second in itertools.combinations(draws, 2):
        assert np.abs(first - second).max() > 0.01


def test_copies_take_the_layers_precision():
    layer = STT(4, synthesizer=Random(dtype="float32"), dtype="mixed_bfloat16")
    layer.build(IMAGE)
    assert {s.dtype_policy.name for s in layer.synthesizers} == {"mixed_bfloat16"}


def test_a_layer_can_be_copied():
    layer = built(STT(4, synthesizer=Dense(5), dropout=0.1), IMAGE)
    x, twin = normal(*IMAGE), copy.deepcopy(layer)
    np.testing.assert_array_equal(array(twin(x)), array(layer(x)))
    twin.value_dense.kernel.assign(np.zeros((8, 8)))
    assert np.abs(array(layer.value_dense.kernel.value)).max() > 0


@pytest.fixture
def relative_class():
    """The class of the docstring, by running the docstring's own code."""
    docstring = Synthesizer.__doc__ or ""
    lines = docstring.split("```python\n")[1].split("```")[0].splitlines()
    code = "\n".join(line.removeprefix("    ") for line in lines)
    namespace = {"keras": keras, "keras_stt": keras_stt, "np": np}
    exec(code, namespace)
    return namespace["Relative"]


def test_the_docstrings_own_synthesizer(relative_class, tmp_path):
    template = relative_class()
    inputs = keras.Input(IMAGE[1:])
    layer = STT(4, synthesizer=template)
    model = keras.Model(inputs, layer(inputs, use_causal_mask=True))
    x = normal(*IMAGE)
    _, scores = layer(x, return_attention_scores=True)
    for axis, score in enumerate(map(array, scores), start=1):
        distance = array(layer.synthesizers[axis - 1].distance.value)
        n = IMAGE[axis]
        assert distance.shape == (4, 2 * n - 1)
        logits = [[distance[:, i - j + n - 1] for j in range(n)] for i in range(n)]
        expected = np.exp(np.moveaxis(np.array(logits), -1, 0))
        expected /= expected.sum(axis=-1, keepdims=True)
        assert relative_error(score[0], expected) < 1e-5
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert relative_error(reloaded.predict(x, verbose=0), expected) < 1e-6
    assert type(reloaded.layers[1].synthesizer) is relative_class


def test_an_unregistered_class_loads_as_a_custom_object():
    class Flat(Synthesizer):
        input_dependent = False

        def call(self, inputs, mask=None):
            size = inputs.shape[self.axis]
            return keras.ops.zeros((1, self.num_heads, size, size))

    config = synthesizers.serialize(Flat())
    back = synthesizers.deserialize(config, custom_objects={"Flat": Flat})
    assert type(back) is Flat
    x = normal(2, 5, 8)
    _, (scores,) = STT(2, synthesizer=back)(x, return_attention_scores=True)
    np.testing.assert_allclose(array(scores), 0.2, rtol=1e-6)


def test_a_synthesizer_that_returns_no_logits_is_an_error():
    class Wrong(Synthesizer):
        def call(self, inputs, mask=None):
            return inputs

    with pytest.raises(ValueError, match=r"`Wrong.call`.*Received: shape \(2, 5, 8\)"):
        STT(2, synthesizer=Wrong())(normal(2, 5, 8))


def test_logits_of_another_number_of_heads_are_an_error():
    class Shared(Synthesizer):
        def call(self, inputs, mask=None):
            return keras.ops.zeros((1, 1, 5, 5))

    with pytest.raises(ValueError, match=r"`Shared.call`.*shape \(1, 1, 5, 5\)"):
        STT(2, synthesizer=Shared())(normal(2, 5, 8))


def test_logits_per_example_of_what_claims_to_have_none_are_an_error():
    class PerExample(Synthesizer):
        input_dependent = False

        def call(self, inputs, mask=None):
            return keras.ops.zeros((2, 2, 5, 5))

    with pytest.raises(ValueError, match=r"`PerExample.call`.*shape \(2, 2, 5, 5\)"):
        STT(2, synthesizer=PerExample())(normal(2, 5, 8))


def test_every_case_of_these_tests_is_a_synthesizer():
    for case in SYNTHESIZERS.values():
        synthesizer = synthesizers.get(case.make())
        assert synthesizer.input_dependent == case.input_dependent
