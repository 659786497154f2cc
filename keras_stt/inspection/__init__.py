"""What the attention layers of a model look at, as numbers and as a picture."""

from keras_stt.export import exported
from keras_stt.inspection.attention_figure import attention_figure as attention_figure
from keras_stt.inspection.attention_maps import AttentionMaps as AttentionMaps
from keras_stt.inspection.attention_maps import attention_maps as attention_maps

__all__ = exported(__name__)
