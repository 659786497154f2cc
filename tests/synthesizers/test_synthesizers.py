"""The synthesizers as layers: logits, shapes, weights, errors."""

import keras
import numpy as np
import pytest
from cases import FREE, SYNTHESIZERS
from support import array, built, normal, relative_error, weights_of

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
from keras_stt.synthesizers.factorized_dense import closest_factors

IMAGE = (2, 3, 5, 8)
CLASSES = {
    "dense": lambda **k: Dense(6, **k),
    "random": Random,
    "factorized_dense": FactorizedDense,
    "factorized_random": lambda **k: FactorizedRandom(rank=3, **k),
    "dot_product": lambda **k: DotProduct(key_dim=3, **k),
    "mixture_nested": lambda **k: Mixture(
        [Mixture(["random", "dot_product"]), "factorized_dense"], **k
    ),
}


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", CLASSES)
def test_logits(name, masked, axis):
    synthesizer = built(CLASSES[name](num_heads=4, axis=axis), IMAGE)
    x, mask = normal(*IMAGE), normal(*IMAGE[:-1]) > 0 if masked else None
    expected = SYNTHESIZERS[name].logits(
        x.astype("float64"), weights_of(synthesizer), axis, 4, mask
    )
    logits = synthesizer(x, mask=mask)
    n, batch = IMAGE[axis], 1 if name in FREE else 2
    assert tuple(logits.shape) == (batch, 4, n, n)
    assert synthesizer.compute_output_shape(IMAGE) == (batch, 4, n, n)
    assert synthesizer.input_dependent == (batch > 1)
    symbolic = synthesizer(keras.KerasTensor((None, *IMAGE[1:])))
    assert tuple(symbolic.shape) == (None if batch > 1 else 1, 4, n, n)
    assert relative_error(array(logits), expected[:batch]) < 1e-5


def test_fresh_logits_are_far_from_a_mean():
    # With logits near 0 every attention matrix would start as a mean, which blurs.
    x = normal(2, 40, 8)
    for synthesizer in ("dense", "random", "factorized_dense", "factorized_random"):
        layer = synthesizers.get(synthesizer).for_mode(axis=1, num_heads=4)
        assert 0.6 < array(layer(x)).std() < 3.0, synthesizer


@pytest.mark.parametrize("name", ["random", "factorized_random", "dense"])
def test_frozen_logits(name):
    template = {"random": Random, "factorized_random": FactorizedRandom, "dense": Dense}
    frozen = template[name](trainable=False).for_mode(axis=1, num_heads=2)
    frozen.build(IMAGE)
    assert frozen.weights
    assert not frozen.trainable_weights


@pytest.mark.parametrize(
    ("size", "factors"),
    [(1, (1, 1)), (5, (1, 5)), (6, (2, 3)), (36, (6, 6)), (48, (6, 8))],
)
def test_closest_factors(size, factors):
    assert closest_factors(size) == factors


@pytest.mark.parametrize("factors", [(2, 3), (3, 2), (6, 1)])
def test_given_factors(factors):
    layer = built(FactorizedDense(factors=factors, num_heads=2), (2, 6, 4))
    repeated, tiled = (layer.repeated_dense.units, layer.tiled_dense.units)
    assert (repeated, tiled) == (2 * factors[0], 2 * factors[1])
    x = normal(2, 6, 4)
    expected = SYNTHESIZERS["factorized_dense"].logits(
        x.astype("float64"), weights_of(layer), 1, 2, None
    )
    assert relative_error(layer(x), expected) < 1e-5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(0), "`hidden_dim` must be .*Received: hidden_dim=0"),
        (lambda: FactorizedRandom(rank=-1), "`rank` must be .*Received: rank=-1"),
        (lambda: DotProduct(key_dim=0), "`key_dim` must be .*Received: key_dim=0"),
        (lambda: Random(num_heads=0), "`num_heads` must be .*Received: num_heads=0"),
        (lambda: Random(axis=0), "`axis` must be .*Received: axis=0"),
        (lambda: FactorizedDense(factors="23"), "`factors` must be .*Received"),
        (lambda: Mixture("random"), "two synthesizers at least.*Received: .*random"),
        (lambda: Mixture(["random"]), r"two synthesizers at least.*\['random'\]"),
        (lambda: Mixture(None), "two synthesizers at least.*Received: .*None"),
        (lambda: Mixture(["random", "rnd"]), "must be one of 'dense'.*'rnd'"),
    ],
)
def test_arguments(make, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make()


@pytest.mark.parametrize(
    ("synthesizer", "shape", "message"),
    [
        (Dense(axis=2), (2, 5, 8), r"lie between.*axis=2, input_shape=\(2, 5, 8\)"),
        (Random(axis=2), (2, 5, None, 8), r"Random has weights.*\(2, 5, None, 8\)"),
        (FactorizedDense(factors=(2, 2)), (2, 5, 8), r"axis 1, 5. .*factors=\(2, 2\)"),
        (FactorizedDense(factors=(1, 1, 5)), (2, 5, 8), r"two positive.*\(1, 1, 5\)"),
        (FactorizedDense(factors=(-1, -5)), (2, 5, 8), r"two positive.*\(-1, -5\)"),
        (DotProduct(num_heads=3), (2, 5, 8), "multiple of num_heads=3.*`key_dim`.*: 8"),
    ],
)
def test_shapes(synthesizer, shape, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        synthesizer.build(shape)


def test_a_mixture_starts_with_equal_shares_and_learns_them():
    mixture = Mixture([Random(initializer="ones"), Random(initializer="zeros")])
    np.testing.assert_allclose(array(mixture(normal(2, 3, 8))), 0.5, rtol=1e-6)
    mixture.mixing_logits.assign([np.log(3.0), 0.0])
    np.testing.assert_allclose(array(mixture(normal(2, 3, 8))), 0.75, rtol=1e-6)
    assert any(w.path.endswith("mixing_logits") for w in mixture.trainable_weights)


def test_a_mixture_depends_on_the_input_where_one_of_its_parts_does():
    assert not Mixture(["random", "factorized_random"]).input_dependent
    assert Mixture(["random", "dense"]).input_dependent
    assert Mixture(["random", Mixture(["random", "dot_product"])]).input_dependent
    assert Mixture.input_dependent  # an instance's own, not the class's


def test_pooling_leaves_out_what_is_masked():
    x, mask = normal(*IMAGE), np.zeros(IMAGE[:-1], bool)
    mask[0, 1, [2, 4]] = mask[1, 2, 0] = True
    pooled = array(Synthesizer(axis=1).pool(x, mask))
    np.testing.assert_allclose(pooled[0, 1], x[0, 1, [2, 4]].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(pooled[1, 2], x[1, 2, 0], rtol=1e-6)
    np.testing.assert_array_equal(pooled[0, [0, 2]], 0.0)
    plain = array(Synthesizer(axis=2).pool(x))
    np.testing.assert_allclose(plain, x.mean(axis=1), rtol=1e-5, atol=1e-6)
    text, words = normal(2, 5, 8), np.array([[True] * 5, [True] * 2 + [False] * 3])
    pooled = array(Synthesizer(axis=1).pool(text, words))
    np.testing.assert_array_equal(pooled, np.where(words[..., None], text, 0.0))


def test_logits_carry_no_mask():
    tokens = np.array([[3, 1, 0, 2, 0]])
    embedding = built(keras.layers.Embedding(6, 8, mask_zero=True), (1, 5))
    logits = built(Dense(num_heads=2), (1, 5, 8))(embedding(tokens))
    assert getattr(logits, "_keras_mask", None) is None


class Forgetful(synthesizers.Random):
    """Has an argument that its config leaves out."""

    def __init__(self, gain=1.0, **kwargs):
        super().__init__(**kwargs)
        self.gain = gain


def test_a_config_without_an_argument_is_an_error():
    message = (
        "`Forgetful.get_config` must return every.*Received: a config without gain"
    )
    with pytest.raises(ValueError, match=message):
        STT(2, synthesizer=Forgetful(gain=100.0)).build((1, 3, 5, 8))
