# %% [markdown]
# # 2 · Build an STT layer yourself
#
# | at a glance | |
# | :-- | :-- |
# | **Questions** | What exactly happens in an STT layer? How does mathematics become a Keras layer that runs on every backend, trains, saves and loads? |
# | **You will be able to** | write the layer three times: as NumPy loops, with `keras.ops`, as a Keras layer · test one against the other · say what Dense can learn, what Random can learn, and why one of them needs positions |
# | **You need** | notebook 1, or: mode products, softmax; Keras at the level of `Sequential` |
# | **Minutes** | 40 to teach, 35 for the exercises; it runs in a minute |
#
# Set-up, also on Colab, is on the front page of the course, `tutorials/README.md`.
# Run the cells from top to bottom.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or "tensorflow", "torch"
# On GPUs, products in full float32: we compare digits.
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

import keras_stt
from keras_stt.datasets import render, scene

FAST = bool(os.environ.get("FAST"))  # a rehearsal: fewer steps
plt.rcParams |= {"figure.dpi": 100, "font.size": 9, "axes.titlesize": 10}
print(f"Keras {keras.__version__} on {keras.backend.backend()}")


# %%
def show(axes, values, title="", **how):
    """A matrix or an image, without ticks."""
    axes.imshow(values, **({"cmap": "viridis"} | how))
    axes.set(title=title, xticks=[], yticks=[])


# %% [markdown]
# ## The layer in one picture
#
# An image tensor comes in, of shape `(B, H, W, C)`, and a tensor of the same shape goes
# out. On the way, each of the two spatial axes gets an attention matrix of its own:

# %%
DARK, GREY, BLUE, ORANGE = "#22262B", "#69707A", "#1E4CD8", "#C9510E"
AT = (2.5, 1.0, BLUE), (2.5, 0.0, BLUE)
boxes = {
    "X\n(B, H, W, C)": (0, 1.0, DARK),
    "value projection\n$V = XW_V + b_V$": (2.5, 2.0, GREY),
    "mean over columns\ndense, ReLU, dense\nsoftmax: $A_1$ (H×H)": AT[0],
    "mean over rows\ndense, ReLU, dense\nsoftmax: $A_2$ (W×W)": AT[1],
    "mode products\n$V \\times_1 A_1 \\times_2 A_2$": (5.3, 1.0, ORANGE),
    "output projection\n$YW_O + b_O$": (7.8, 1.0, GREY),
}

# %%
figure, axes = plt.subplots(figsize=(8, 3.1))
for text, (x, y, color) in boxes.items():
    box = {"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": color}
    axes.text(x, y, text, ha="center", va="center", bbox=box, color=color, size=8.5)
arrow = {"arrowstyle": "->", "color": GREY, "shrinkA": 0, "shrinkB": 0}
for y in (0.0, 1.0, 2.0):
    axes.annotate("", (1.55, y), (0.6, 1.0), arrowprops=arrow)
    axes.annotate("", (4.5, 1.0 + 0.15 * (y - 1)), (3.5, y), arrowprops=arrow)
axes.annotate("", (7.05, 1.0), (6.15, 1.0), arrowprops=arrow)
axes.set(xlim=(-0.7, 8.7), ylim=(-0.6, 2.5))
axes.axis("off")
plt.show()

# %% [markdown]
# Each matrix is *synthesised*: row $i$ of $A_1$ is made from what stands in row $i$ of the
# image (the mean over its columns), and from nothing else. No position is compared with
# another.
#
# ## First time: loops
#
# The first version is to be *obviously right*, however slow. It will be the **oracle**, the
# thing that faster versions must agree with. One head, no biases:


# %%
def softmax(logits):
    """Rows that are positive and sum to 1."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def dense_row(features, W_1, b_1, W_2, b_2):
    """One row of logits, from the features of one row of the image."""
    return np.maximum(features @ W_1 + b_1, 0) @ W_2 + b_2


# %%
def stt_loops(X, W_V, rows, columns, W_O):
    """STT for one image `(H, W, C)`; `rows`, `columns`: the weights of `dense_row`."""
    H, W, _ = X.shape
    A_1 = np.stack([softmax(dense_row(X[i].mean(axis=0), *rows)) for i in range(H)])
    A_2 = np.stack(
        [softmax(dense_row(X[:, j].mean(axis=0), *columns)) for j in range(W)]
    )
    output = np.zeros((H, W, W_O.shape[1]))
    for i in range(H):
        for j in range(W):
            mixed = sum(
                A_1[i, k] * A_2[j, l] * (X[k, l] @ W_V)
                for k in range(H)
                for l in range(W)
            )
            output[i, j] = mixed @ W_O
    return output, A_1, A_2


# %% [markdown]
# We try it on an image of 6×5 positions and 4 channels. (Axes of different sizes: where a
# row is taken for a column, something breaks, and we notice.)

# %%
rng = np.random.default_rng(0)
H, W, C, hidden = 6, 5, 4, 8
X = rng.normal(size=(H, W, C))
W_V, W_O = rng.normal(size=(2, C, C))
rows, columns = (
    (
        *(rng.normal(size=(C, hidden)), rng.normal(size=hidden)),
        *(rng.normal(size=(hidden, size)) / 2, rng.normal(size=size)),
    )
    for size in (H, W)
)
expected, A_1, A_2 = stt_loops(X, W_V, rows, columns, W_O)

figure, panels = plt.subplots(1, 3, figsize=(6.5, 2.5))
show(panels[0], X[..., 0], "a channel of the input")
show(panels[1], A_1, "rows, $A_1$ 6×6", vmin=0, vmax=1)
show(panels[2], A_2, "columns, $A_2$ 5×5", vmin=0, vmax=1)
plt.show()

# %% [markdown]
# Two facts that must hold, whatever the weights are. Rows of attention sum to 1; so an
# image that is the same everywhere stays the same everywhere:

# %%
np.testing.assert_allclose(A_1.sum(axis=-1), 1)
np.testing.assert_allclose(A_2.sum(axis=-1), 1)
constant, *_ = stt_loops(np.ones((H, W, C)), W_V, rows, columns, W_O)
np.testing.assert_allclose(constant - constant[0, 0], 0, atol=1e-12)
print("Both hold.")

# %% [markdown]
# ## Second time: `keras.ops`
#
# `keras.ops` has NumPy's functions for tensors of TensorFlow, JAX and PyTorch: written once,
# the code runs on all three, on GPUs, with gradients. We also need a batch axis now, and
# several heads: the channels are split into `h` groups of size `d`, and each group gets
# matrices of its own.
#
# ### Exercise 1: synthesise the logits ★★
#
# Write `dense_logits`: from `inputs` of shape `(B, H, W, C)` to logits `(B, h, n, n)`,
# where `n` is the size of `axis` (1 for the rows, 2 for the columns). How many images there
# are may not be known yet: use -1 for `B` in a reshape. Take the mean over the
# *other* spatial axis; then dense, ReLU, dense; the last dense layer has `h·n` outputs,
# `n` for each head in turn.


# %% tags=["solution"]
def dense_logits(inputs, axis, num_heads, W_1, b_1, W_2, b_2):
    """Logits `(B, h, n, n)` for the mode `axis` of `inputs`, `(B, H, W, C)`."""
    # <solution>
    pooled = ops.mean(inputs, axis=3 - axis)  # (B, n, C)
    logits = ops.relu(pooled @ W_1 + b_1) @ W_2 + b_2  # (B, n, h·n)
    size = inputs.shape[axis]
    logits = ops.reshape(logits, (-1, size, num_heads, size))
    return ops.transpose(logits, (0, 2, 1, 3))
    # </solution>


# %% tags=["wrong"]
def dense_logits(inputs, axis, num_heads, W_1, b_1, W_2, b_2):
    """Heads and positions taken for each other."""
    pooled = ops.mean(inputs, axis=3 - axis)
    logits = ops.relu(pooled @ W_1 + b_1) @ W_2 + b_2
    size = inputs.shape[axis]
    return ops.reshape(logits, (-1, num_heads, size, size))


# %% tags=["wrong"]
def dense_logits(inputs, axis, num_heads, W_1, b_1, W_2, b_2):
    """Rows and columns exchanged: the matrix is transposed."""
    pooled = ops.mean(inputs, axis=3 - axis)
    logits = ops.relu(pooled @ W_1 + b_1) @ W_2 + b_2
    size = inputs.shape[axis]
    logits = ops.reshape(logits, (-1, size, num_heads, size))
    return ops.transpose(logits, (0, 2, 3, 1))


# %% tags=["wrong"]
def dense_logits(inputs, axis, num_heads, W_1, b_1, W_2, b_2):
    """NumPy, which works here and in no model."""
    pooled = np.mean(ops.convert_to_numpy(inputs), axis=3 - axis)
    logits = ops.relu(pooled @ W_1 + b_1) @ W_2 + b_2
    size = inputs.shape[axis]
    logits = ops.reshape(logits, (-1, size, num_heads, size))
    return ops.transpose(logits, (0, 2, 1, 3))


# %% tags=["check"]
batch = rng.normal(size=(3, H, W, C)).astype("float32")
for axis, size in ((1, H), (2, W)):
    shapes = (C, hidden), (hidden,), (hidden, 2 * size), (2 * size,)
    W_1, b_1, W_2, b_2 = drawn = [rng.normal(size=s).astype("float32") for s in shapes]
    tensors = [ops.convert_to_tensor(each) for each in drawn]
    logits = dense_logits(ops.convert_to_tensor(batch), axis, 2, *tensors)
    assert logits is not None and logits is not ..., "`dense_logits` returns nothing"
    expected_shape = (3, 2, size, size)
    assert tuple(logits.shape) == expected_shape, (
        f"{logits.shape}, not {expected_shape}"
    )
    for head in range(2):
        part = slice(head * size, (head + 1) * size)
        features = batch[1].take(2, axis=axis - 1).mean(axis=0)
        row = dense_row(features, W_1, b_1, W_2[:, part], b_2[part])
        found = ops.convert_to_numpy(logits)[1, head, 2]
        assert np.allclose(found, row, atol=1e-3), (
            f"axis {axis}, head {head}: other logits in row 2. Is the last axis split into\n"
            "(heads, n), and only then transposed? Are they logits, before a softmax?"
        )


class Probe(keras.layers.Layer):
    """How Keras calls it when it builds a model: without numbers, for any batch."""

    def call(self, inputs):
        return dense_logits(inputs, 2, 2, *tensors)


try:
    Probe()(keras.Input((H, W, C)))
except Exception as error:
    raise AssertionError("use `keras.ops` alone, no NumPy, and -1 for B") from error
print("Right.")

# %% [markdown]
# The rest in the same style. Einstein sums say what happens in one line: `h` heads go along,
# `j` (the row looked at) is summed over.


# %%
def stt(inputs, num_heads, W_V, rows, columns, W_O):
    """STT for a batch `(B, H, W, C)`."""
    A_1 = ops.softmax(dense_logits(inputs, 1, num_heads, *rows))
    A_2 = ops.softmax(dense_logits(inputs, 2, num_heads, *columns))
    _, H, W, _ = inputs.shape  # how many images there are may not be known yet
    size = W_V.shape[-1] // num_heads
    value = ops.reshape(inputs @ W_V, (-1, H, W, num_heads, size))
    value = ops.einsum("bhij,bjwhd->biwhd", A_1, value)  # along the rows
    value = ops.einsum("bhij,bwjhd->bwihd", A_2, value)  # along the columns
    return ops.reshape(value, (-1, H, W, num_heads * size)) @ W_O


def as_tensors(values):
    """NumPy arrays, also within tuples, as float32 tensors of the backend."""
    return keras.tree.map_structure(
        lambda v: ops.convert_to_tensor(v, "float32"), values
    )


found = stt(*as_tensors((X[None],)), 1, *as_tensors((W_V, rows, columns, W_O)))
np.testing.assert_allclose(ops.convert_to_numpy(found)[0], expected, atol=1e-4)
print("The second version equals the loops.")

# %% [markdown]
# Two heads are two layers side by side, each with its share of the channels. That gives us
# a test for heads too: set the weights of head 2 to those of head 1, and the outputs of both
# must be the same.


# %%
def twice(weights, size):
    """Weights of two heads that are the same."""
    return tuple(
        np.concatenate([w, w], axis=-1) if w.shape[-1] == size else w for w in weights
    )


inputs, kernel = as_tensors((X[None], np.concatenate([W_V, W_V], axis=1)))
weights = as_tensors((twice(rows, H), twice(columns, W), np.eye(2 * C)))
both = ops.convert_to_numpy(stt(inputs, 2, kernel, *weights))[0]
for head in np.split(both, 2, axis=-1):
    np.testing.assert_allclose(head @ W_O, expected, atol=1e-4)
print("Each of the two heads equals the loops.")

# %% [markdown]
# ## Third time: a Keras layer
#
# What does a function lack to be a layer? Weights of its own, created when the input's shape
# is known (`build`); a configuration from which it can be made again (`get_config`); a name
# under which a file can find it (`register_keras_serializable`).
#
# ### Exercise 2: `call` and `get_config` ★★
#
# The constructor and `build` are here:


# %%
class Weights(keras.layers.Layer):
    """What an STT layer for images `(B, H, W, C)` has to learn."""

    def __init__(self, num_heads, hidden_dim=32, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim

    def build(self, input_shape):
        _, H, W, C = input_shape
        self.value_kernel = self.add_weight((C, C), name="value")
        self.output_kernel = self.add_weight((C, C), name="output")
        self.rows, self.columns = self.synthesis(C, H), self.synthesis(C, W)

    def synthesis(self, channels, size):
        # Logits near 0 would make every attention matrix a mean, which blurs.
        normal = keras.initializers.RandomNormal(stddev=1.0)
        return (
            self.add_weight((channels, self.hidden_dim), name="W_1"),
            self.add_weight((self.hidden_dim,), "zeros", name="b_1"),
            self.add_weight((self.hidden_dim, self.num_heads * size), name="W_2"),
            self.add_weight((self.num_heads * size,), normal, name="b_2"),
        )


# %% [markdown]
# `call` can use `stt` from above; `get_config` must return every argument of the
# constructor, besides those that `keras.layers.Layer` returns by itself.


# %% tags=["solution"]
@keras.saving.register_keras_serializable("course")
class MySTT(Weights):
    """STT for images, with dense synthesis and without biases of the projections."""

    def call(self, inputs):
        # <solution>
        parts = (self.value_kernel, self.rows, self.columns, self.output_kernel)
        return stt(inputs, self.num_heads, *parts)
        # </solution>

    def get_config(self):
        # <solution>
        config = super().get_config()
        return {**config, "num_heads": self.num_heads, "hidden_dim": self.hidden_dim}
        # </solution>


# %% tags=["wrong"]
class MySTT(Weights):
    """An argument of the constructor is forgotten."""

    def call(self, inputs):
        parts = (self.value_kernel, self.rows, self.columns, self.output_kernel)
        return stt(inputs, self.num_heads, *parts)

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}


# %% tags=["wrong"]
class MySTT(Weights):
    """Two projections, and no attention between them."""

    def call(self, inputs):
        return inputs @ self.value_kernel @ self.output_kernel

    def get_config(self):
        config = super().get_config()
        return {**config, "num_heads": self.num_heads, "hidden_dim": self.hidden_dim}


# %% tags=["check"]
layer = MySTT(num_heads=2, hidden_dim=hidden)
layer.build(batch.shape)
output = layer(batch)
assert output is not None, "`call` returns nothing"
assert tuple(output.shape) == batch.shape, f"shape {tuple(output.shape)}"
config = layer.get_config()
assert config and {"name", "dtype"} <= set(config), "the config of `Layer` is missing"
assert config.get("num_heads") == 2, "num_heads is missing in the config"
assert config.get("hidden_dim") == hidden, "hidden_dim is missing in the config"
one_head = MySTT(num_heads=1, hidden_dim=hidden)
one_head.build(batch.shape)
assert one_head.get_config()["num_heads"] == 1, "the config of another layer"
weights = [
    one_head.value_kernel,
    [*one_head.rows],
    [*one_head.columns],
    one_head.output_kernel,
]
weights = keras.tree.map_structure(ops.convert_to_numpy, weights)
by_loops, *_ = stt_loops(batch[0], *weights)
found = ops.convert_to_numpy(one_head(batch))[0]
assert np.allclose(found, by_loops, atol=1e-4), "other numbers than the loops"
print("Right: the layer equals the loops.")

# %% [markdown]
# ### Does it save and load?
#
# A layer that cannot be loaded again is worth nothing after a night of training. We put it
# into a model, save that into a file, load the file, and compare.

# %%
import tempfile
from pathlib import Path

model = keras.Sequential([keras.Input((H, W, C)), MySTT(2), MySTT(2, name="another")])
with tempfile.TemporaryDirectory() as folder:
    model.save(Path(folder) / "model.keras")
    loaded = keras.models.load_model(Path(folder) / "model.keras")
before, after = (m.predict(batch, verbose=0) for m in (model, loaded))
np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-6)
print(f"{model.count_params()} parameters saved and loaded; the outputs are equal.")

# %% [markdown]
# ## It equals `keras_stt.layers.STT`
#
# The library's layer does more (text and video, masks, dropout, causal masks, mixed
# precision, other synthesizers), but by default it computes the same. We
# give it our weights:

# %%
library = keras_stt.layers.STT(
    num_heads=2,
    synthesizer=keras_stt.synthesizers.Dense(hidden_dim=hidden),
    use_bias=False,
)
library.build(batch.shape)
library.value_dense.kernel.assign(layer.value_kernel)
library.output_dense.kernel.assign(layer.output_kernel)
for synthesizer, (W_1, b_1, W_2, b_2) in zip(
    library.synthesizers, (layer.rows, layer.columns)
):
    synthesizer.hidden_dense.kernel.assign(W_1)
    synthesizer.hidden_dense.bias.assign(b_1)
    synthesizer.logits_dense.kernel.assign(W_2)
    synthesizer.logits_dense.bias.assign(b_2)

difference = np.abs(ops.convert_to_numpy(output - library(batch))).max()
assert difference < 1e-4
print(f"The largest difference: {difference:.1e}")

# %% [markdown]
# ## A task with a known answer: the mirror
#
# Can the layer learn? We let it mirror pictures, left to right. The answer is known: the
# columns' matrix must become an anti-diagonal, that of the rows the identity. Which
# synthesizer will find them, Random or Dense? *Make a guess before you go on.*

# %%
side, count = 16, 128 if FAST else 512
pictures = np.stack([render(scene(0, "train", i), side) for i in range(count)])
pictures = pictures.astype("float32") / 255
mirrored = pictures[:, :, ::-1]

figure, panels = plt.subplots(2, 6, figsize=(7.5, 2.7))
for axes, values in zip(panels.T, zip(pictures, mirrored)):
    for each, value in zip(axes, values):
        show(each, value)
panels[0, 0].set_ylabel("input")
panels[1, 0].set_ylabel("target")
plt.show()


# %%
def trained(*layers, seed=0):
    """A model of these layers, trained to mirror, and its losses."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((side, side, 3)), *layers])
    model.compile(keras.optimizers.Adam(0.03), "mean_squared_error")
    epochs = 160 if FAST else 40  # the same number of steps
    history = model.fit(pictures, mirrored, batch_size=64, epochs=epochs, verbose=0)
    return model, np.array(history.history["loss"])


def attention(synthesizer):
    """The layer under test."""
    return keras_stt.layers.STT(
        num_heads=2, value_dim=8, output_shape=3, synthesizer=synthesizer
    )


results = {
    "random": trained(attention("random")),
    "dense": trained(keras.layers.Dense(16), attention("dense")),
}
for name, (_, losses) in results.items():
    print(f"{name:7}: mean squared error {losses[-1]:.5f}")

# %% [markdown]
# Here is what they make of four pictures, and the matrices of Random: the anti-diagonal is
# there.


# %%
def compare_pictures(results):
    """Inputs, and what each model makes of them."""
    figure, panels = plt.subplots(
        len(results) + 1, 4, figsize=(5, 1.25 * len(results) + 1.3)
    )
    for axes, value in zip(panels[0], pictures):
        show(axes, value)
    panels[0, 0].set_ylabel("input")
    for line, (name, (model, _)) in zip(panels[1:], results.items()):
        for axes, value in zip(line, model.predict(pictures[:4], verbose=0)):
            show(axes, np.clip(value, 0, 1))
        line[0].set_ylabel(name.replace(", ", ",\n"))
    plt.show()


compare_pictures(results)

# %%
model, _ = results["random"]
(maps,) = keras_stt.inspection.attention_maps(model, pictures[:1])
figure, panels = plt.subplots(1, 4, figsize=(7.5, 2.2))
for axes, (name, head) in zip(
    panels, [(n, h) for n in ("rows", "columns") for h in (0, 1)]
):
    matrix = maps.scores[name == "columns"][0, head]
    show(axes, matrix, f"{name}, head {head + 1}", vmin=0, vmax=1)
plt.show()

# %% [markdown]
# Random learns it nearly perfectly. Dense only blurs, and its error no longer falls (below).
# Why? Row $i$ of its matrix is made from *what stands in* row $i$ of the picture. To mirror,
# a column has to know *where it is*, and the picture does not say. Two dark columns at
# different places get the same weights.
#
# ### Exercise 3: help Dense ★
#
# `keras_stt.layers.PositionEmbedding()` adds a learned vector to each position of a grid.
# Write `helped()`, which returns a list of new layers that can mirror, `attention("dense")`
# among them. (Where must the embedding go? Is there room for it in 3 channels?)


# %% tags=["solution"]
def helped():
    """Layers that know what stands where."""
    # <solution>
    return [
        keras.layers.Dense(16),
        keras_stt.layers.PositionEmbedding(),
        attention("dense"),
    ]
    # </solution>


# %% tags=["wrong"]
def helped():
    """Too late."""
    return [
        keras.layers.Dense(16),
        attention("dense"),
        keras_stt.layers.PositionEmbedding(),
    ]


# %% tags=["wrong"]
def helped():
    """No help for Dense."""
    return [attention("random")]


# %% tags=["check"]
layers = helped()
assert layers, "`helped` returns no layers"
kinds = [type(layer).__name__ for layer in layers]
assert "PositionEmbedding" in kinds and "STT" in kinds, f"layers: {kinds}"
made = layers[kinds.index("STT")].synthesizer
assert isinstance(made, keras_stt.synthesizers.Dense), "the attention must be Dense"
results["dense, with positions"] = trained(*layers)
_, losses = results["dense, with positions"]
assert losses[-1] < results["dense"][1][-1] / 2, (
    f"it still blurs, {losses[-1]:.4f}: do the positions come before the attention?"
)
print(f"Right: mean squared error {losses[-1]:.5f}.")

# %%
compare_pictures(results)
colors = {"random": "#F1A212", "dense": "#1E4CD8", "dense, with positions": "#1E4CD8"}
figure, axes = plt.subplots(figsize=(6, 3))
for (name, (_, losses)), style in zip(results.items(), ("-", "--", "-.")):
    steps = np.linspace(0, 320, len(losses) + 1)[1:]
    axes.semilogy(steps, losses, style, color=colors[name], label=name)
axes.set(xlabel="training step", ylabel="mean squared error")
axes.legend()
plt.show()

# %% [markdown]
# Remember this when you build models: **give Dense positions**. All models of this course do.
#
# ## Honest limits
#
# - Our `MySTT` is written to be read. The library's layer lays heads and channels out so that
#   each product is one matrix product.
# - Dense weights are tied to the size of the grid, as are Random's: a layer built for 6×5
#   does not take 8×8.
# - A mirror is a toy. It shows that gradients find the matrices, not that they are useful.
#
# ## Key points
#
# - Write the slow, obvious version first, and test the others against it, with axes of
#   different sizes.
# - `build` makes the weights, `get_config` the constructor's arguments; save, load, compare.
# - `keras.ops` runs on every backend.
# - Dense sees content, not places; with position embeddings it can use both. Random sees
#   places, not content.
#
# ## Five questions
#
# 1. Why are the test images 6×5 and not 6×6?
# 2. What goes wrong if `hidden_dim` is missing in `get_config`?
# 3. Why do the logits' biases start with a standard deviation of 1, and not with zeros?
# 4. Both heads have the same weights. What have you gained?
# 5. Could Random learn to mirror only those pictures that contain something red?
#
# <details><summary>Answers</summary>
#
# 1. Exchanged axes would go unnoticed on a square.
# 2. A loaded layer has the default, and its weights do not fit (or worse, they do).
# 3. With logits near 0 all weights are equal, and the layer starts as a blur.
# 4. Nothing: they compute the same thing twice.
# 5. No; its matrices are the same for every picture. One Dense layer could not either: a
#    column knows only what stands in itself. After a layer that spreads the news, a second
#    one could.
#
# </details>
#
# ## References
#
# - [STT, arXiv 2201.01410](https://arxiv.org/abs/2201.01410);
#   [Synthesizer, arXiv 2005.00743](https://arxiv.org/abs/2005.00743).
# - Keras, [Making new layers and models via
#   subclassing](https://keras.io/guides/making_new_layers_and_models_via_subclassing/).
# - `docs/mathematics.md` of this repository: the equations, each with its source.
