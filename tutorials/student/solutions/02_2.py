@keras.saving.register_keras_serializable("course")
class MySTT(Weights):
    """STT for images, with dense synthesis and without biases of the projections."""

    def call(self, inputs):
        parts = (self.value_kernel, self.rows, self.columns, self.output_kernel)
        return stt(inputs, self.num_heads, *parts)

    def get_config(self):
        config = super().get_config()
        return {**config, "num_heads": self.num_heads, "hidden_dim": self.hidden_dim}
