"""Tensor algebra and masks as pure functions of tensors."""

from keras_stt.export import exported
from keras_stt.ops.depthwise_transformation import (
    depthwise_transformation as depthwise_transformation,
)
from keras_stt.ops.interpolation import resize_axes as resize_axes
from keras_stt.ops.masks import causal_mask as causal_mask
from keras_stt.ops.masks import finite as finite
from keras_stt.ops.masks import grid_mask as grid_mask
from keras_stt.ops.masks import masked_mean as masked_mean
from keras_stt.ops.masks import masked_softmax as masked_softmax
from keras_stt.ops.masks import zero_masked as zero_masked
from keras_stt.ops.mode_product import (
    masked_multi_mode_product as masked_multi_mode_product,
)
from keras_stt.ops.mode_product import mode_product as mode_product
from keras_stt.ops.mode_product import multi_mode_product as multi_mode_product
from keras_stt.ops.mode_product import share as share
from keras_stt.ops.transformation import mode_weights as mode_weights
from keras_stt.ops.transformation import tensor_transformation as tensor_transformation

__all__ = exported(__name__)
