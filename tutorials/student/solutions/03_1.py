def classifier(mixer):
    """An image classifier around the mixer of this name."""
    image = keras.Input((32, 32, 3))
    x = keras_stt.layers.PositionEmbedding()(stem(image))
    for _ in range(DEPTH):
        x = keras_stt.layers.STTBlock(mixers[mixer](), mlp_ratio=2)(x)
    x = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(2)(x)
    return keras.Model(image, logits)
