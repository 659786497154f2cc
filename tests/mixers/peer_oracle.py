"""The peers in NumPy, float64: the papers' equations, position by position."""

from math import erf

import numpy as np

gelu = np.vectorize(lambda x: x * (1 + erf(x / np.sqrt(2))) / 2)


def softmax(logits, axis=-1):
    exponentials = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def dense(w, name, x):
    y = x @ w[f"{name}/kernel"]
    return y + w[f"{name}/bias"] if f"{name}/bias" in w else y


def attention(q, k, v):
    """One query of one head: `q (d,)`, `k` and `v` `(T, d)`."""
    return softmax(k @ q / np.sqrt(len(q))) @ v


def by_image(mix):
    """A function of the positions `(N, C)` of an image, for a batch of grids."""

    def of_batch(w, x, **arguments):
        batch, height, width, channels = x.shape
        images = x.reshape(batch, height * width, channels)
        return np.stack([mix(w, image, **arguments) for image in images]).reshape(
            x.shape
        )

    return of_batch


@by_image
def grid_attention(w, x, num_heads):
    w = {name.removeprefix("attention/"): value for name, value in w.items()}
    q, k, v = (
        np.einsum("nc,chd->hnd", x, w[f"{name}/kernel"])
        + w[f"{name}/bias"][:, np.newaxis]
        for name in ("query", "key", "value")
    )
    y = np.zeros_like(x)
    for n in range(len(x)):
        for head in range(num_heads):
            found = attention(q[head, n], k[head], v[head])
            y[n] += found @ w["attention_output/kernel"][head]
    return y + w["attention_output/bias"]


@by_image
def token_mlp(w, x, hidden_dim=None):
    y = np.zeros_like(x)
    for c in range(x.shape[1]):
        y[:, c] = dense(w, "output", gelu(dense(w, "hidden", x[:, c])))
    return y


@by_image
def spatial_gating(w, x):
    u, v = gelu(dense(w, "gated", x)), gelu(dense(w, "gate", x))
    for n in range(len(v)):
        v[n] = (v[n] - v[n].mean()) / np.sqrt(v[n].var() + 1e-6)
    v = v * w["norm/gamma"] + w["norm/beta"]
    gate = np.zeros_like(v)
    for n in range(len(v)):
        for m in range(len(v)):
            gate[n] += w["spatial/kernel"][m, n] * v[m]
        gate[n] += w["spatial/bias"][n]
    return dense(w, "output", u * gate)


@by_image
def external_attention(w, x, memory_dim):
    logits = dense(w, "query", x) @ w["memory_key/kernel"]
    assert logits.shape == (len(x), memory_dim)
    weights = np.zeros_like(logits)
    for s in range(memory_dim):
        weights[:, s] = softmax(logits[:, s])
    y = np.zeros_like(x)
    for n in range(len(x)):
        y[n] = weights[n] / weights[n].sum() @ w["memory_value/kernel"]
    return dense(w, "output", y)


@by_image
def linformer_attention(w, x, num_heads, projected):
    rows = min(projected, len(x))
    e, f = w["project/kernel"].T[:rows], w["project/kernel"].T[rows:]
    assert len(e) == len(f) == rows
    # As the paper writes it: keys and values of all positions, then their mixtures.
    q, k, v = dense(w, "query", x), e @ dense(w, "key", x), f @ dense(w, "value", x)
    size = x.shape[1] // num_heads
    y = np.zeros_like(x)
    for n in range(len(x)):
        for head in range(num_heads):
            part = slice(head * size, (head + 1) * size)
            y[n, part] = attention(q[n, part], k[:, part], v[:, part])
    return dense(w, "output", y)


def mixed_line(w, lines, x, segments, hidden_dim):
    """One row or column `(L, C)`."""
    features = dense(w, f"reduce_{lines}", x)
    value = dense(w, f"value_{lines}", x)
    length, size = len(x), x.shape[1] // segments
    y = np.zeros_like(x)
    for s in range(segments):
        own = features[:, s * hidden_dim : (s + 1) * hidden_dim]
        logits = dense(w, f"generate_{lines}", own.reshape(-1))
        part = slice(s * size, (s + 1) * size)
        y[:, part] = softmax(logits.reshape(length, length)) @ value[:, part]
    return y


def dynamic_mixing(w, x, segments, hidden_dim):
    mixed = dense(w, "channel", x)
    for b in range(x.shape[0]):
        for i in range(x.shape[1]):
            mixed[b, i] += mixed_line(w, "rows", x[b, i], segments, hidden_dim)
        for j in range(x.shape[2]):
            column = mixed_line(w, "columns", x[b, :, j], segments, hidden_dim)
            mixed[b, :, j] += column
    return dense(w, "output", mixed)


def pooling(w, x, pool_size):
    before, after = pool_size // 2, pool_size // 2 + 1
    y = np.zeros_like(x)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            rows = slice(max(i - before, 0), i + after)
            columns = slice(max(j - before, 0), j + after)
            y[:, i, j] = x[:, rows, columns].mean(axis=(1, 2)) - x[:, i, j]
    return y


def depthwise(x, kernel, bias=0.0):
    """Zeros around the grid; the kernel `(H, W, C, 1)` is not turned."""
    height, width = kernel.shape[:2]
    y = np.zeros_like(x)
    for i, j in np.ndindex(x.shape[1:3]):
        for k, l_ in np.ndindex(height, width):
            row, column = i + k - height // 2, j + l_ - width // 2
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                y[:, i, j] += x[:, row, column] * kernel[k, l_, :, 0]
    return y + bias


def strip_convolution(w, x, kernel_size):
    y = depthwise(x, w["columns/kernel"])
    return depthwise(y, w["rows/kernel"], w["rows/bias"])


def local_global(w, x, kernel_size):
    y = depthwise(x, w["convolution/kernel"], w["convolution/bias"])
    return y + w["scale"] * x.mean(axis=(1, 2), keepdims=True)


def shift(w, x, window):
    """Every channel by itself."""
    reach, channels = window // 2, x.shape[-1]
    offsets = list(np.ndindex(window, window))
    size = max(1, channels // len(offsets))
    y = np.zeros_like(x)
    for channel in range(channels):
        group = channel // size
        offset = offsets[group] if group < len(offsets) else (reach, reach)
        for i, j in np.ndindex(x.shape[1:3]):
            row, column = i + offset[0] - reach, j + offset[1] - reach
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                y[:, i, j, channel] = x[:, row, column, channel]
    return y
