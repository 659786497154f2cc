def mode_product(tensor, matrix, axis):
    """Applies a matrix along one axis of a tensor."""
    product = np.tensordot(matrix, tensor, axes=(1, axis))
    return np.moveaxis(product, 0, axis)
