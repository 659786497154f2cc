def attacked(images, labels, gradient, epsilon):
    """The fast gradient sign method."""
    step = epsilon * np.sign(gradient(images, labels))
    return np.clip(images + step, 0, 1).astype("float32")
