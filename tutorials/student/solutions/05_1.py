def blur_matrix(size, sigma):
    """`(size, size)`: how much pixel i takes from pixel j."""
    if sigma == 0:
        return np.eye(size)
    distance = np.arange(size)[:, None] - np.arange(size)
    weights = np.exp(-(distance**2) / (2 * sigma**2))
    return weights / weights.sum(axis=1, keepdims=True)
