"""Tensor algebra and masks as pure functions of tensors."""

from keras_stt.ops.heads import head_axis, merge_heads, split_heads
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
    "causal_mask",
    "check_mask_shape",
    "finite",
    "grid_mask",
    "head_axis",
    "masked_mean",
    "masked_multi_mode_product",
    "masked_softmax",
    "merge_heads",
    "mode_mask",
    "mode_product",
    "multi_mode_product",
    "split_heads",
]
