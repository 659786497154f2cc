"""Attention that is replaced: by what, with which weights, and what stays."""

import keras
import numpy as np
import pytest
from support import array, normal, randomize

from keras_stt.layers import STT, DepthwiseSTT, STTBlock
from keras_stt.mixers import GridAttention, SelfAttention
from keras_stt.models import image_classifier
from keras_stt.surgery import replace_attention

ROWS, COLUMNS, HEADS, KEY = 3, 4, 2, 7


def softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def grid_input(count=5):
    """Random features, and behind them the row and the column of each position."""
    place = np.zeros((ROWS, COLUMNS, ROWS + COLUMNS), "float32")
    for row in range(ROWS):
        for column in range(COLUMNS):
            place[row, column, [row, ROWS + column]] = 1
    features = normal(count, ROWS, COLUMNS, 6)
    return np.concatenate([features, np.tile(place, (count, 1, 1, 1))], axis=-1)


def attend_by_place(attention, logits):
    """Has each head attend by the sum of a logit of the rows and one of the columns.

    Queries and keys then depend on the place alone: all images have the same maps,
    which are products.
    """
    query = np.zeros((6 + ROWS + COLUMNS, HEADS, KEY))
    key = np.zeros_like(query)
    query[6 : 6 + ROWS, :, :ROWS] = np.moveaxis(logits[0], 0, 1)
    query[6 + ROWS :, :, ROWS:] = np.moveaxis(logits[1], 0, 1)
    key[6:] = np.eye(ROWS + COLUMNS)[:, None]
    attention.query_dense.kernel.assign(query * np.sqrt(KEY))
    attention.key_dense.kernel.assign(key)
    for dense in (attention.query_dense, attention.key_dense):
        dense.bias.assign(np.zeros((HEADS, KEY)))
    return attention


def place_logits():
    return normal(HEADS, ROWS, ROWS), normal(HEADS, COLUMNS, COLUMNS, seed=1)


def mha(**options):
    return keras.layers.MultiHeadAttention(HEADS, KEY, name="attention", **options)


def functional(attention, channels=6 + ROWS + COLUMNS, call=None):
    """A model around an attention, with layers before and behind it."""
    inputs = keras.Input((ROWS, COLUMNS, channels))
    hidden = keras.layers.Activation("linear", name="before")(inputs)
    attended = call(attention, hidden) if call else attention(hidden, hidden)
    model = keras.Model(inputs, keras.layers.Dense(3, name="after")(attended + hidden))
    return randomize(model)


@pytest.mark.parametrize("options", [{"attention_axes": (1, 2), "value_dim": 5}, {}])
def test_maps_that_are_products_are_kept(options):
    model = functional(mha(**options))
    logits = place_logits()
    attend_by_place(model.get_layer("attention"), logits)
    images = grid_input()
    replaced = replace_attention(model, inputs=images)
    stt = replaced.get_layer("attention")
    assert type(stt) is STT
    for synthesizer, expected in zip(stt.synthesizers, logits, strict=True):
        found = softmax(array(synthesizer.logits))
        np.testing.assert_allclose(found, softmax(expected), atol=1e-4)
    others = grid_input(3)
    expected = array(model(others))
    np.testing.assert_allclose(array(replaced(others)), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("mixer", [SelfAttention, GridAttention])
def test_attention_of_a_block(mixer):
    block = STTBlock(mixer(HEADS, KEY, name="mixer"), mlp_ratio=1, name="block")
    model = keras.Sequential([keras.Input((ROWS, COLUMNS, 13)), block])
    randomize(model)
    # Whatever the norm makes of the features, the place is in the bias.
    block.mixer_norm.gamma.assign(np.zeros(13))
    attend_by_place(block.mixer.attention, place_logits())
    block.mixer.attention.query_dense.bias.assign(normal(HEADS, KEY))
    model.compile("sgd", "mse")
    images = grid_input()
    replaced = replace_attention(model, inputs=images)
    assert not replaced.compiled
    assert type(replaced.layers[0].mixer) is STT
    np.testing.assert_allclose(
        array(replaced(images)), array(model(images)), rtol=1e-3, atol=1e-3
    )


def test_the_start_is_the_nearest_product():
    model = functional(mha())
    images = grid_input(40)
    attention = model.get_layer("attention")
    _, scores = attention(images, images, return_attention_scores=True)
    mean = array(scores).mean(axis=0)  # (h, n_1, n_2, n_1, n_2)
    stt = replace_attention(model, inputs=images).get_layer("attention")
    start = [array(synthesizer.logits) for synthesizer in stt.synthesizers]

    def divergence(rows, columns):
        """From the mean maps, up to what does not depend on the product."""
        rows, columns = softmax(rows), softmax(columns)
        product = np.einsum("hik,hjl->hijkl", rows, columns)
        return -(mean * np.log(product)).sum()

    nearest = divergence(*start)
    rng = np.random.default_rng(0)
    for _ in range(50):
        moved = [logits + 0.05 * rng.normal(size=logits.shape) for logits in start]
        assert divergence(*moved) > nearest


def test_text_with_a_causal_mask():
    # Every position attends by place, among those before it.
    tokens = keras.Input((4, 11))
    attention = keras.layers.MultiHeadAttention(2, 4, name="attention")
    model = keras.Model(tokens, attention(tokens, tokens, use_causal_mask=True))
    randomize(model)
    query, key = np.zeros((11, 2, 4)), np.zeros((11, 2, 4))
    query[7:], key[7:] = np.moveaxis(normal(2, 4, 4), 0, 1), np.eye(4)[:, None]
    attention.query_dense.kernel.assign(query)
    attention.key_dense.kernel.assign(key)
    attention.query_dense.bias.assign(np.zeros((2, 4)))
    place = np.tile(np.eye(4, dtype="float32"), (3, 1, 1))
    texts = np.concatenate([normal(3, 4, 7), place], axis=-1)
    replaced = replace_attention(model, inputs=texts)
    np.testing.assert_allclose(
        array(replaced(texts)), array(model(texts)), rtol=1e-3, atol=1e-3
    )
    changed = texts.copy()
    changed[:, 2:, :7] += 1
    found = array(replaced(changed))[:, :2]
    np.testing.assert_allclose(found, array(replaced(texts))[:, :2], atol=1e-6)


def test_a_mask_that_comes_with_the_input():
    tokens = keras.Input((6,), dtype="int32")
    embedded = keras.layers.Embedding(9, 8, mask_zero=True)(tokens)
    attention = keras.layers.MultiHeadAttention(2, 4)
    model = randomize(keras.Model(tokens, attention(embedded, embedded)))
    replaced = replace_attention(model)
    texts = np.array([[1, 2, 3, 0, 0, 0], [1, 2, 3, 4, 5, 6]], "int32")
    embedding = replaced.layers[1].embeddings
    before = array(replaced(texts))[0, :3]
    embedding.assign(np.concatenate([np.full((1, 8), 7.0), array(embedding)[1:]]))
    np.testing.assert_allclose(array(replaced(texts))[0, :3], before, atol=1e-6)


def test_without_inputs_the_projections_stay():
    model = functional(mha(use_bias=False, output_shape=(13,)))
    attention = model.get_layer("attention")
    attention.query_dense.kernel.assign(np.zeros((13, HEADS, KEY)))
    stt = (replaced := replace_attention(model)).get_layer("attention")
    # Both attend to everything alike.
    for synthesizer in stt.synthesizers:
        synthesizer.logits.assign(np.zeros(synthesizer.logits.shape))
    images = grid_input()
    np.testing.assert_allclose(
        array(replaced(images)), array(model(images)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("mixer", "kind"),
    [(DepthwiseSTT(), DepthwiseSTT), (lambda: STT(1, synthesizer="gaussian"), STT)],
)
def test_another_layer_takes_the_place(mixer, kind):
    model = image_classifier((8, 8, 3), 4, mixer="mha", grid=(4, 4), width=8, depth=2)
    replaced = replace_attention(model, mixer)
    mixers = [replaced.get_layer(f"block_{i}").mixer for i in range(2)]
    assert mixers[0] is not mixers[1]
    for each in mixers:
        assert type(each) is kind
    kept = {w.path: w for w in replaced.weights if "/mixer/" not in w.path}
    same = {w.path: w for w in model.weights if "/mixer/" not in w.path}
    assert kept.keys() == same.keys()
    for path, weight in kept.items():
        np.testing.assert_array_equal(array(weight), array(same[path]))


def test_the_model_stays_as_it_is():
    model = image_classifier((8, 8, 3), 4, mixer="mha", grid=(4, 4), width=8, depth=1)
    images = np.random.rand(4, 8, 8, 3).astype("float32")
    before = model.predict(images, verbose=0)
    replaced = replace_attention(model, inputs=images)
    replaced.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
    replaced.fit(images, np.arange(4), verbose=0)
    np.testing.assert_allclose(model.predict(images, verbose=0), before, rtol=1e-5)


def test_cross_attention_stays_and_attention_that_is_shared_is_replaced_once():
    images, context = keras.Input((4, 8)), keras.Input((5, 8))
    shared = keras.layers.MultiHeadAttention(2, 4, name="shared")
    cross = keras.layers.MultiHeadAttention(2, 4, name="cross")
    hidden = shared(images, images)
    hidden = shared(hidden, hidden)
    model = keras.Model([images, context], cross(hidden, context))
    randomize(model)
    inputs = [normal(3, 4, 8), normal(3, 5, 8)]
    replaced = replace_attention(model, inputs=inputs)
    names = [layer.name for layer in replaced.layers]
    assert names.count("shared") == 1
    assert type(replaced.get_layer("shared")) is STT
    assert type(replaced.get_layer("cross")) is keras.layers.MultiHeadAttention
    for old, new in zip(
        model.get_layer("cross").weights,
        replaced.get_layer("cross").weights,
        strict=True,
    ):
        np.testing.assert_array_equal(array(old), array(new))
    assert np.isfinite(array(replaced(inputs))).all()


def test_padding_does_no_harm():
    tokens = keras.Input((6,), dtype="int32")
    embedded = keras.layers.Embedding(9, 8, mask_zero=True)(tokens)
    attention = keras.layers.MultiHeadAttention(2, 4, name="attention")
    model = randomize(keras.Model(tokens, attention(embedded, embedded)))
    texts = np.array([[1, 2, 3, 0, 0, 0], [1, 2, 3, 4, 0, 0]], "int32")
    replaced = replace_attention(model, inputs=texts)
    assert np.isfinite(array(replaced(texts))).all()
    for synthesizer in replaced.get_layer("attention").synthesizers:
        assert np.isfinite(array(synthesizer.logits)).all()


def test_calls_by_name_and_what_goes_with_them():
    def call(layer, x):
        return layer(query=x, value=x, key=None, training=True)

    attention = mha(dropout=0.9, activity_regularizer="l2", attention_axes=(1, 2))
    replaced = replace_attention(functional(attention, call=call))
    stt = replaced.get_layer("attention")
    assert type(stt) is STT
    assert stt.get_config()["activity_regularizer"] is not None
    images = grid_input()
    # With dropout, whoever calls the model.
    assert np.abs(array(replaced(images)) - array(replaced(images))).max() > 1e-3


def test_what_is_frozen_stays_frozen_but_for_what_is_new():
    model = image_classifier((8, 8, 3), 4, mixer="mha", grid=(4, 4), width=8, depth=2)
    model.trainable = False
    replaced = replace_attention(model)
    new = [replaced.get_layer(f"block_{i}").mixer for i in range(2)]
    trainable = {v.path for v in replaced.trainable_variables}
    assert trainable == {v.path for layer in new for v in layer.trainable_variables}
    assert len(trainable) == 2 * 6


def test_attention_that_two_models_share():
    attention = keras.layers.MultiHeadAttention(2, 4, name="attention")

    def around(name):
        text = keras.Input((5, 8))
        return keras.Model(text, attention(text, text), name=name)

    text = keras.Input((5, 8))
    model = keras.Model(text, around("first")(around("second")(text)))
    randomize(model)
    texts = normal(4, 5, 8)
    replaced = replace_attention(model, inputs=texts)
    assert np.isfinite(array(replaced(texts))).all()
    assert {type(replaced.get_layer(n).layers[1]) for n in ("first", "second")} == {STT}


class LocalBlock(STTBlock):
    """A block that no one registered."""


def test_classes_of_ones_own():
    class Local(DepthwiseSTT):
        pass

    block = LocalBlock(SelfAttention(2), name="block")
    model = keras.Sequential([keras.Input((3, 4, 8)), block])
    replaced = replace_attention(model, Local())
    assert type(replaced.layers[0]) is LocalBlock
    assert type(replaced.layers[0].mixer) is Local


def test_one_layer_as_self_and_as_cross_attention_is_an_error():
    images, context = keras.Input((4, 8)), keras.Input((5, 8))
    layer = keras.layers.MultiHeadAttention(2, 4, name="both")
    model = keras.Model([images, context], layer(layer(images, images), context))
    with pytest.raises(ValueError, match="both"):
        replace_attention(model)


@pytest.mark.parametrize("change", ["lora", "int8"])
def test_quantised_or_adapted_attention_is_an_error(change):
    model = functional(mha())
    dense = model.get_layer("attention").value_dense
    dense.enable_lora(2) if change == "lora" else dense.quantize("int8")
    with pytest.raises(ValueError, match="neither quantised nor adapted"):
        replace_attention(model)


def test_a_replaced_model_loads(tmp_path):
    model = functional(mha())
    images = grid_input()
    replaced = replace_attention(model, inputs=images)
    replaced.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        array(loaded(images)), array(replaced(images)), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (lambda: image_classifier((8, 8, 3), 4, grid=(4, 4)), {}, "must have a Multi"),
        (lambda: functional(mha(use_gate=True)), {}, "use_gate=True"),
        (lambda: functional(mha()), {"mixer": "stt"}, "mixer='stt'"),
        (lambda: functional(mha()), {"inputs": grid_input()[:0]}, "0 inputs"),
        (lambda: functional(mha()), {"inputs": "images"}, "0 inputs"),
        (
            lambda: functional(mha()),
            {"inputs": grid_input(), "mixer": DepthwiseSTT()},
            "go with the default mixer",
        ),
        (
            lambda: keras.Sequential([STTBlock(SelfAttention(2))]),
            {},
            "Sequential model that is built",
        ),
        (
            lambda: functional(mha(attention_axes=(1,))),
            {"inputs": grid_input()},
            "attention_axes",
        ),
        (
            lambda: functional(
                mha(),
                call=lambda layer, x: layer(x, x, return_attention_scores=True)[0],
            ),
            {},
            "return_attention_scores",
        ),
        (
            lambda: functional(
                mha(attention_axes=(1, 2)),
                call=lambda layer, x: layer(
                    x, x, attention_mask=keras.ops.ones((1, 12, 12), "bool")
                ),
            ),
            {},
            "`attention_mask` of attention",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Attention layers without maps")
def test_errors(model, options, message):
    with pytest.raises(ValueError, match=message):
        replace_attention(model(), **options)


@pytest.mark.parametrize("mixer", [STT, 3, lambda: "stt"])
def test_mixers_that_are_none(mixer):
    with pytest.raises(ValueError, match="`mixer` must be a layer, or a function"):
        replace_attention(functional(mha()), mixer=mixer)
