"""The published token mixers of the benchmark, by name, and what each of them costs."""

from __future__ import annotations

import math

from keras_stt.models.mixers import Mixer, self_attention_multiply_adds
from keras_stt.peers.dynamic_mixing import DynamicMixing
from keras_stt.peers.external_attention import ExternalAttention
from keras_stt.peers.grid_attention import GridAttention
from keras_stt.peers.linformer_attention import LinformerAttention
from keras_stt.peers.pooling import Pooling
from keras_stt.peers.spatial_gating import SpatialGating
from keras_stt.peers.token_mlp import TokenMLP


def token_mlp_multiply_adds(grid: tuple[int, ...], width: int, heads: int) -> int:
    """MLP-Mixer: `2·N·D·C` with a hidden layer of `D = C // 2`."""
    return 2 * math.prod(grid) * (width // 2) * width


def spatial_gating_multiply_adds(grid: tuple[int, ...], width: int, heads: int) -> int:
    """The gating of gMLP: `3·N·C² + N²·C`."""
    positions = math.prod(grid)
    return 3 * positions * width**2 + positions**2 * width


def external_attention_multiply_adds(
    grid: tuple[int, ...], width: int, heads: int
) -> int:
    """External attention: `2·N·C² + 2·N·S·C` with `S = 64` memory units."""
    positions = math.prod(grid)
    return 2 * positions * width**2 + 2 * positions * 64 * width


def linformer_multiply_adds(grid: tuple[int, ...], width: int, heads: int) -> int:
    """Linformer: `2·N·C² + 2·k·C² + 4·k·N·C` with `k = min(64, N)`."""
    positions = math.prod(grid)
    rows = min(64, positions)
    return 2 * (positions + rows) * width**2 + 4 * rows * positions * width


def dynamic_mixing_multiply_adds(grid: tuple[int, ...], width: int, heads: int) -> int:
    """DynaMixer: `4·N·C² + 2·N·C·h·r + N·h·r·Σ n_m² + N·C·Σ n_m` with `r = 2`.

    The dense layers, the features of the positions, the matrices of the lines for `h`
    segments, and the products with them.
    """
    positions = math.prod(grid)
    dense = 4 * positions * width**2
    features = 2 * positions * width * heads * 2
    matrices = positions * heads * 2 * sum(size**2 for size in grid)
    return dense + features + matrices + positions * width * sum(grid)


def pooling_multiply_adds(grid: tuple[int, ...], width: int, heads: int) -> int:
    """Pooling: `9·N·C`, an addition for each position of a 3×3 window."""
    return 9 * math.prod(grid) * width


PEERS: dict[str, Mixer] = {
    "mha-axes": Mixer(
        "MultiHeadAttention with two attention axes",
        lambda width, heads: GridAttention(heads, name="mixer"),
        self_attention_multiply_adds,
    ),
    "mlp-mixer": Mixer(
        "MLP along the positions (MLP-Mixer)",
        lambda width, heads: TokenMLP(name="mixer"),
        token_mlp_multiply_adds,
    ),
    "gmlp": Mixer(
        "gating by mixed channels (gMLP)",
        lambda width, heads: SpatialGating(name="mixer"),
        spatial_gating_multiply_adds,
    ),
    "external-attention": Mixer(
        "attention to 64 memory units (EANet)",
        lambda width, heads: ExternalAttention(name="mixer"),
        external_attention_multiply_adds,
    ),
    "linformer": Mixer(
        "attention to 64 mixtures of positions (Linformer)",
        lambda width, heads: LinformerAttention(heads, name="mixer"),
        linformer_multiply_adds,
    ),
    "dynamixer": Mixer(
        "generated matrices along rows and columns (DynaMixer)",
        lambda width, heads: DynamicMixing(heads, name="mixer"),
        dynamic_mixing_multiply_adds,
    ),
    "pooling": Mixer(
        "3×3 average pooling (PoolFormer)",
        lambda width, heads: Pooling(name="mixer"),
        pooling_multiply_adds,
    ),
}
