"""The picture of attention maps, against the maps it shows."""

import numpy as np
import pytest
from support import array, built, normal

from keras_stt.inspection import AttentionMaps, attention_maps
from keras_stt.inspection.attention_figure import attention_figure
from keras_stt.layers import STT, CrossAttention, DepthwiseSTT
from keras_stt.mixers import SelfAttention

IMAGE = (2, 3, 5, 8)


def test_figure():
    cross = built_cross()
    image = np.random.default_rng(0).random((13, 11, 3))
    (stt,) = attention_maps(built(STT(4), IMAGE), normal(*IMAGE))
    (full,) = attention_maps(built(SelfAttention(2), IMAGE), normal(*IMAGE))
    figure = attention_figure(image, {"stt": [stt], "mha": [full]}, (1, 3), example=1)
    assert len(figure.axes) == 2 * 5
    drawn = figure.axes[3].images[0]
    expected = stt.heat_map((1, 3))[1, 2]
    np.testing.assert_allclose(drawn.get_array(), expected)
    # It covers the image, of 13×11 pixels.
    assert drawn.get_extent() == figure.axes[0].images[0].get_extent()
    (_, frame) = figure.axes[0].patches
    np.testing.assert_allclose(frame.get_bbox().size, (11 / 5, 13 / 3))
    np.testing.assert_allclose(frame.get_xy(), (3 * 11 / 5 - 0.5, 13 / 3 - 0.5))
    assert figure.axes[3].get_xlabel() == f"{expected.max() * 15:.3g} ×"
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), image)
    assert [*attention_figure(image, [cross], 2).axes[0].patches] == []
    (text,) = attention_maps(built(STT(2), (2, 6, 8)), normal(2, 6, 8))
    for maps in ([], [text]):
        with pytest.raises(ValueError, match=r"a grid of two modes\. Received: grids"):
            attention_figure(image, maps, 2)
    with pytest.raises(ValueError, match=r"one image.*Received: shape \(2, 13"):
        attention_figure(np.stack([image] * 2), [stt], (1, 3))
    with pytest.raises(ValueError, match=r"one of 2 images\. Received: example=2"):
        attention_figure(image, [stt], (1, 3), example=2)


def test_of_many_heads_some_are_drawn():
    image = np.random.default_rng(0).random((6, 10, 3))
    (maps,) = attention_maps(built(DepthwiseSTT(), IMAGE), normal(*IMAGE))
    figure = attention_figure(image, [maps, maps], (1, 3), max_heads=4)
    assert len(figure.axes) == 2 * 5
    rows = (figure.axes[:5], figure.axes[5:])
    named = ["head 5", "head 9", "head 13"]
    # The top row names the first head for all of them.
    assert [axes.get_title() for axes in rows[0][1:]] == ["head 1", *named]
    assert [axes.get_title() for axes in rows[1][1:]] == ["", *named]
    for line in rows:
        heat = maps.heat_map((1, 3))[0, 8]
        np.testing.assert_allclose(line[3].images[0].get_array(), heat)
    with pytest.raises(ValueError, match=r"`max_heads` must be a positive integer"):
        attention_figure(image, [maps], (1, 3), max_heads=0)
    assert "scores" not in repr(maps)


def built_cross():
    layer = CrossAttention(2)
    layer.build((2, 6, 8), IMAGE)
    _, scores = layer(normal(2, 6, 8), normal(*IMAGE), return_attention_scores=True)
    return AttentionMaps("cross", (3, 5), array(scores))
