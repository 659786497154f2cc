"""Whether a model knows how sure it may be."""

import keras
import numpy as np

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.measures.predictions import (
    BATCH_SIZE,
    logits,
    unit,
)


def calibration_error(
    model: keras.Model,
    data: Images,
    *,
    bins: int = 15,
    batch_size: int = BATCH_SIZE,
) -> float | None:
    """Expected calibration error: how far confidence and accuracy are apart.

    Images are sorted into bins of equal width by the largest softmax output. The error
    is the mean over the images of `|accuracy - mean confidence|` of their bin.

    Args:
        model: Model from float32 images in [0, 1] to logits.
        data: Images with their labels.
        bins: Number of bins.
        batch_size: Images per batch.

    Returns:
        The error, in [0, 1]; `None` where a logit is not finite.

    Reference:
        Guo et al., On calibration of modern neural networks, arXiv 1706.04599.
    """
    found = logits(model, unit(data.images), batch_size).astype(np.float64)
    if not np.isfinite(found).all():
        return None
    shares = np.exp(found - found.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    confidence = shares.max(axis=-1)
    right = found.argmax(axis=-1) == data.labels
    # A confidence on an edge is in the bin below it.
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(data))
