"""Changes of trained models: another input size, other attention layers."""

from keras_stt.export import exported
from keras_stt.surgery.copies import SizeError as SizeError
from keras_stt.surgery.insert_layer import insert_layer as insert_layer
from keras_stt.surgery.replace_attention import replace_attention as replace_attention
from keras_stt.surgery.resize_model import resize_model as resize_model

__all__ = exported(__name__)
