def answer(image):
    """The colour of the upper object, and its probability."""
    logits = artifact(image[None].astype("float32") / 255)[0]
    powers = np.exp(logits - logits.max())
    best = int(logits.argmax())
    return list(COLOURS)[best], float(powers[best] / powers.sum())
