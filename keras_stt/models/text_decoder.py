"""The decoder of the captioner: words so far and a grid to logits of the next words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_stt.composite import sublayer_policy
from keras_stt.layers import (
    CrossAttention,
    PositionEmbedding,
    STTBlock,
    STTCrossAttention,
)
from keras_stt.portable import LayerNormalization

CROSS_ATTENTIONS: dict[str, Callable[[int], keras.layers.Layer]] = {
    "mha": lambda heads: CrossAttention(heads, name="cross_attention"),
    "stt": lambda heads: STTCrossAttention(heads, name="cross_attention"),
}
"""How the text reads the grid, by name: a layer from the number of heads."""


def text_decoder(
    grid_shape: tuple[int, ...],
    length: int,
    num_tokens: int,
    make_mixer: Callable[[], keras.layers.Layer],
    make_cross_attention: Callable[[], keras.layers.Layer],
    depth: int,
    mlp_ratio: float,
    dropout: float,
    policy: Any,
) -> keras.Model:
    """From a grid and the tokens so far to the logits of the next ones.

    Args:
        grid_shape: Shape of the grid, `(rows, columns, channels)`.
        length: Number of tokens.
        num_tokens: Number of different tokens.
        make_mixer: Makes the mixer of each block.
        make_cross_attention: Makes the cross-attention of each block.
        depth: Number of blocks.
        mlp_ratio: Hidden size of the MLPs, in channels.
        dropout: Dropout rate in the blocks and of the embedded tokens.
        policy: The dtype policy, which may be a map.
    """

    def named(name: str) -> dict[str, Any]:
        # Other names than in the encoder, so that no two variables share a path.
        name = f"decoder_{name}"
        return {"name": name, "dtype": sublayer_policy(policy, name)}

    features = keras.Input(grid_shape, name="features")
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    width = grid_shape[-1]
    x = keras.layers.Embedding(num_tokens, width, **named("embedding"))(tokens)
    x = PositionEmbedding(**named("position"))(x)
    x = keras.layers.Dropout(dropout, **named("dropout"))(x)
    for index in range(depth):
        x = STTBlock(
            make_mixer(),
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            cross_attention=make_cross_attention(),
            **named(f"block_{index}"),
        )(x, features, use_causal_mask=True)
    x = LayerNormalization(epsilon=1e-6, **named("norm"))(x)
    own = sublayer_policy(policy, "logits")
    own = own if own.quantization_mode else "float32"
    logits = keras.layers.Dense(num_tokens, dtype=own, name="logits")(x)
    return keras.Model([features, tokens], logits, name="text_decoder")
