# %% [markdown]
# # 1 · Attention without dot products
#
# | at a glance | |
# | :-- | :-- |
# | **Questions** | What does self-attention compute, and what does it cost on an image? Can attention do without comparing every pixel with every other? |
# | **You will be able to** | write self-attention in ten lines · say what the Synthesizer left out · apply a matrix along one axis of a tensor · explain why two small matrices stand for one huge one, and what they cannot do |
# | **You need** | NumPy, matrix products, softmax |
# | **Minutes** | 30 to teach, 25 for the exercises; it runs in seconds |
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

import keras_stt
from keras_stt.datasets import render, scene

plt.rcParams |= {"figure.dpi": 100, "font.size": 9, "axes.titlesize": 10}
print(f"Keras {keras.__version__} on {keras.backend.backend()}")

# %% [markdown]
# ## The problem in one picture
#
# Below is an image of the data set `scenes`, which this course draws itself. The question
# it asks: *do the two objects have the same colour?* They are far apart, so whatever
# answers it has to bring information from one end of the image to the other. That is what
# attention is for.
#
# A network sees the image as a **grid** of positions. Cut into 8×8 patches (of 4×4 pixels),
# it has $N = 64$ of them; with a position per pixel, $N = 1024$.


# %%
def show(axes, values, title="", **how):
    """A matrix or an image, without ticks."""
    axes.imshow(values, **({"cmap": "viridis"} | how))
    axes.set(title=title, xticks=[], yticks=[])


picture = render(scene(0, "train", 4)) / 255
figure, (left, right) = plt.subplots(1, 2, figsize=(6, 2.9))
show(left, picture, "what you see")
show(right, picture, "8×8 positions")
for line in range(0, 33, 4):
    right.axhline(line - 0.5, color="white", linewidth=0.5)
    right.axvline(line - 0.5, color="white", linewidth=0.5)
plt.show()

# %% [markdown]
# Self-attention compares every position with every other: its matrix has $N \times N$
# weights. The method of this course, **STT** (Synthesizing Tensor Transformations), keeps
# one matrix for the rows and one for the columns. Here they are for a grid of 32×32,
# drawn to the same scale:

# %%
n = 32
figure, axes = plt.subplots(figsize=(6, 3.2))
axes.add_patch(plt.Rectangle((0, 0), n * n, n * n, color="#111111"))
for corner in (300, 400):
    axes.add_patch(plt.Rectangle((n * n + corner, 500), n, n, color="#1E4CD8"))
axes.text(
    n * n / 2,
    n * n / 2,
    f"self-attention\n{n**4:,} weights",
    color="white",
    ha="center",
)
axes.text(
    n * n + 370,
    420,
    f"STT\n2 × {n**2:,} weights",
    ha="center",
    va="top",
    color="#1E4CD8",
)
axes.set(xlim=(0, 2 * n * n), ylim=(0, n * n), aspect="equal")
axes.axis("off")
plt.show()

# %% [markdown]
# How can 2,048 numbers do the work of a million? That is the question of this notebook.
#
# ## Self-attention in ten lines
#
# Take a tiny image, 3×3 positions with 4 channels, and **flatten** it to 9 positions.
# Self-attention makes three projections of each position: a *query*, a *key* and a
# *value*. The weight that position $i$ gives to position $j$ is the softmax, over $j$,
# of the dot product of query $i$ with key $j$:
#
# $$A = \operatorname{softmax}\!\left(\frac{QK^\top}{\sqrt d}\right), \qquad Y = AV$$


# %%
def softmax(logits):
    """Rows that are positive and sum to 1."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


rng = np.random.default_rng(0)
image = rng.normal(size=(3, 3, 4))
flat = image.reshape(9, 4)  # the structure of the image is gone
W_q, W_k, W_v = rng.normal(size=(3, 4, 4))

query, key, value = flat @ W_q, flat @ W_k, flat @ W_v
attention = softmax(query @ key.T / np.sqrt(4))
output = attention @ value
attention.shape, output.shape

# %% [markdown]
# Each row of the matrix belongs to one position, and says where it looks. Row 4 is the
# centre of the image; put back into the grid, it is a picture of 3×3:

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(6, 3))
show(left, attention, "the attention matrix, 9×9", vmin=0, vmax=1)
left.add_patch(plt.Rectangle((-0.5, 3.5), 9, 1, fill=False, color="red", linewidth=2))
left.set(ylabel="position that looks", xlabel="position looked at")
show(right, attention[4].reshape(3, 3), "its row 4, in the grid", vmin=0, vmax=1)
plt.show()

# %% [markdown]
# Keras's own layer computes the same. (It gets our matrices, one head, no biases.)

# %%
mha = keras.layers.MultiHeadAttention(num_heads=1, key_dim=4, use_bias=False)
mha.build((1, 9, 4), (1, 9, 4))
mha.set_weights([W_q[:, None], W_k[:, None], W_v[:, None], np.eye(4)[None]])
by_keras = keras.ops.convert_to_numpy(mha(flat[None], flat[None]))[0]
np.testing.assert_allclose(by_keras, output, atol=1e-4)
print("The ten lines equal keras.layers.MultiHeadAttention.")

# %% [markdown]
# ### What it costs
#
# With $N$ positions and $C$ channels there are four projections of $N C^2$ multiply-adds
# each (query, key, value, output), and two products with the $N \times N$ matrix:
#
# $$4NC^2 + 2N^2C$$
#
# The second term grows with the *square* of the pixels. Double the side of the image, and
# it grows sixteenfold.

# %%
sides = np.array([8, 16, 32, 64, 128, 224])
N, C = sides**2, 64
figure, axes = plt.subplots(figsize=(6, 3.2))
axes.loglog(sides, 4 * N * C**2, "--", color="#777777", label="projections, $4NC^2$")
axes.loglog(sides, 2 * N**2 * C, "v-", color="#111111", label="attention, $2N^2C$")
axes.set(xlabel="side of the grid (positions)", ylabel="multiply-adds per image")
axes.set_xticks(sides, map(str, sides))
axes.minorticks_off()
axes.legend()
plt.show()
print(f"At 224×224: {2 * (224**2) ** 2 * C:.1e} for the attention alone.")

# %% [markdown]
# ## What the Synthesizer left out
#
# In 2020, Tay et al. asked whether the dot products are needed at all
# ([Synthesizer, arXiv 2005.00743](https://arxiv.org/abs/2005.00743)). They *synthesise*
# the logits instead, without comparing any two positions:
#
# - **Random**: the logits $R$ are weights of the layer. They are learned, and the same for
#   every input.
# - **Dense**: position $i$ makes its row of logits by itself, from what it sees:
#   $L_i = W_2 \operatorname{relu}(W_1 x_i)$.
#
# Nothing else changes: softmax, then the product with the values.

# %%
R = rng.normal(size=(9, 9))
W_1, W_2 = rng.normal(size=(4, 8)), rng.normal(size=(8, 9)) / 2

random_attention = softmax(R)
dense_attention = softmax(np.maximum(flat @ W_1, 0) @ W_2)

figure, panels = plt.subplots(1, 3, figsize=(7, 2.6))
for axes, matrix, title in zip(
    panels,
    (attention, dense_attention, random_attention),
    ("dot products", "dense", "random"),
):
    show(axes, matrix, title, vmin=0, vmax=1)
plt.show()

# %% [markdown]
# On translation that was nearly as good as dot products; where two sentences have to be
# *compared*, it was worse, until both were mixed. (Remember this in notebook 3.) On an image
# it does not yet help:
# the matrix is still $N \times N$, and Random needs a weight for every entry: for a grid
# of 224×224, two and a half billion of them.
#
# ## Mode products
#
# So let us not flatten. A picture is a **tensor** with two spatial axes, its *modes*, and
# we can apply a matrix along one of them. Along the rows,
#
# $$(T \times_1 A)_{i,w,c} = \sum_j A_{ij}\, T_{j,w,c}$$
#
# New row $i$ is a mixture of the old rows $j$. First by hand, on a 3×3 image with one
# channel. This matrix replaces the first row by the mean of the first two, and swaps the
# other two:

# %%
tiny = np.array([[0.0, 1, 2], [4, 5, 6], [8, 9, 9]])
A = np.array([[0.5, 0.5, 0], [0, 0, 1], [0, 1, 0]])
print("along the rows, A @ T:")
print(A @ tiny)
print("along the columns, T @ A.T:")
print(tiny @ A.T)

# %% [markdown]
# On a real picture, matrices along the axes move things around. Three matrices of 32×32,
# each along the rows, along the columns, and both:

# %%
identity = np.eye(32)
matrices = {
    "shift by 8": np.roll(identity, 8, axis=0),
    "mirror": identity[::-1],
    "mean of 7": sum(np.roll(identity, k, axis=0) for k in range(-3, 4)) / 7,
}
figure, panels = plt.subplots(3, 5, figsize=(7.5, 4.6))
for line, (name, matrix) in zip(panels, matrices.items()):
    rows = np.einsum("ij,jwc->iwc", matrix, picture)
    columns = np.einsum("ij,hjc->hic", matrix, picture)
    both = np.einsum("ij,hjc->hic", matrix, rows)
    show(line[0], matrix, name)
    for axes, values, title in zip(
        line[1:], (picture, rows, columns, both), ("image", "rows", "columns", "both")
    ):
        show(axes, values, title)
figure.tight_layout()
plt.show()

# %% [markdown]
# Attention is a mixture too: of all positions, with weights that sum to 1. So attention
# along the rows is a mode product with a matrix whose rows are softmaxes.
#
# ### Exercise 1: a mode product for any axis ★
#
# Write `mode_product(tensor, matrix, axis)` for a NumPy tensor of any rank: the result has
# `matrix.shape[0]` entries along `axis`, and the other axes stay where they are.
# (`np.tensordot` and `np.moveaxis`, or a reshape and `@`.)


# %% tags=["solution"]
def mode_product(tensor, matrix, axis):
    """Applies a matrix along one axis of a tensor."""
    # <solution>
    product = np.tensordot(matrix, tensor, axes=(1, axis))
    return np.moveaxis(product, 0, axis)
    # </solution>


# %% tags=["wrong"]
def mode_product(tensor, matrix, axis):
    """The transposed matrix."""
    return np.moveaxis(np.tensordot(matrix.T, tensor, axes=(1, axis)), 0, axis)


# %% tags=["wrong"]
def mode_product(tensor, matrix, axis):
    """The new axis left at the front."""
    return np.tensordot(matrix, tensor, axes=(1, axis))


# %% tags=["check"]
tensor = np.random.default_rng(1).normal(size=(2, 4, 5, 3))
for axis, size in enumerate(tensor.shape):
    matrix = np.random.default_rng(axis).normal(size=(size + 1, size))
    result = mode_product(tensor, matrix, axis)
    before, after = "abcd", "abcd".replace("abcd"[axis], "y")
    expected = np.einsum(f"y{before[axis]},{before}->{after}", matrix, tensor)
    shapes = f"{np.shape(result)}, not {expected.shape}"
    assert np.shape(result) == expected.shape, f"axis {axis}: shape {shapes}"
    assert np.allclose(result, expected), f"axis {axis}: other numbers than expected"
print("Right.")

# %% [markdown]
# ## Two small matrices are one large one
#
# Take a matrix for the rows and one for the columns. What do both together do to the
# *flattened* image? Position $(h, w)$ gets the value of $(h', w')$ with weight
# $A_1[h, h'] \cdot A_2[w, w']$. These products fill an $N \times N$ matrix, the **Kronecker
# product** $A_1 \otimes A_2$:

# %%
R_1, R_2 = rng.normal(size=(2, 3, 3))
A_1, A_2 = softmax(R_1), softmax(R_2)
large = np.kron(A_1, A_2)

by_modes = mode_product(mode_product(image, A_1, axis=0), A_2, axis=1)
by_large = (large @ image.reshape(9, 4)).reshape(3, 3, 4)
np.testing.assert_allclose(by_modes, by_large)

figure, panels = plt.subplots(1, 3, figsize=(7, 2.8), width_ratios=[1, 1, 2.2])
show(panels[0], A_1, "rows, $A_1$", vmin=0, vmax=0.8)
show(panels[1], A_2, "columns, $A_2$", vmin=0, vmax=0.8)
show(panels[2], large, "what they stand for, $A_1 \\otimes A_2$", vmin=0)
plt.show()

# %% [markdown]
# In the large matrix you see $A_2$ nine times, each time scaled by an entry of $A_1$. Its
# rows sum to 1: it *is* an attention matrix over all 81 pairs of positions, and we never
# had to form it.
#
# ### Its logits: the Kronecker sum
#
# Which logits would an ordinary $N \times N$ attention need to get there? The exponential
# turns sums into products, so the logits of the two modes are *added*:
# $L[(h, w), (h', w')] = R_1[h, h'] + R_2[w, w']$, the **Kronecker sum** $R_1 \oplus R_2$.
# Then
#
# $$\operatorname{softmax}(R_1) \otimes \operatorname{softmax}(R_2)
# = \operatorname{softmax}(R_1 \oplus R_2)$$
#
# exactly. STT with learned logits is a Random Synthesizer over all pairs of positions,
# whose million logits are sums of two thousand numbers.
#
# ### Exercise 2: the Kronecker sum ★
#
# Write `kronecker_sum(a, b)` for two square matrices. (Not the one of linear algebra, with
# identities: every entry is a sum. Adding with broadcasting, then a
# reshape; or `np.kron` with matrices of ones.)


# %% tags=["solution"]
def kronecker_sum(a, b):
    """`(n·m, n·m)`: the entry for (i, k), (j, l) is `a[i, j] + b[k, l]`."""
    # <solution>
    size = len(a) * len(b)
    return (a[:, None, :, None] + b[None, :, None, :]).reshape(size, size)
    # </solution>


# %% tags=["wrong"]
def kronecker_sum(a, b):
    """The sum that linear algebra often calls so, with identities."""
    return np.kron(a, np.eye(len(b))) + np.kron(np.eye(len(a)), b)


# %% tags=["wrong"]
def kronecker_sum(a, b):
    """The modes exchanged."""
    size = len(a) * len(b)
    return (b[:, None, :, None] + a[None, :, None, :]).reshape(size, size)


# %% tags=["check"]
one, two = np.random.default_rng(2).normal(size=(2, 4, 4))
two = two[:3, :3]
logits = kronecker_sum(one, two)
assert np.shape(logits) == (12, 12), f"shape {np.shape(logits)}, expected (12, 12)"
assert np.isclose(logits[2 * 3 + 1, 3 * 3 + 0], one[2, 3] + two[1, 0]), (
    "the entry for (2, 1), (3, 0) should be a[2, 3] + b[1, 0]"
)
identity = np.kron(softmax(one), softmax(two))
assert np.allclose(softmax(logits), identity), "the identity above does not hold"
print("Right.")

# %% [markdown]
# The identity as a picture: above, softmax first, then the Kronecker product; below, the
# Kronecker sum first, then one softmax over all nine positions.

# %%
figure, panels = plt.subplots(2, 3, figsize=(7, 4.6))
for axes, values, title in zip(
    panels.flat,
    (A_1, A_2, np.kron(A_1, A_2), R_1, R_2, softmax(kronecker_sum(R_1, R_2))),
    (
        *("softmax($R_1$)", "softmax($R_2$)", "… their product $\\otimes$"),
        *("$R_1$", "$R_2$", "softmax($R_1 \\oplus R_2$)"),
    ),
):
    show(axes, values, title, cmap="coolwarm" if title.startswith("$R") else "viridis")
figure.tight_layout()
plt.show()
gap = np.abs(np.kron(A_1, A_2) - softmax(kronecker_sum(R_1, R_2))).max()
print(f"The largest difference between the two on the right: {gap:.1e}")

# %% [markdown]
# ## The layer
#
# `keras_stt.layers.STT` is what we have built: a value projection, a matrix per mode, mode
# products, an output projection. With `synthesizer="random"` its logits are weights. We
# give it ours, and compare with the flattened $9 \times 9$ attention:

# %%
layer = keras_stt.layers.STT(num_heads=1, synthesizer="random", use_bias=False)
layer.build((1, 3, 3, 4))
layer.value_dense.kernel.assign(W_v)
layer.output_dense.kernel.assign(np.eye(4))
for synthesizer, logits in zip(layer.synthesizers, (R_1, R_2)):
    synthesizer.logits.assign(logits[None])

by_layer = keras.ops.convert_to_numpy(layer(image[None]))[0]
flattened = softmax(kronecker_sum(R_1, R_2)) @ (flat @ W_v)
np.testing.assert_allclose(by_layer, flattened.reshape(3, 3, 4), atol=1e-4)
print("The layer equals attention over all 9×9 pairs, without forming them.")

# %% [markdown]
# By default the logits are *dense*: synthesised from the image. For the rows, the layer
# takes the mean of each row over its columns, $P_i$, and makes row $i$ of the logits
# from it, $L_i = W_2 \operatorname{relu}(W_1 P_i)$, as the Synthesizer does for a word.
# Other images, other matrices. (The images are multiplied by 10, so that the untrained layer
# shows its differences.)

# %%
keras.utils.set_random_seed(0)
layer = keras_stt.layers.STT(num_heads=1, value_dim=3)
pictures = np.stack([render(scene(0, "train", i)) for i in (3, 8)]) / np.float32(255)
_, (rows, columns) = layer(10 * pictures, return_attention_scores=True)

figure, panels = plt.subplots(2, 3, figsize=(6.2, 4.2))
for line, image_, row, column in zip(
    panels, pictures, *(keras.ops.convert_to_numpy(s)[:, 0] for s in (rows, columns))
):
    show(line[0], image_, "image")
    show(line[1], row, "rows, 32×32")
    show(line[2], column, "columns, 32×32")
figure.tight_layout()
plt.show()

# %% [markdown]
# The layer has not been trained, so the matrices mean nothing yet. But look for the rows in
# which the objects lie: there, they differ from image to image.
#
# ## What it costs
#
# Two projections and one product per mode, $2NC^2 + NC(n_1 + n_2)$, and the synthesis, which
# is small. The matrix that grows with the square of the pixels is gone.
#
# ### Exercise 3: count it ★★
#
# Write `stt_multiply_adds(side, channels)` for a square grid (without the synthesis) and
# `mha_multiply_adds(side, channels)`, and find the smallest side, a power of two, from which
# STT with 64 channels needs at most a hundredth of the multiply-adds of self-attention.


# %% tags=["solution"]
def mha_multiply_adds(side, channels):
    """Self-attention on a flattened grid."""
    # <solution>
    positions = side**2
    return 4 * positions * channels**2 + 2 * positions**2 * channels
    # </solution>


def stt_multiply_adds(side, channels):
    """STT on a grid, without the synthesis."""
    # <solution>
    positions = side**2
    return 2 * positions * channels**2 + positions * channels * 2 * side
    # </solution>


smallest_side = 256  # <solution>


# %% tags=["wrong"]
def mha_multiply_adds(side, channels):
    """The grid's side in place of its positions."""
    return 4 * side * channels**2 + 2 * side**2 * channels


def stt_multiply_adds(side, channels):
    """As above."""
    return 2 * side * channels**2 + side * channels * 2 * side


smallest_side = 256


# %% tags=["wrong"]
def mha_multiply_adds(side, channels):
    """Right."""
    return 4 * side**2 * channels**2 + 2 * side**4 * channels


def stt_multiply_adds(side, channels):
    """Right."""
    return 2 * side**2 * channels**2 + 2 * side**3 * channels


smallest_side = 128  # a factor of 86

# %% tags=["check"]
for side in (4, 32):
    counted = keras_stt.mixers.MIXERS["mha"].multiply_adds((side, side), 64, 4)
    assert mha_multiply_adds(side, 64) == counted, (
        f"mha at {side}: expected {counted:,}"
    )
    counted = keras_stt.mixers.MIXERS["stt-random"].multiply_adds((side, side), 64, 4)
    assert stt_multiply_adds(side, 64) == counted, (
        f"STT at {side}: expected {counted:,}"
    )


def ratio(side):
    """How many times more self-attention computes."""
    return mha_multiply_adds(side, 64) / stt_multiply_adds(side, 64)


assert ratio(smallest_side) >= 100, f"{ratio(smallest_side):.0f} times, not 100"
assert np.log2(smallest_side) % 1 == 0, "a power of two"
assert ratio(smallest_side // 2) < 100, "half of it would do"
print(
    f"Right: {ratio(smallest_side):.0f} times fewer at {smallest_side}×{smallest_side}."
)

# %%
figure, axes = plt.subplots(figsize=(6, 3.2))
for count, name, color, marker in (
    (mha_multiply_adds, "self-attention", "#111111", "v"),
    (stt_multiply_adds, "STT", "#1E4CD8", "o"),
):
    axes.loglog(
        sides, [count(int(s), 64) for s in sides], f"{marker}-", color=color, label=name
    )
axes.set(xlabel="side of the grid (positions)", ylabel="multiply-adds per image")
axes.set_xticks(sides, map(str, sides))
axes.minorticks_off()
axes.legend()
plt.show()

# %% [markdown]
# ## What two matrices cannot do
#
# Nothing is free. The weights with which one position looks at the grid are an outer
# product of a row and a column, so they have **rank 1**. Suppose a position should look at
# two objects, upper left and lower right. The closest that one head can do also looks at
# the two other corners, where nothing is. Two heads can share the work:

# %%
target = np.zeros((8, 8))
target[1, 1] = target[6, 5] = 0.5
one_head = np.outer(target.sum(axis=1), target.sum(axis=0))

figure, panels = plt.subplots(1, 4, figsize=(7.5, 2.3))
show(panels[0], target, "wanted", vmin=0, vmax=0.5)
show(panels[1], one_head, "one head: ghosts", vmin=0, vmax=0.5)
for axes, (row, column), head in zip(panels[2:], ((1, 1), (6, 5)), "12"):
    seen = np.zeros((8, 8))
    seen[row, column] = 0.5
    show(axes, seen, f"two heads: head {head}", vmin=0, vmax=0.5)
plt.show()

# %% [markdown]
# Whether that hurts is not a question of mathematics but of measurements, which the later
# notebooks make. There is a second limit: for Dense, the rows' matrix is made from means over
# the columns, so it knows *that* there is something red in row 5, but not where in it.
#
# ## Key points
#
# - Self-attention flattens the image and compares all pairs: $4NC^2 + 2N^2C$.
# - A Synthesizer makes the logits without comparing: from each position (Dense), or as
#   weights (Random).
# - STT keeps the tensor: one attention matrix per mode, applied as mode products.
# - That is attention over all pairs of positions, with logits that are Kronecker sums; the
#   large matrix is never formed.
# - The price: with one head, a position's weights on the grid are an outer product.
#
# ## Five questions
#
# 1. Why does doubling the side of an image make the matrix of self-attention 16 times as
#    large?
# 2. Both Random and Dense drop the dot products. Which of them can tell one image from
#    another?
# 3. $A_1$ is the identity. What does the layer do along the rows?
# 4. Does the order of the two mode products matter?
# 5. A video has three modes of sizes 16, 32 and 32. How many weights do the matrices of STT
#    have, and how many has the matrix of self-attention?
#
# <details><summary>Answers</summary>
#
# 1. The positions become 4 times as many, and the matrix has their square.
# 2. Dense. Random has the same matrices for every image.
# 3. Nothing: every row keeps its values.
# 4. No, but for rounding: each acts on an axis of its own.
# 5. 16² + 32² + 32² = 2,304 against (16·32·32)² = 268,435,456.
#
# </details>
#
# ## References
#
# - [STT, arXiv 2201.01410](https://arxiv.org/abs/2201.01410): the idea. Its abstract is
#   implemented here sentence by sentence; the equations are this project's reading of it.
# - [Synthesizer, arXiv 2005.00743](https://arxiv.org/abs/2005.00743): Dense and Random.
# - Kolda and Bader, *Tensor Decompositions and Applications*, SIAM Review 2009: mode
#   products.
# - [Attention Is All You Need, arXiv 1706.03762](https://arxiv.org/abs/1706.03762).
