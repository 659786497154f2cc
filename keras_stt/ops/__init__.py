"""Tensor algebra and masks as pure functions of tensors."""

from keras_stt.ops.heads import HeadLayout, plan_heads
from keras_stt.ops.masks import (
    causal_mask,
    check_mask_shape,
    finite,
    grid_mask,
    masked_mean,
    masked_softmax,
    mode_mask,
)
from keras_stt.ops.mode_product import (
    masked_multi_mode_product,
    mode_product,
    multi_mode_product,
)

__all__ = [
    "HeadLayout",
    "causal_mask",
    "check_mask_shape",
    "finite",
    "grid_mask",
    "masked_mean",
    "masked_multi_mode_product",
    "masked_softmax",
    "mode_mask",
    "mode_product",
    "multi_mode_product",
    "plan_heads",
]
