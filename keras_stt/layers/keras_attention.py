"""What the layers around Keras's MultiHeadAttention have in common."""

from __future__ import annotations

from typing import Any

import keras

from keras_stt.arguments import check_positive, head_dim
from keras_stt.export import export


@export
class KerasAttention(keras.layers.Layer):
    """Arguments and configuration of a layer around `MultiHeadAttention`.

    Args:
        num_heads: Number of heads.
        key_dim: Size of a head. Defaults to the number of channels divided by the
            number of heads.
        dropout: Dropout rate of the attention weights. Defaults to 0.0.
        seed: Seed of the dropout.
        **kwargs: `name`, `trainable`, `dtype` of `keras.layers.Layer`.
    """

    #: Optional call arguments that a block or a model may pass.
    call_options: tuple[str, ...] = ()

    def __init__(
        self,
        num_heads: int,
        key_dim: int | None = None,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive("num_heads", num_heads)
        if key_dim is not None:
            check_positive("key_dim", key_dim)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.dropout = dropout
        self.seed = seed
        # What takes a mask hands it on.
        self.supports_masking = "mask" in self.call_options

    def _attention(
        self, channels: int, name: str = "attention", index: int = 0
    ) -> keras.layers.MultiHeadAttention:
        """The `index`-th attention of the layer, for inputs with so many channels."""
        return keras.layers.MultiHeadAttention(
            self.num_heads,
            self.key_dim or head_dim(channels, self.num_heads, "key_dim"),
            dropout=self.dropout,
            seed=None if self.seed is None else self.seed + index,
            dtype=self.dtype_policy,
            name=name,
        )

    def _multiply_adds(self, channels: int, positions: int, keys: int) -> int:
        """One attention of some positions, each to so many keys, all with projections.

        Args:
            channels: Channels of queries, keys and values.
            positions: Number of positions, which are projected once.
            keys: Number of positions that each of them attends to.
        """
        key_dim = self.key_dim or head_dim(channels, self.num_heads, "key_dim")
        return positions * self.num_heads * key_dim * (4 * channels + 2 * keys)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "dropout": self.dropout,
            "seed": self.seed,
        }
