"""Keras layers: STT, the block around it, and the layers it is compared with."""

from keras_stt.layers.axial_attention import AxialAttention
from keras_stt.layers.cross_attention import CrossAttention
from keras_stt.layers.position_embedding import PositionEmbedding
from keras_stt.layers.self_attention import SelfAttention
from keras_stt.layers.stt import STT
from keras_stt.layers.stt_block import STTBlock
from keras_stt.layers.stt_cross_attention import STTCrossAttention

__all__ = [
    "STT",
    "AxialAttention",
    "CrossAttention",
    "PositionEmbedding",
    "STTBlock",
    "STTCrossAttention",
    "SelfAttention",
]
