@keras.saving.register_keras_serializable("course")
class Relative(keras_stt.synthesizers.Synthesizer):
    """Logits by the distance of two positions."""

    input_dependent = False

    def build(self, input_shape):
        size = self.mode_size(input_shape)
        self.index = np.arange(size)[:, None] - np.arange(size) + size - 1
        self.weight = self.add_weight(
            shape=(self.num_heads, 2 * size - 1),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="weight",
        )

    def call(self, inputs, mask=None):
        return ops.take(self.weight, self.index, axis=-1)[None]
