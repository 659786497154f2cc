layers = [
    keras.layers.Dense(16),
    keras_stt.layers.PositionEmbedding(),
    attention("dense"),
]
