"""The STT layer as float64 NumPy loops: what every test compares with.

Written from the mathematics alone (the equations of the docstrings), not from the
code: a position is a tuple of indices, a sum is a loop, and attention over a grid is
attention over all its N positions with N×N logits. Nothing here is fast.

Weights are a dictionary from a variable's path below its layer
(`"synthesizer_1/hidden/kernel"`) to its value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

Array = np.ndarray
Weights = Mapping[str, Array]
Logits = Callable[[Array, Weights, int, int, Array | None], Array]
"""Logits `(B, h, n, n)` from the input, weights, axis, number of heads and mask."""


def below(weights: Weights, prefix: str) -> dict[str, Array]:
    """The weights of a sublayer."""
    prefix += "/"
    return {
        path.removeprefix(prefix): value
        for path, value in weights.items()
        if path.startswith(prefix)
    }


def gelu(x):
    erf = np.vectorize(math.erf)
    return x / 2 * (1 + erf(x / np.sqrt(2)))


def softmax(logits: Sequence[float] | Array) -> Array:
    exponentials = np.exp(np.asarray(logits, "float64") - np.max(logits))
    return exponentials / exponentials.sum()


def pooled(x: Array, axis: int, mask: Array | None) -> Array:
    """The mean over the valid positions of the other modes, `(B, n, C)`."""
    batch, *sizes, channels = x.shape
    if len(sizes) == 1:
        return x
    mean = np.zeros((batch, sizes[axis - 1], channels))
    for b, i in np.ndindex(batch, sizes[axis - 1]):
        slices = [
            x[b][position]
            for position in np.ndindex(*sizes)
            if position[axis - 1] == i and (mask is None or mask[b][position])
        ]
        if slices:
            mean[b, i] = sum(slices) / len(slices)
    return mean


def dense(activation: Callable[[Array], Array] = lambda z: np.maximum(z, 0)) -> Logits:
    """`Z = act(P W_1 + b_1)`, `L[i, j] = Z[i] · W_2[:, j] + b_2[j]` per head."""

    def logits(
        x: Array, w: Weights, axis: int, heads: int, mask: Array | None
    ) -> Array:
        p = pooled(x, axis, mask)
        batch, n, _ = p.shape
        result = np.zeros((batch, heads, n, n))
        for b, i in np.ndindex(batch, n):
            z = activation(p[b, i] @ w["hidden/kernel"] + w["hidden/bias"])
            for h, j in np.ndindex(heads, n):
                column = h * n + j
                result[b, h, i, j] = (
                    z @ w["logits/kernel"][:, column] + w["logits/bias"][column]
                )
        return result

    return logits


def random(x: Array, w: Weights, axis: int, heads: int, mask: Array | None) -> Array:
    """`L = R`."""
    return np.stack([w["logits"]] * len(x))


def factorized_dense(
    x: Array, w: Weights, axis: int, heads: int, mask: Array | None
) -> Array:
    """`L[i, j] = F_a[i, j // b] · F_b[i, j % b]` per head."""
    p = pooled(x, axis, mask)
    batch, n, _ = p.shape
    a, b = (w[f"{name}/bias"].size // heads for name in ("repeated", "tiled"))
    assert a * b == n
    result = np.zeros((batch, heads, n, n))
    for example, i, h, j in np.ndindex(batch, n, heads, n):
        factors = [
            p[example, i] @ w[f"{name}/kernel"][:, column] + w[f"{name}/bias"][column]
            for name, column in (("repeated", h * a + j // b), ("tiled", h * b + j % b))
        ]
        result[example, h, i, j] = factors[0] * factors[1]
    return result


def factorized_random(
    x: Array, w: Weights, axis: int, heads: int, mask: Array | None
) -> Array:
    """`L[i, j] = Σ_k R_1[i, k] R_2[j, k]` per head."""
    n = x.shape[axis]
    result = np.zeros((len(x), heads, n, n))
    for h, i, j in np.ndindex(heads, n, n):
        result[:, h, i, j] = sum(
            r * c for r, c in zip(w["rows"][h, i], w["columns"][h, j], strict=True)
        )
    return result


def gaussian(x: Array, w: Weights, axis: int, heads: int, mask: Array | None) -> Array:
    """`L[i, j] = -(j - i - μ)² / (2σ²)` for `σ` = softplus(width) + 0.001."""
    n = x.shape[axis]
    result = np.zeros((len(x), heads, n, n))
    for h, i, j in np.ndindex(heads, n, n):
        sigma = math.log1p(math.exp(w["width"][h])) + 0.001
        result[:, h, i, j] = -((j - i - w["center"][h]) ** 2) / (2 * sigma**2)
    return result


def dot_product(
    x: Array, w: Weights, axis: int, heads: int, mask: Array | None
) -> Array:
    """`L[i, j] = (P W_Q + b_Q)[i] · (P W_K)[j] / √d` per head."""
    p = pooled(x, axis, mask)
    batch, n, _ = p.shape
    d = w["query/bias"].size // heads
    query = p @ w["query/kernel"] + w["query/bias"]
    key = p @ w["key/kernel"]
    result = np.zeros((batch, heads, n, n))
    for b, h, i, j in np.ndindex(batch, heads, n, n):
        head = slice(h * d, (h + 1) * d)
        result[b, h, i, j] = query[b, i, head] @ key[b, j, head] / np.sqrt(d)
    return result


def mixture(*components: Logits) -> Logits:
    """`L = Σ_s softmax(α)_s · S_s(X)`."""

    def logits(
        x: Array, w: Weights, axis: int, heads: int, mask: Array | None
    ) -> Array:
        shares = softmax(w["mixing_logits"])
        return sum(
            shares[s] * component(x, below(w, f"component_{s}"), axis, heads, mask)
            for s, component in enumerate(components)
        )

    return logits


def mode_product(tensor: Array, matrix: Array, axis: int) -> Array:
    """`(T ×_m A)[…, i, …] = Σ_j A[i, j] · T[…, j, …]`."""
    shape = list(tensor.shape)
    shape[axis] = matrix.shape[0]
    result = np.zeros(shape)
    for index in np.ndindex(*shape):
        for j in range(tensor.shape[axis]):
            source = (*index[:axis], j, *index[axis + 1 :])
            result[index] += matrix[index[axis], j] * tensor[source]
    return result


def flattened_attention(
    value: Array,
    logits: Mapping[int, Array],
    mask: Array | None = None,
    causal: Collection[int] = (),
) -> Array:
    """Attention among all N positions, with N×N logits and a softmax over them.

    The logit of a position for another is the sum of the modes' logits (the Kronecker
    sum); along a mode that has none, a position sees itself only.

    Args:
        value: `(B, n_1, …, n_M, h, d)`.
        logits: `(B, h, n_m, n_m)` by axis.
        mask: `(B, n_1, …, n_M)`; nonzero for the positions that are attended to.
        causal: The axes along which a later position is not attended to.

    Returns:
        Array of the shape of `value`; 0 where nothing may be attended to.
    """
    batch, *sizes, heads, _ = value.shape
    positions = list(np.ndindex(*sizes))
    result = np.zeros_like(value)
    for b, query in ((b, query) for b in range(batch) for query in positions):
        visible = [
            key
            for key in positions
            if (mask is None or mask[b][key])
            and all(
                k == q
                for axis, (q, k) in enumerate(zip(query, key, strict=True), start=1)
                if axis not in logits
            )
            and all(key[axis - 1] <= query[axis - 1] for axis in causal)
        ]
        for h in range(heads if visible else 0):
            weights = softmax(
                [
                    sum(
                        logits[axis][b, h, query[axis - 1], key[axis - 1]]
                        for axis in logits
                    )
                    for key in visible
                ]
            )
            for weight, key in zip(weights, visible, strict=True):
                result[b][query][h] += weight * value[b][key][h]
    return result


def heads_of(tensor: Array, heads: int) -> Array:
    """`(…, h·d)` as `(…, h, d)`: a head is a run of neighbouring channels."""
    return np.stack(np.split(tensor, heads, axis=-1), axis=-2)


def stt(
    x: Array,
    weights: Weights,
    synthesizer: Logits,
    heads: int,
    axes: Sequence[int] | None = None,
    mask: Array | None = None,
    causal: Collection[int] = (),
) -> Array:
    """The output of the STT layer.

    Args:
        x: `(B, n_1, …, n_M, C)`.
        weights: The layer's weights by path.
        synthesizer: The logits of a mode.
        heads: Number of heads.
        axes: The transformed axes, positive; all modes for `None`.
        mask: As in `flattened_attention`, broadcast to its full shape here.
        causal: As in `flattened_attention`.

    Returns:
        `(B, n_1, …, n_M, C_out)`.
    """
    x = np.asarray(x, "float64")
    if mask is not None:
        # A masked position counts as 0, for its own output too.
        mask = np.broadcast_to(mask, x.shape[:-1])
        x = np.where(mask[..., None], x, 0.0)
    axes = range(1, x.ndim - 1) if axes is None else axes
    logits = {
        axis: synthesizer(x, below(weights, f"synthesizer_{axis}"), axis, heads, mask)
        for axis in axes
    }
    value = x @ weights["value/kernel"] + weights.get("value/bias", 0.0)
    y = flattened_attention(heads_of(value, heads), logits, mask, causal)
    y = y.reshape(*x.shape[:-1], -1)
    return y @ weights["attention_output/kernel"] + weights.get(
        "attention_output/bias", 0.0
    )


def depthwise_stt(
    x: Array,
    weights: Weights,
    synthesizer: Logits,
    axes: Sequence[int] | None = None,
    mask: Array | None = None,
    causal: Collection[int] = (),
    bounded: bool = False,
    gate: Callable[[Array], Array] | None = None,
) -> Array:
    """The output of the DepthwiseSTT layer, with the arguments of `stt`.

    Args:
        bounded: Whether the amplitudes of a channel are divided by the sum of their
            absolute values, where that is above 1.
        gate: Activation of the gate.

    Returns:
        Array of the shape of `x`.
    """
    x = np.asarray(x, "float64")
    if mask is not None:
        mask = np.broadcast_to(mask, x.shape[:-1])
        x = np.where(mask[..., None], x, 0.0)
    axes = range(1, x.ndim - 1) if axes is None else axes
    channels, terms = weights["amplitudes"].shape
    logits = {
        axis: synthesizer(
            x, below(weights, f"synthesizer_{axis}"), axis, terms * channels, mask
        )
        for axis in axes
    }
    result = np.zeros_like(x)
    for b, c in np.ndindex(len(x), channels):
        positions = list(np.ndindex(*x.shape[1:-1]))
        amplitudes = [weights["amplitudes"][c, k] for k in range(terms)]
        skip = weights["skip"][c]
        if bounded:
            total = max(1.0, sum(map(abs, [*amplitudes, skip])))
            amplitudes, skip = [a / total for a in amplitudes], skip / total
        if "amplitude/kernel" in weights:
            valid = [p for p in positions if mask is None or mask[b][p]]
            mean = sum(x[b][p] for p in valid) / len(valid) if valid else 0 * x[b, 0, 0]
            for k in range(terms):
                kernel = weights["amplitude/kernel"][:, c * terms + k]
                amplitudes[k] += 0.1 * (mean @ kernel)
        for k in range(terms):
            head = c * terms + k
            of_term = {axis: each[b, None, None, head] for axis, each in logits.items()}
            value = x[b, None, ..., c, None, None]
            seen = flattened_attention(
                value, of_term, None if mask is None else mask[b, None], causal
            )
            result[b, ..., c] += amplitudes[k] * seen[0, ..., 0, 0]
        result[b, ..., c] += skip * x[b, ..., c]
        if "bias" in weights:
            result[b, ..., c] += weights["bias"][c]
    if gate is not None:
        result *= gate(x @ weights["gate/kernel"] + weights["gate/bias"])
    return result
