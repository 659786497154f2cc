def dense_logits(inputs, axis, num_heads, W_1, b_1, W_2, b_2):
    """Logits `(B, h, n, n)` for the mode `axis` of `inputs`, `(B, H, W, C)`."""
    pooled = ops.mean(inputs, axis=3 - axis)  # (B, n, C)
    logits = ops.relu(pooled @ W_1 + b_1) @ W_2 + b_2  # (B, n, h·n)
    size = inputs.shape[axis]
    logits = ops.reshape(logits, (-1, size, num_heads, size))
    return ops.transpose(logits, (0, 2, 1, 3))
