"""Depthwise STT against float64 loops, and what it is equal to."""

import math

import keras
import numpy as np
import oracle
import pytest
from cases import SYNTHESIZERS
from support import array, built, gradients, normal, relative_error, weights_of

from keras_stt.inspection import attention_maps
from keras_stt.layers import STT, DepthwiseSTT, STTBlock
from keras_stt.synthesizers import Gaussian
from keras_stt.synthesizers.registry import NAMES

TEXT, IMAGE, VIDEO = (2, 5, 6), (2, 3, 5, 4), (2, 3, 5, 2, 3)
TOLERANCE = 1e-5


def depthwise(name, shape, **arguments):
    synthesizer = SYNTHESIZERS[name].make()
    return built(DepthwiseSTT(synthesizer=synthesizer, **arguments), shape)


def check(layer, name, x, axes=None, mask=None, causal=(), gate=None, **call_arguments):
    expected = oracle.depthwise_stt(
        x,
        weights_of(layer),
        SYNTHESIZERS[name].logits,
        axes,
        mask,
        causal,
        layer.bounded,
        gate,
    )
    actual = layer(x, mask=mask, **call_arguments)
    assert relative_error(actual, expected) < TOLERANCE


def random_mask(shape, seed=0):
    mask = np.random.default_rng(seed).random(shape[:-1]) < 0.5
    mask[1] &= mask[0]
    return mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [TEXT, IMAGE, VIDEO], ids=["text", "image", "video"])
@pytest.mark.parametrize("name", ["gaussian", "dense", "random", "mixture"])
def test_every_rank(name, shape, masked):
    layer = depthwise(name, shape)
    check(layer, name, normal(*shape), mask=random_mask(shape) if masked else None)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        {"num_terms": 1, "use_bias": False},
        {"num_terms": 3},
        {"bounded": True},
        {"amplitude": "synthesized"},
        {"amplitude": "synthesized", "bounded": True},
    ],
)
def test_arguments(arguments, masked):
    mask = random_mask(IMAGE) if masked else None
    check(
        depthwise("gaussian", IMAGE, **arguments), "gaussian", normal(*IMAGE), mask=mask
    )


@pytest.mark.parametrize("masked", [False, True])
def test_a_gate(masked):
    mask = random_mask(IMAGE) if masked else None
    layer = depthwise("gaussian", IMAGE, gate="silu")
    silu = lambda z: z / (1 + np.exp(-z))  # noqa: E731
    check(layer, "gaussian", normal(*IMAGE), mask=mask, gate=silu)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("arguments", "axes", "causal"),
    [
        ({}, None, [1, 2]),
        ({"causal_axes": 1}, None, [1]),
        ({"attention_axes": -2}, [2], [2]),
        ({"attention_axes": 1}, [1], []),
    ],
)
def test_causal_and_some_axes(arguments, axes, causal, masked):
    check(
        depthwise("gaussian", IMAGE, **arguments),
        "gaussian",
        normal(*IMAGE),
        axes,
        random_mask(IMAGE) if masked else None,
        causal,
        use_causal_mask=bool(causal),
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "arguments", [{}, {"gate": "silu", "amplitude": "synthesized"}]
)
def test_channels_first(arguments, masked):
    layer = depthwise("dense", IMAGE, **arguments)
    synthesizer = SYNTHESIZERS["dense"].make()
    first = DepthwiseSTT(
        synthesizer=synthesizer, data_format="channels_first", **arguments
    )
    first.build((2, 4, 3, 5))
    first.set_weights(layer.get_weights())
    x, mask = normal(*IMAGE), random_mask(IMAGE) if masked else None
    expected, expected_scores = layer(x, mask=mask, return_attention_scores=True)
    actual, scores = first(
        np.moveaxis(x, -1, 1), mask=mask, return_attention_scores=True
    )
    expected = np.moveaxis(array(expected), -1, 1)
    np.testing.assert_allclose(array(actual), expected, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(scores, expected_scores, strict=True):
        np.testing.assert_allclose(array(ours), array(theirs), rtol=1e-5, atol=1e-6)


def test_an_example_without_a_valid_position():
    layer = depthwise("gaussian", IMAGE, amplitude="synthesized")
    mask = np.ones(IMAGE[:-1], bool)
    mask[1] = False
    x = normal(*IMAGE)
    check(layer, "gaussian", x, mask=mask)
    # Terms and input are 0 there: the bias is left.
    bias = np.broadcast_to(array(layer.bias), IMAGE[1:])
    np.testing.assert_allclose(array(layer(x, mask=mask))[1], bias, atol=1e-6)


@pytest.mark.parametrize("amplitude", ["learned", "synthesized"])
@pytest.mark.parametrize("axes", [1, 2, 3, (1, 3), (2, 3)])
@pytest.mark.parametrize("name", ["gaussian", "dense"])
def test_some_axes_of_a_video(name, axes, amplitude):
    layer = depthwise(name, VIDEO, attention_axes=axes, amplitude=amplitude)
    chosen = [axes] if isinstance(axes, int) else [*axes]
    check(layer, name, normal(*VIDEO), chosen)


def test_one_term_is_stt_with_a_head_per_channel_and_no_projections():
    channels = IMAGE[-1]
    layer = depthwise("random", IMAGE, num_terms=1)
    layer.amplitudes.assign(np.ones((channels, 1)))
    layer.skip.assign(np.zeros(channels))
    layer.bias.assign(np.zeros(channels))
    stt = built(STT(channels, synthesizer="random", use_bias=False), IMAGE)
    for axis in (0, 1):
        stt.synthesizers[axis].set_weights(layer.synthesizers[axis].get_weights())
    stt.value_dense.kernel.assign(np.eye(channels))
    stt.output_dense.kernel.assign(np.eye(channels))
    x = normal(*IMAGE)
    np.testing.assert_allclose(array(layer(x)), array(stt(x)), rtol=1e-5, atol=1e-6)


def test_the_start_is_a_sum_of_signed_means_that_keeps_the_variance():
    keras.utils.set_random_seed(0)
    layer = DepthwiseSTT(num_terms=4)
    layer.build((1, 8, 8, 100))
    amplitudes = array(layer.amplitudes)
    np.testing.assert_allclose(abs(amplitudes), 0.5)
    assert 100 < (amplitudes > 0).sum() < 300
    assert not array(layer.skip).any()
    assert not array(layer.bias).any()


def test_synthesised_amplitudes_start_as_learned_ones():
    layer = DepthwiseSTT(amplitude="synthesized")
    plain = DepthwiseSTT()
    x = normal(*IMAGE)
    layer.build(IMAGE)
    plain.build(IMAGE)
    plain.set_weights([w for w in layer.get_weights() if w.shape != (4, 8)])
    np.testing.assert_allclose(array(layer(x)), array(plain(x)), atol=1e-6)


@pytest.mark.parametrize("amplitude", ["learned", "synthesized"])
def test_gradients_reach_every_weight(amplitude):
    layer = depthwise("gaussian", IMAGE, amplitude=amplitude, gate="silu")
    dx, found = gradients(layer, normal(*IMAGE), share=normal(*IMAGE, seed=1))
    assert abs(dx).min() > 0
    assert [path for path, gradient in found.items() if not abs(gradient).any()] == []


def test_a_masked_nan_does_no_harm():
    layer, x, mask = (
        depthwise("gaussian", IMAGE, gate="silu"),
        normal(*IMAGE),
        random_mask(IMAGE),
    )
    mask[0, 0, 0] = False
    spoilt = np.where(mask[..., None], x, np.nan)
    x = np.where(mask[..., None], x, 0.0).astype("float32")
    expected_dx, expected = gradients(layer, x, mask=mask)
    dx, actual = gradients(layer, spoilt.astype("float32"), mask=mask)
    np.testing.assert_array_equal(dx, expected_dx)
    for path, gradient in expected.items():
        np.testing.assert_array_equal(actual[path], gradient)
    outputs = [array(layer(each, mask=mask)) for each in (x, spoilt)]
    np.testing.assert_array_equal(*outputs)


def test_another_resolution_keeps_the_response_inside():
    """On a larger grid, an object far from the borders is seen as it was."""
    keras.utils.set_random_seed(1)
    layer = DepthwiseSTT(synthesizer=Gaussian(widths=(0.5,)))
    small = np.zeros((1, 13, 13, 5), "float32")
    small[:, 6, 6] = normal(5)
    large = np.pad(small, ((0, 0), (4, 7), (7, 4), (0, 0)))
    inner = array(layer(large))[:, 4:17, 7:20]
    np.testing.assert_allclose(
        inner[:, 3:10, 3:10], array(layer(small))[:, 3:10, 3:10], rtol=1e-5, atol=1e-6
    )


def test_open_sizes():
    inputs = keras.Input((None, None, 4))
    layer = DepthwiseSTT()
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, None, 4)
    for shape in ((1, 3, 5, 4), (2, 6, 2, 4)):
        x = normal(*shape)
        expected = oracle.depthwise_stt(x, weights_of(layer), oracle.gaussian)
        assert relative_error(model.predict(x, verbose=0), expected) < TOLERANCE


def test_saved_and_loaded(tmp_path):
    inputs = keras.Input(IMAGE[1:])
    layer = DepthwiseSTT(3, gate="silu", amplitude="synthesized", bounded=True)
    model = keras.Model(inputs, STTBlock(layer)(inputs))
    for variable in model.weights:
        variable.assign(normal(*variable.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = normal(*IMAGE)
    np.testing.assert_allclose(array(loaded(x)), array(model(x)), rtol=1e-5, atol=1e-6)


def test_scores_and_maps():
    layer, x = depthwise("gaussian", IMAGE), normal(*IMAGE)
    output, scores = layer(x, return_attention_scores=True)
    symbolic, specs = layer(keras.KerasTensor(IMAGE), return_attention_scores=True)
    assert symbolic.shape == output.shape
    for score, spec, size in zip(scores, specs, IMAGE[1:3], strict=True):
        assert tuple(score.shape) == spec.shape == (2, 8, size, size)
        np.testing.assert_allclose(array(score).sum(-1), 1, rtol=1e-5)
    (maps,) = attention_maps(layer, x)
    heat = maps.heat_map((1, 2))
    rows, columns = (array(score) for score in scores)
    expected = rows[:, :, 1, :, None] * columns[:, :, 2, None, :]
    np.testing.assert_allclose(heat, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(dtype):
    layer = depthwise("gaussian", IMAGE, dtype=dtype, gate="silu")
    exact = DepthwiseSTT.from_config({**layer.get_config(), "dtype": "float32"})
    exact.build(IMAGE)
    exact.set_weights(layer.get_weights())
    x = normal(*IMAGE)
    output = layer(x)
    assert keras.backend.standardize_dtype(output.dtype) == dtype.removeprefix("mixed_")
    assert relative_error(output, array(exact(x))) < 0.03


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_pure_dtypes(dtype):
    if keras.backend.backend() == "jax" and dtype == "float64":
        pytest.skip("needs x64")
    layer = DepthwiseSTT(dtype=dtype)
    x = normal(*IMAGE)
    output = layer(keras.ops.cast(x, dtype))
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    assert keras.backend.standardize_dtype(layer.amplitudes.dtype) == dtype
    exact = np.sqrt(np.array(0.5, "float64"))
    found = abs(array(layer.amplitudes).astype("float64"))
    tolerance = {"float16": 1e-3, "bfloat16": 1e-2, "float64": 1e-15}[dtype]
    np.testing.assert_allclose(found, exact, rtol=tolerance)


@pytest.mark.parametrize("channels", [36, 64, 72, 768])
@pytest.mark.parametrize("shape", [(1, 4), (1, 4, 4)], ids=["text", "image"])
def test_the_terms_of_a_channel_start_differently(shape, channels):
    layer = DepthwiseSTT(synthesizer=Gaussian(jitter=0.0))
    layer.build((*shape, channels))
    starts = np.stack(
        [array(weight) for s in layer.synthesizers for weight in (s.center, s.width)]
    )
    first, second = starts[:, 0::2], starts[:, 1::2]
    assert (first != second).any(axis=0).all()
    # Half of the channels pair a narrow term with a wide one.
    assert ((first != second)[1]).mean() == 0.5


@pytest.mark.parametrize("name", NAMES)
def test_every_synthesizer_by_name(name):
    x = normal(*IMAGE)
    output = DepthwiseSTT(synthesizer=name)(x)
    assert output.shape == IMAGE
    assert np.isfinite(array(output)).all()


def test_training_with_dropout_and_regularizers():
    layer = DepthwiseSTT(
        dropout=0.5,
        gate="silu",
        seed=1,
        amplitude_regularizer="l2",
        kernel_regularizer="l2",
        bias_regularizer="l2",
        amplitude_constraint="unit_norm",
    )
    inputs = keras.Input(IMAGE[1:])
    model = keras.Model(inputs, layer(inputs))
    x = normal(*IMAGE)
    assert len(model.losses) == 3
    first, second = (array(model(x, training=True)) for _ in range(2))
    assert abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(array(model(x)), array(model(x)))
    model.compile("sgd", "mse")
    model.fit(x, x, verbose=0)
    norms = np.linalg.norm(array(layer.amplitudes), axis=0)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
    copy = DepthwiseSTT.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()


def test_integers_and_an_empty_batch():
    layer = depthwise("gaussian", IMAGE)
    x = np.random.default_rng(0).integers(0, 4, IMAGE).astype("uint8")
    check(layer, "gaussian", x)
    empty, mask = np.zeros((0, *IMAGE[1:]), "float32"), np.zeros((0, 3, 5), bool)
    assert layer(empty, mask=mask).shape == empty.shape
    # Keras takes such a sum for that with a bias, on TensorFlow.
    layer = DepthwiseSTT(num_terms=3, amplitude="synthesized")
    assert layer(np.zeros((0, 3, 1), "float32")).shape == (0, 3, 1)


def test_multiply_adds_by_hand():
    layer = DepthwiseSTT(3, amplitude="synthesized", gate="silu")
    products = 3 * 5 * 7 * 4 * (5 + 7)
    assert layer.multiply_adds((None, 5, 7, 4)) == (
        products + 4 * 3 * 4 + 5 * 7 * 4 * 4
    )


def test_open_sizes_have_no_multiply_adds():
    for layer in (DepthwiseSTT(), STT(2)):
        with pytest.raises(ValueError, match=r"`input_shape` must have known sizes"):
            layer.multiply_adds((None, None, 7, 4))


def test_causal_with_synthesised_amplitudes_is_an_error():
    layer = DepthwiseSTT(amplitude="synthesized")
    with pytest.raises(ValueError, match=r"synthesised amplitudes.*Received: "):
        layer(normal(*IMAGE), use_causal_mask=True)


def test_bounded_outputs_are_no_larger_than_inputs():
    layer = depthwise("gaussian", IMAGE, bounded=True, use_bias=False)
    assert (abs(array(layer.amplitudes)).sum(-1) + abs(array(layer.skip)) > 1).any()
    x = np.sign(normal(*IMAGE))
    assert abs(array(layer(x))).max() <= 1 + 1e-6


def quadratic_attention(sizes, mu, sigma):
    """Softmax over all positions of the quadratic logits in two dimensions."""
    weights = np.zeros((*sizes, *sizes))
    for query in np.ndindex(*sizes):
        logits = [
            -sum((np.subtract(key, query) - mu) ** 2 / (2 * np.square(sigma)))
            for key in np.ndindex(*sizes)
        ]
        weights[query] = oracle.softmax(logits).reshape(sizes)
    return weights


def test_gaussians_are_quadratic_attention_over_the_flattened_grid():
    """Cordonnier et al., borders included: mode products give N×N attention."""
    mu, sigma = (0.4, -1.3), (0.7, 1.9)
    layer = DepthwiseSTT(1, use_bias=False)
    layer.build((1, 4, 6, 1))
    layer.amplitudes.assign([[1.0]])
    for synthesizer, center, width in zip(layer.synthesizers, mu, sigma, strict=True):
        synthesizer.center.assign([center])
        synthesizer.width.assign([math.log(math.expm1(width - 0.001))])
    x = normal(1, 4, 6, 1)
    expected = np.einsum(
        "ijkl,kl->ij", quadratic_attention((4, 6), mu, sigma), x[0, ..., 0]
    )
    np.testing.assert_allclose(
        array(layer(x))[0, ..., 0], expected, rtol=1e-5, atol=1e-6
    )
