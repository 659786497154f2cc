"""What STT is compared with, and all token mixers by name."""

from keras_stt.export import exported
from keras_stt.mixers.axial_attention import AxialAttention as AxialAttention
from keras_stt.mixers.dynamic_mixing import DynamicMixing as DynamicMixing
from keras_stt.mixers.external_attention import ExternalAttention as ExternalAttention
from keras_stt.mixers.grid_attention import GridAttention as GridAttention
from keras_stt.mixers.grid_mixer import GridMixer as GridMixer
from keras_stt.mixers.linformer_attention import (
    LinformerAttention as LinformerAttention,
)
from keras_stt.mixers.local_global import LocalGlobal as LocalGlobal
from keras_stt.mixers.pooling import Pooling as Pooling
from keras_stt.mixers.registry import MIXERS as MIXERS
from keras_stt.mixers.registry import Mixer as Mixer
from keras_stt.mixers.registry import multiply_adds as multiply_adds
from keras_stt.mixers.self_attention import SelfAttention as SelfAttention
from keras_stt.mixers.shift import Shift as Shift
from keras_stt.mixers.spatial_gating import SpatialGating as SpatialGating
from keras_stt.mixers.strip_convolution import StripConvolution as StripConvolution
from keras_stt.mixers.token_mlp import TokenMLP as TokenMLP

__all__ = ["MIXERS", *exported(__name__)]
