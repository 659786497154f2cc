"""Peers of STT: published token mixers of grids, to be compared with it."""

from keras_stt.peers.dynamic_mixing import DynamicMixing
from keras_stt.peers.external_attention import ExternalAttention
from keras_stt.peers.grid_attention import GridAttention
from keras_stt.peers.linformer_attention import LinformerAttention
from keras_stt.peers.pooling import Pooling
from keras_stt.peers.registry import PEERS
from keras_stt.peers.spatial_gating import SpatialGating
from keras_stt.peers.token_mlp import TokenMLP

__all__ = [
    "PEERS",
    "DynamicMixing",
    "ExternalAttention",
    "GridAttention",
    "LinformerAttention",
    "Pooling",
    "SpatialGating",
    "TokenMLP",
]
