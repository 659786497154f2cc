def kept(clean, disturbed, classes):
    """The share of the advantage over guessing that is left."""
    return (disturbed - 1 / classes) / (clean - 1 / classes)
