"""Models: the image classifier and the image captioner."""

from keras_stt.export import exported
from keras_stt.models.caption_text import learn_vocabulary as learn_vocabulary
from keras_stt.models.caption_text import normalize_caption as normalize_caption
from keras_stt.models.caption_text import tokenize_captions as tokenize_captions
from keras_stt.models.image_captioner import ImageCaptioner as ImageCaptioner
from keras_stt.models.image_classifier import image_classifier as image_classifier
from keras_stt.models.image_encoder import STEMS as STEMS
from keras_stt.models.image_model import ImageModel as ImageModel
from keras_stt.models.image_model import PixelRange as PixelRange
from keras_stt.models.layout_map import layout_map as layout_map
from keras_stt.models.text_decoder import CROSS_ATTENTIONS as CROSS_ATTENTIONS

__all__ = ["CROSS_ATTENTIONS", "STEMS", *exported(__name__)]
