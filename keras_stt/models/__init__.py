"""Models: the image classifier, the image captioner, and the mixers to choose from."""

from keras_stt.models.attention_maps import AttentionMaps, attention_maps
from keras_stt.models.caption_text import learn_vocabulary, normalize
from keras_stt.models.image_captioner import CROSS_ATTENTIONS, ImageCaptioner
from keras_stt.models.image_classifier import image_classifier
from keras_stt.models.mixers import MIXERS, Mixer

__all__ = [
    "CROSS_ATTENTIONS",
    "MIXERS",
    "AttentionMaps",
    "ImageCaptioner",
    "Mixer",
    "attention_maps",
    "image_classifier",
    "learn_vocabulary",
    "normalize",
]
