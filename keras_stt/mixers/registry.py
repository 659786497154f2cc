"""The token mixers that STT is compared with, and STT itself, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras

from keras_stt.export import export
from keras_stt.layers import STT, DepthwiseSTT
from keras_stt.mixers.axial_attention import AxialAttention
from keras_stt.mixers.dynamic_mixing import DynamicMixing
from keras_stt.mixers.external_attention import ExternalAttention
from keras_stt.mixers.grid_attention import GridAttention
from keras_stt.mixers.linformer_attention import LinformerAttention
from keras_stt.mixers.local_global import LocalGlobal
from keras_stt.mixers.pooling import Pooling
from keras_stt.mixers.self_attention import SelfAttention
from keras_stt.mixers.shift import Shift
from keras_stt.mixers.spatial_gating import SpatialGating
from keras_stt.mixers.strip_convolution import (
    StripConvolution,
    depthwise_convolution,
)
from keras_stt.mixers.token_mlp import TokenMLP
from keras_stt.synthesizers import Mixture
from keras_stt.typing import Shape


@export
@dataclass(frozen=True)
class Mixer:
    """A token mixer that has a name.

    Attributes:
        description: What it is, in a few words.
        build: Makes the layer, from the width (channels) and the number of heads.
    """

    description: str
    build: Callable[[int, int], keras.layers.Layer]

    def multiply_adds(self, grid: tuple[int, ...], width: int, num_heads: int) -> int:
        """Counts the multiply-adds of the layer for one example, forward.

        Args:
            grid: Sizes of the grid, `(n_1, …, n_M)`.
            width: Number of channels.
            num_heads: Number of heads.
        """
        return multiply_adds(self.build(width, num_heads), (None, *grid, width))


MIXERS: dict[str, Mixer] = {
    "stt-dense": Mixer(
        "STT, weights synthesised from the image",
        lambda width, heads: STT(heads, name="mixer"),
    ),
    "stt-random": Mixer(
        "STT, weights learned outright",
        lambda width, heads: STT(heads, synthesizer="random", name="mixer"),
    ),
    "stt-factorized-dense": Mixer(
        "STT, weights synthesised in two short factors",
        lambda width, heads: STT(heads, synthesizer="factorized_dense", name="mixer"),
    ),
    "stt-factorized-random": Mixer(
        "STT, weights learned with rank 8",
        lambda width, heads: STT(heads, synthesizer="factorized_random", name="mixer"),
    ),
    "stt-mixture": Mixer(
        "STT, random + dense",
        lambda width, heads: STT(
            heads, synthesizer=Mixture(["random", "dense"]), name="mixer"
        ),
    ),
    "stt-mixture-dot": Mixer(
        "STT, random + pooled dot products",
        lambda width, heads: STT(
            heads, synthesizer=Mixture(["random", "dot_product"]), name="mixer"
        ),
    ),
    "stt-depthwise": Mixer(
        "depthwise STT: two signed terms per channel",
        lambda width, heads: DepthwiseSTT(name="mixer"),
    ),
    "stt-depthwise-synthesized": Mixer(
        "depthwise STT, amplitudes synthesised from the image",
        lambda width, heads: DepthwiseSTT(amplitude="synthesized", name="mixer"),
    ),
    "stt-depthwise-bounded": Mixer(
        "depthwise STT whose amplitudes sum to 1 at most",
        lambda width, heads: DepthwiseSTT(bounded=True, name="mixer"),
    ),
    "mha": Mixer(
        "MultiHeadAttention over all positions",
        lambda width, heads: SelfAttention(heads, name="mixer"),
    ),
    "axial-mha": Mixer(
        "MultiHeadAttention along each axis",
        lambda width, heads: AxialAttention(heads, name="mixer"),
    ),
    "depthwise-conv": Mixer(
        "7×7 depthwise convolution",
        lambda width, heads: depthwise_convolution((7, 7), name="mixer"),
    ),
    "none": Mixer(
        "no mixing: a dense layer at each position",
        lambda width, heads: keras.layers.Dense(width, name="mixer"),
    ),
    "mha-axes": Mixer(
        "MultiHeadAttention with two attention axes",
        lambda width, heads: GridAttention(heads, name="mixer"),
    ),
    "mlp-mixer": Mixer(
        "MLP along the positions (MLP-Mixer)",
        lambda width, heads: TokenMLP(name="mixer"),
    ),
    "gmlp": Mixer(
        "gating by mixed channels (gMLP)",
        lambda width, heads: SpatialGating(name="mixer"),
    ),
    "external-attention": Mixer(
        "attention to 64 memory units (EANet)",
        lambda width, heads: ExternalAttention(name="mixer"),
    ),
    "linformer": Mixer(
        "attention to 64 mixtures of positions (Linformer)",
        lambda width, heads: LinformerAttention(heads, name="mixer"),
    ),
    "dynamixer": Mixer(
        "generated matrices along rows and columns (DynaMixer)",
        lambda width, heads: DynamicMixing(heads, name="mixer"),
    ),
    "pooling": Mixer(
        "3×3 average pooling (PoolFormer)",
        lambda width, heads: Pooling(name="mixer"),
    ),
    "depthwise-conv-3": Mixer(
        "3×3 depthwise convolution",
        lambda width, heads: depthwise_convolution((3, 3), name="mixer"),
    ),
    "depthwise-conv-5": Mixer(
        "5×5 depthwise convolution",
        lambda width, heads: depthwise_convolution((5, 5), name="mixer"),
    ),
    "strip-conv": Mixer(
        "depthwise convolutions of 7×1 and 1×7, one after the other",
        lambda width, heads: StripConvolution(name="mixer"),
    ),
    "local-global": Mixer(
        "3×3 depthwise convolution plus the mean of the grid",
        lambda width, heads: LocalGlobal(name="mixer"),
    ),
    "shift": Mixer(
        "channels shifted by the offsets of 3×3, without weights",
        lambda width, heads: Shift(name="mixer"),
    ),
}
"""Every mixer that can be compared, by the name that models take, too."""


@export
def multiply_adds(layer: keras.layers.Layer, input_shape: Shape) -> int:
    """Counts the multiply-adds of a mixer for one example, forward.

    Matrix products, convolutions and pooling windows count; means over the grid,
    softmaxes and other element-wise work do not, for any mixer. The count follows from
    the layer's configuration, so the layer need not be built.

    Args:
        layer: A mixer with a method `multiply_adds(input_shape)`, or
            `keras.layers.Dense` or `keras.layers.DepthwiseConv2D`.
        input_shape: Shape of the input, `(B, n_1, …, n_M, C)`; `B` does not matter.

    Returns:
        The number of multiply-adds.

    Raises:
        ValueError: If the layer cannot be counted.

    Example:

    >>> layer = keras_stt.layers.STT(num_heads=4, synthesizer="random")
    >>> keras_stt.mixers.multiply_adds(layer, (None, 8, 8, 64))
    589824
    """
    if hasattr(layer, "multiply_adds"):
        return layer.multiply_adds(input_shape)
    positions, channels = math.prod(input_shape[1:-1]), input_shape[-1]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        multiplier = layer.depth_multiplier
        return math.prod(layer.kernel_size) * positions * channels * multiplier
    if isinstance(layer, keras.layers.Dense):
        return positions * channels * layer.units
    raise ValueError(
        "`layer` must have a method `multiply_adds`, or be a Dense or DepthwiseConv2D "
        f"layer. Received: layer={layer}"
    )
