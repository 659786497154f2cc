def kronecker_sum(a, b):
    """`(n·m, n·m)`: the entry for (i, k), (j, l) is `a[i, j] + b[k, l]`."""
    size = len(a) * len(b)
    return (a[:, None, :, None] + b[None, :, None, :]).reshape(size, size)
