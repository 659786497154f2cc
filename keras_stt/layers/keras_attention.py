"""What the layers around Keras's MultiHeadAttention have in common."""

from __future__ import annotations

from typing import Any

import keras

from keras_stt import arguments
from keras_stt.composite import settle_policies
from keras_stt.export import export
from keras_stt.layers.grid_layer import GridLayer
from keras_stt.typing import Shape


@export
class KerasAttention(GridLayer):
    """Arguments and configuration of a layer around `MultiHeadAttention`.

    Args:
        num_heads: Number of heads.
        key_dim: Size of a head. Defaults to the number of channels divided by the
            number of heads.
        dropout: Dropout rate of the attention weights. Defaults to 0.0.
        seed: Seed of the dropout.
        data_format: As in `GridLayer`.
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
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.num_heads = arguments.positive_integer("num_heads", num_heads)
        self.key_dim = arguments.optional_positive_integer("key_dim", key_dim)
        self.dropout = arguments.rate("dropout", dropout)
        self.seed = arguments.optional_seed("seed", seed)
        # A layer that takes no mask must not pass one on as if it had used it.
        self.supports_masking = bool({"mask", "context_mask"} & {*self.call_options})

    def _attention(
        self,
        query_shape: Shape,
        value_shape: Shape,
        name: str = "attention",
        index: int = 0,
        **options: Any,
    ) -> keras.layers.MultiHeadAttention:
        """The `index`-th attention of the layer, built."""
        attention = keras.layers.MultiHeadAttention(
            self.num_heads,
            self._head_dim(query_shape[-1]),
            dropout=self.dropout,
            seed=None if self.seed is None else self.seed + index,
            dtype=self.policy_of(name, of_keras=True),
            name=name,
            **options,
        )
        attention.build(query_shape, value_shape)
        settle_policies(attention)
        return attention

    def _head_dim(self, channels: int) -> int:
        if self.key_dim is not None:
            return self.key_dim
        return arguments.head_dim(channels, self.num_heads, "key_dim")

    def _multiply_adds(self, channels: int, positions: int, keys: int) -> int:
        """Self-attention of some positions, each to so many keys, with projections.

        Args:
            channels: Channels of queries, keys and values.
            positions: Number of positions.
            keys: Number of positions that each of them attends to.
        """
        per_channel = positions * (4 * channels + 2 * keys)
        return self.num_heads * self._head_dim(channels) * per_channel

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "dropout": self.dropout,
            "seed": self.seed,
        }
