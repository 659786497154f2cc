def mass(heat, mask):
    """Share of attention on a mask, for each head."""
    return heat[:, mask].sum(axis=-1)
