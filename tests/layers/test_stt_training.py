"""Gradients, dropout, compilation and fine-tuning of the STT layer."""

import keras
import numpy as np
import oracle
import pytest
from cases import SYNTHESIZERS
from support import array, built, gradients, normal, relative_error, weights_of

from keras_stt.layers import STT

IMAGE = (2, 3, 5, 8)


@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_gradients_are_those_of_the_oracle(name):
    # Central differences of the float64 oracle, in a random direction per variable.
    shape, case = (2, 3, 4, 4), SYNTHESIZERS[name]
    layer = built(STT(2, synthesizer=case.make(), value_dim=3), shape)
    x, share = normal(*shape), normal(*shape, seed=1)
    mask = normal(*shape[:-1], seed=2) > -0.5
    dx, grads = gradients(layer, x, share, mask=mask)
    weights, step = weights_of(layer), 1e-4

    def loss(x, weights):
        return (oracle.stt(x, weights, case.logits, 2, mask=mask) * share).sum()

    checked = {"input": (dx, loss_along("input", x, weights, loss, step))} | {
        path: (grad, loss_along(path, x, weights, loss, step))
        for path, grad in grads.items()
    }
    assert {v.path.split("/", 1)[1] for v in layer.trainable_variables} == set(grads)
    for path, (gradient, (direction, expected)) in checked.items():
        scale = np.linalg.norm(gradient) + 1e-2
        assert abs((gradient * direction).sum() - expected) < 1e-4 * scale, path


def loss_along(path, x, weights, loss, step):
    """A random unit direction of the input or a weight, and the slope of the loss."""
    values = {"input": x.astype("float64"), **weights}
    direction = normal(*values[path].shape, seed=3).astype("float64")
    direction /= np.linalg.norm(direction)
    ends = []
    for sign in (1, -1):
        moved = {**values, path: values[path] + sign * step * direction}
        ends.append(loss(moved.pop("input"), moved))
    return direction, (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("name", SYNTHESIZERS)
def test_one_step_changes_every_trainable_weight_and_no_other(name):
    layer = STT(4, synthesizer=SYNTHESIZERS[name].make())
    model = keras.Sequential([keras.Input(IMAGE[1:]), layer])
    randomize_all(model)
    before = weights_of(layer)
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    model.fit(normal(*IMAGE), normal(*IMAGE, seed=1), verbose=0)
    trainable = {v.path.split("/", 1)[1] for v in layer.trainable_variables}
    assert trainable
    for path, value in weights_of(layer).items():
        assert (not np.array_equal(value, before[path])) == (path in trainable)


def randomize_all(model):
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0.0, 0.5, size=variable.shape))


def test_what_is_frozen():
    mixed = SYNTHESIZERS["mixture_random"].make()
    layer = built(STT(4, synthesizer=mixed), IMAGE)
    frozen = {v.path.split("/", 1)[1] for v in layer.non_trainable_variables}
    assert frozen == {f"synthesizer_{axis}/component_2/logits" for axis in (1, 2)}
    # For good: a model that is frozen and thawed again does not train them.
    layer.trainable = False
    layer.trainable = True
    assert frozen == {v.path.split("/", 1)[1] for v in layer.non_trainable_variables}
    frozen_layer = built(STT(4, synthesizer="dense", trainable=False), IMAGE)
    assert not frozen_layer.trainable_variables


def seeing_its_weights(rate, seed=0):
    """A layer and an input, chosen such that its output is the N×N weights."""
    n = 15
    layer = built(
        STT(1, value_dim=n, dropout=rate, seed=seed, synthesizer="random"), (2, 3, 5, n)
    )
    for dense in (layer.value_dense, layer.output_dense):
        dense.kernel.assign(np.eye(n))
        dense.bias.assign(np.zeros(n))
    one_hot = np.eye(n, dtype="float32").reshape(1, 3, 5, n)
    return layer, np.concatenate([one_hot, one_hot])


@pytest.mark.parametrize("masked", [False, True])
def test_dropout_drops_weights_and_scales_the_others(masked):
    layer, x = seeing_its_weights(rate=0.25)
    mask = np.ones((2, 3, 5), bool) if masked else None
    weights = array(layer(x, mask=mask))
    ratio = array(layer(x, mask=mask, training=True)) / weights
    kept = ratio > 0.5
    # One factor of 4/3 per mode; a position is kept where both modes keep it.
    np.testing.assert_allclose(ratio[kept], (4 / 3) ** 2, rtol=1e-4)
    np.testing.assert_array_equal(ratio[~kept], 0.0)
    assert abs(kept.mean() - 0.75**2) < 0.25
    # Each example draws for itself, though the weights are the same for both.
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-6)
    assert (kept[0] != kept[1]).any()


def test_dropout_is_for_training_only():
    layer, x = seeing_its_weights(rate=0.5)
    expected = array(layer(x))
    np.testing.assert_array_equal(array(layer(x, training=False)), expected)
    first, second = (array(layer(x, training=True)) for _ in range(2))
    assert not np.array_equal(first, expected)
    assert not np.array_equal(first, second)
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    assert relative_error(model.predict(x, verbose=0), expected) < 1e-6


def test_scores_are_those_before_dropout():
    layer, x = seeing_its_weights(rate=0.5)
    _, expected = layer(x, return_attention_scores=True)
    _, actual = layer(x, return_attention_scores=True, training=True)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(array(a), array(e))


def test_dropout_follows_its_seed():
    outputs = [
        array(layer(x, training=True))
        for layer, x in (seeing_its_weights(0.5, seed) for seed in (1, 1, 2))
    ]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


def test_a_reloaded_layer_draws_from_its_seed(tmp_path):
    # From the seed on, as keras.layers.Dropout does: how far it was is not saved.
    layer, x = seeing_its_weights(0.5, seed=7)
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    expected = array(model(x, training=True))
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert reloaded.layers[0].seed == 7
    np.testing.assert_array_equal(array(reloaded(x, training=True)), expected)


def test_compiled_and_not_compiled_are_equal():
    if keras.backend.backend() == "torch":
        pytest.skip("torch.compile needs a C++ compiler, and minutes")
    x, y, outputs = normal(*IMAGE), normal(*IMAGE, seed=1), []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        layer = STT(4, synthesizer=SYNTHESIZERS["mixture_nested"].make(), seed=1)
        inputs = keras.Input(IMAGE[1:])
        mask = keras.layers.Lambda(lambda x: x[..., 0] > -1, output_shape=IMAGE[1:-1])(
            inputs
        )
        model = keras.Model(inputs, layer(inputs, mask=mask))
        model.compile("sgd", "mse", jit_compile=jit_compile)
        model.fit(x, y, verbose=0)
        outputs.append(model.predict(x, verbose=0))
    assert relative_error(outputs[1], outputs[0]) < 1e-4


def test_lora(tmp_path):
    layer = STT(4)
    model = keras.Sequential([keras.Input(IMAGE[1:]), layer])
    x, y = normal(*IMAGE), normal(*IMAGE, seed=1)
    before = model.predict(x, verbose=0)
    for dense in (layer.value_dense, layer.output_dense):
        dense.enable_lora(2)
    kernel = array(layer.value_dense._kernel.value)
    assert relative_error(model.predict(x, verbose=0), before) < 1e-6
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(array(layer.value_dense._kernel.value), kernel)
    expected = model.predict(x, verbose=0)
    assert relative_error(expected, before) > 1e-4
    model.save(tmp_path / "lora.keras")
    reloaded = keras.models.load_model(tmp_path / "lora.keras")
    assert relative_error(reloaded.predict(x, verbose=0), expected) < 1e-5


def test_rematerialisation():
    x, y = normal(*IMAGE), normal(*IMAGE, seed=1)
    weights = []
    for mode in (None, "full"):
        keras.utils.set_random_seed(0)
        with keras.RematScope(mode=mode):
            model = keras.Sequential([keras.Input(IMAGE[1:]), STT(4)])
        # In a graph, TensorFlow's tf.recompute_grad refuses keyword arguments, those of
        # Keras's own layers too.
        graph = keras.backend.backend() != "tensorflow"
        model.compile("sgd", "mse", run_eagerly=not graph, jit_compile=False)
        model.fit(x, y, verbose=0)
        weights.append(model.get_weights())
    for plain, rematerialised in zip(*weights, strict=True):
        np.testing.assert_allclose(rematerialised, plain, rtol=1e-4, atol=1e-6)
