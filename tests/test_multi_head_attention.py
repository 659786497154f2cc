"""Where MultiHeadAttention fails: what `docs/multi_head_attention.md` says in bold.

When one of these tests fails, Keras has been mended, and the page is out of date.
"""

import keras
import numpy as np
import pytest
from support import array, normal

IMAGES = (2, 3, 5, 8)


def attention(**options):
    return keras.layers.MultiHeadAttention(2, 4, attention_axes=(1, 2), **options)


def test_the_symbolic_shape_of_scores_over_two_axes_is_wrong():
    x = normal(*IMAGES)
    _, scores = attention()(x, x, return_attention_scores=True)
    symbolic = keras.KerasTensor(IMAGES)
    _, spec = attention()(symbolic, symbolic, return_attention_scores=True)
    assert tuple(scores.shape) == (2, 2, 3, 5, 3, 5)
    assert tuple(spec.shape) != tuple(scores.shape)


def test_an_implicit_mask_over_two_axes_is_an_error():
    x = keras.ops.convert_to_tensor(normal(*IMAGES))
    inputs = keras.Input(IMAGES[1:])
    masked = keras.layers.Masking()(inputs)
    with pytest.raises(Exception, match=r"."):
        keras.Model(inputs, attention()(masked, masked))(x)


def test_a_causal_mask_over_two_axes_is_an_error():
    x = normal(*IMAGES)
    with pytest.raises(Exception, match=r"."):
        attention()(x, x, use_causal_mask=True)


def test_the_config_lacks_an_argument():
    assert "flash_attention" not in attention().get_config()


@pytest.mark.filterwarnings("ignore:Layer .*does not have a `quantize")
def test_a_quantised_layer_does_not_load(tmp_path):
    text = keras.Input((4, 8))
    model = keras.Model(text, keras.layers.MultiHeadAttention(2, 4)(text, text))
    model.quantize("int8")
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="could not be loaded"):
        keras.saving.load_model(tmp_path / "model.keras")


def test_where_nothing_is_valid_it_depends_on_the_code_path():
    x, mask = normal(1, 3, 8), np.zeros((1, 3, 3), bool)
    layer = keras.layers.MultiHeadAttention(2, 4)
    fused = array(layer(x, x, attention_mask=mask))
    plain, _ = layer(x, x, attention_mask=mask, return_attention_scores=True)
    assert np.abs(fused - array(plain)).max() > 0.1
