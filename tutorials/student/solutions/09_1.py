def quantised(model, mode):
    """A quantised copy of a model."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.quantize(mode)
    return copy
