"""Models: the image classifier, the image captioner, and the mixers to choose from."""

from keras_stt.models.caption_text import learn_vocabulary, normalize
from keras_stt.models.image_captioner import CROSS_ATTENTIONS, ImageCaptioner
from keras_stt.models.image_classifier import image_classifier
from keras_stt.models.mixers import MIXERS, Mixer

__all__ = [
    "CROSS_ATTENTIONS",
    "MIXERS",
    "ImageCaptioner",
    "Mixer",
    "image_classifier",
    "learn_vocabulary",
    "normalize",
]
