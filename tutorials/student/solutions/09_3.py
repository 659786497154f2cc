def train_only_mixers(model, on):
    """Freezes everything but the mixers, or nothing."""
    model.trainable = True
    if not on:
        return
    for layer in model.layers:
        if isinstance(layer, keras_stt.layers.STTBlock):
            for part in (layer.mixer_norm, layer.mlp_norm, layer.expand, layer.project):
                part.trainable = False
        else:
            layer.trainable = False
