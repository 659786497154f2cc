"""Keras layers: STT, its variants, the block around them, and position embeddings."""

from keras_stt.export import exported
from keras_stt.layers.context_reader import ContextReader as ContextReader
from keras_stt.layers.cross_attention import CrossAttention as CrossAttention
from keras_stt.layers.depthwise_stt import DepthwiseSTT as DepthwiseSTT
from keras_stt.layers.grid_layer import GridLayer as GridLayer
from keras_stt.layers.keras_attention import KerasAttention as KerasAttention
from keras_stt.layers.position_embedding import PositionEmbedding as PositionEmbedding
from keras_stt.layers.stt import STT as STT
from keras_stt.layers.stt_block import STTBlock as STTBlock
from keras_stt.layers.stt_cross_attention import STTCrossAttention as STTCrossAttention
from keras_stt.layers.synthesized_attention import (
    SynthesizedAttention as SynthesizedAttention,
)

__all__ = exported(__name__)
