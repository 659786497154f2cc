"""The layers that are measured: made for a measurement, and what they may need."""

from __future__ import annotations

import math

import keras

from keras_stt.experiments.measures.device import accelerator
from keras_stt.mixers import MIXERS, Mixer, SelfAttention
from keras_stt.typing import Tensor


class _Unfused(SelfAttention):
    """MultiHeadAttention that stores its scores, whatever else the backend offers."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        # `None`: Keras decides.
        enabled = keras.config.is_flash_attention_enabled()
        keras.config.disable_flash_attention()
        try:
            super().build(input_shape)
        finally:
            if enabled is not False:
                keras.config.enable_flash_attention()

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Tensor:
        options = (mask, use_causal_mask, return_attention_scores, training)
        if keras.backend.backend() != "torch":
            return super().call(inputs, *options)
        # Otherwise PyTorch chooses a fused kernel on its own.
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with sdpa_kernel(SDPBackend.MATH):
            return super().call(inputs, *options)


#: What can be measured, by name.
CONTENDERS: dict[str, Mixer] = MIXERS | {
    "mha-unfused": Mixer(
        "MultiHeadAttention without flash attention",
        lambda width, heads: _Unfused(heads, name="mixer"),
    )
}

#: Tensors as large as its largest that a training step may hold (5, seen on JAX).
HELD = 6
#: Tensors of the size of the input that a training step may hold.
HELD_INPUTS = 16


def itemsize(dtype: str) -> int:
    """Bytes of a number."""
    return 4 if dtype == "float32" else 2


def step_bytes(name: str, shape: tuple[int, ...], num_heads: int, dtype: str) -> int:
    """What a training step may need at most, as an estimate.

    Args:
        name: A name in `CONTENDERS`, or of a floor.
        shape: Shape of the input, `(B, H, W, C)`.
        num_heads: Number of heads.
        dtype: What it computes in.
    """
    batch, *grid, _ = shape
    scores = 0
    if not (name in ("mha", "axial-mha") and _fused(dtype)):
        scores = fast_growing_elements(name, (grid[0], grid[1]), num_heads, batch)
    return itemsize(dtype) * (HELD * scores + HELD_INPUTS * math.prod(shape))


def _fused(dtype: str) -> bool:
    """Whether the backend has an attention for this device that stores no scores."""
    if accelerator().get("kind") != "gpu":
        return False
    # TensorFlow has none, and cuDNN's, which JAX calls, takes half precision only.
    backend = keras.backend.backend()
    return backend == "torch" or (backend == "jax" and dtype != "float32")


def fitting_batch(
    name: str, shape: tuple[int, ...], num_heads: int, dtype: str, memory: float | None
) -> int:
    """The batch of `shape`, halved until a training step fits into the memory.

    Args:
        name: A name in `CONTENDERS`, or of a floor.
        shape: Shape of the input, `(B, H, W, C)`.
        num_heads: Number of heads.
        dtype: What it computes in.
        memory: Bytes that there are; None for no limit.

    Returns:
        The batch; 0 if not even one example fits.
    """
    batch, *rest = shape
    while memory is not None and batch:
        needed = step_bytes(name, (batch, *rest), num_heads, dtype)
        # Kernels count elements in 32 bits; depthwise STT holds two terms.
        if needed <= memory and 2 * batch * math.prod(rest) < 2**31:
            break
        batch //= 2
    return batch


def build_layer(
    name: str, shape: tuple[int, ...], num_heads: int, dtype: str
) -> keras.layers.Layer:
    """Makes a layer and its weights, with seed 0.

    Args:
        name: A name in `CONTENDERS`.
        shape: Shape of the input, `(B, H, W, C)`.
        num_heads: Number of heads.
        dtype: What it computes in; its weights are float32.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype if dtype == "float32" else f"mixed_{dtype}")
    try:
        keras.utils.set_random_seed(0)
        layer = CONTENDERS[name].build(shape[-1], num_heads)
        layer.build(shape)
    finally:
        keras.config.set_dtype_policy(before)
    return layer


def fast_growing_elements(
    name: str, grid: tuple[int, int], num_heads: int, batch: int
) -> int:
    """Elements of the largest tensor that grows faster than the image.

    Args:
        name: A name in `CONTENDERS`.
        grid: Rows and columns.
        num_heads: Number of heads.
        batch: Number of examples.

    Returns:
        The number of elements; 0 for a layer that has no such tensor.
    """
    positions, longest = math.prod(grid), max(grid)
    return {
        # The scores: of all pairs of positions, and of the pairs of every line.
        "mha": batch * num_heads * positions**2,
        "mha-unfused": batch * num_heads * positions**2,
        "mha-axes": batch * num_heads * positions**2,
        "axial-mha": batch * num_heads * positions * longest,
        # A weight for all pairs of positions.
        "gmlp": positions**2,
        # A matrix for every line, and the weight that generates it.
        "dynamixer": max(batch * num_heads * positions * longest, 2 * longest**3),
    }.get(name, 0)
