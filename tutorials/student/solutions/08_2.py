@keras.saving.register_keras_serializable("course")
class Guided(Profiles):
    """Distance profiles, mixed as the image chooses."""

    def call(self, inputs, mask=None):
        seen = ops.mean(self.pool(inputs, mask), axis=1)  # (B, C)
        gates = ops.reshape(self.gates(seen), (-1, self.num_heads, self.profiles))
        shapes = ops.take(self.weight, self.index, axis=-1)  # (h, K, n, n)
        return ops.einsum("bhk,hkij->bhij", ops.softmax(gates), shapes)
