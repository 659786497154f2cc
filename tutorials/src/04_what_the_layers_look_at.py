# %% [markdown]
# # 4 · What the layers look at
#
# | at a glance | |
# | :-- | :-- |
# | **Questions** | Where does a trained layer look? What has Random learned, what does Dense add, and what is a depthwise matrix? Do the maps explain what the model does? |
# | **You will be able to** | get the attention maps of any model with one call · make a heat map out of two matrices · measure where attention goes · test whether attention matters by taking it away |
# | **You need** | notebook 3, or: what a transformer block is |
# | **Minutes** | 30 to teach, 30 for the exercises; it runs in about three minutes |
#
# Set-up, also on Colab, is on the front page of the course, `tutorials/README.md`.
# Run the cells from top to bottom.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or "tensorflow", "torch"

import keras
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

import keras_stt
from keras_stt.datasets import render, scene
from keras_stt.datasets.drawing import SIZES
from keras_stt.experiments.reports import plots
from keras_stt.inspection import attention_maps
from keras_stt.inspection.attention_figure import attention_figure

FAST = bool(os.environ.get("FAST"))  # a rehearsal: few images, nothing is learned
plt.rcParams |= {"figure.dpi": 100, "font.size": 9, "axes.titlesize": 10}
print(f"Keras {keras.__version__} on {keras.backend.backend()}")

# %% [markdown]
# ## Three models
#
# Three classifiers learn whether the two objects of a scene have the same colour. They differ
# in their mixer only: STT with Dense synthesis, STT with Random, and MultiHeadAttention.


# %%
def scenes(split, count):
    """Images, float32 in [0, 1], their labels, and what was drawn."""
    drawn = [scene(0, split, index) for index in range(count)]
    images = np.stack([render(each) for each in drawn]).astype("float32") / 255
    return images, np.array([each.label == "same" for each in drawn], "int32"), drawn


images, labels, _ = scenes("train", 256 if FAST else 10_000)
test_images, test_labels, drawn = scenes("test", 60 if FAST else 400)


def train(name):
    """A classifier with this mixer, trained."""
    keras.utils.set_random_seed(0)
    model = keras_stt.models.image_classifier((32, 32, 3), 2, mixer=name, depth=2)
    steps = 4 * (len(images) // 128)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=4e-3, warmup_steps=max(1, steps // 10)
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.01)
    model.compile(optimizer, loss, metrics=["accuracy"])
    model.fit(images, labels, batch_size=128, epochs=1 if FAST else 4, verbose=0)
    _, share = model.evaluate(test_images, test_labels, batch_size=100, verbose=0)
    print(f"{name:13} {100 * share:.1f} % of the test images")
    return model


models = {name: train(name) for name in ("stt-dense", "stt-random", "mha")}

# %% [markdown]
# ## One call for all maps
#
# `attention_maps` finds every layer that can return its weights and runs the model once.
# For STT the weights are a matrix per mode; for MultiHeadAttention one large one.

# %%
maps = {name: attention_maps(model, test_images) for name, model in models.items()}
for name, found in maps.items():
    for each in found:
        shapes = keras.tree.map_structure(np.shape, each.scores)
        print(f"{name:10} {each.name}: {shapes}")

# %% [markdown]
# A batch of images, 4 heads, then 8×8 for STT (rows; columns), and 8×8×8×8 for `mha`: for
# every position of the grid a map of the grid. Here are the matrices of STT in the second
# block, for one image. Read a matrix row by row: *row 3 of the image looks at …*

# %%
example = 4


def matrices(found, title):
    """All matrices of a layer for the example: a line per mode, a column per head."""
    figure, panels = plt.subplots(2, 4, figsize=(6.5, 3.4))
    for line, mode, score in zip(panels, ("rows", "columns"), found.scores):
        for head, axes in enumerate(line):
            shown = axes.imshow(score[example, head], cmap="magma", vmin=0, vmax=0.6)
            axes.set(
                xticks=[], yticks=[], title=f"head {head + 1}" if mode == "rows" else ""
            )
        line[0].set_ylabel(mode)
    figure.suptitle(title, size=10)
    figure.colorbar(shown, ax=panels, label="weight", shrink=0.8)
    plt.show()


matrices(maps["stt-dense"][1], "stt-dense, second block, one image")

# %% [markdown]
# ## From two matrices to one map
#
# Where does *position* (2, 5) look? Row 2 of the rows' matrix says how much to take from
# each row of the grid, row 5 of the columns' matrix how much from each column. The weight
# of a position is the product of the two.
#
# ### Exercise 1: the heat map ★
#
# Write `heat_map(rows, columns, position)` for matrices `(H, H)` and `(W, W)`: an array
# `(H, W)`.


# %% tags=["solution"]
def heat_map(rows, columns, position):
    """What a position looks at, from the two matrices of STT."""
    row, column = position
    return np.outer(rows[row], columns[column])  # <solution>


# %% tags=["wrong"]
def heat_map(rows, columns, position):
    """What looks at the position."""
    row, column = position
    return np.outer(rows[:, row], columns[:, column])


# %% tags=["wrong"]
def heat_map(rows, columns, position):
    """Rows and columns exchanged."""
    row, column = position
    return np.outer(columns[column], rows[row])


# %% tags=["check"]
rng = np.random.default_rng(0)
rows, columns = rng.dirichlet(np.ones(4), size=4), rng.dirichlet(np.ones(3), size=3)
heat = heat_map(rows, columns, (1, 2))
assert np.shape(heat) == (4, 3), f"shape {np.shape(heat)}, expected (4, 3)"
large = np.kron(rows, columns)  # notebook 1: attention over all pairs of positions
assert np.allclose(heat.ravel(), large[1 * 3 + 2]), (
    "not the row of the Kronecker product"
)
rows, columns = (score[example, 0] for score in maps["stt-dense"][1].scores)
library = maps["stt-dense"][1].heat_map((2, 5))[example, 0]
assert np.allclose(heat_map(rows, columns, (2, 5)), library, atol=1e-6)
print("Right. The library's: `maps['stt-dense'][1].heat_map(position)`.")

# %% [markdown]
# `attention_figure` puts the maps of several models side by side. We ask from the position
# of one object: where does it look? (Each panel has its own scale; the number below is the
# largest weight, as a multiple of an even share.)


# %%
def position_of(item, cells=8):
    """Row and column in the grid of an object's centre."""
    return item.y * cells // 32, item.x * cells // 32


position = position_of(drawn[example].objects[0])
display(attention_figure(test_images[example], maps, position, example=example))

# %% [markdown]
# In the run shown here, some heads of `mha` light up where the *other* object is. The maps of
# STT are outer products: crosses, bars, checkered patterns, but never one
# place here and another there.
#
# ## Do not trust one picture: measure
#
# One example can be chosen to show anything. So we measure over many images: from the
# centre of one object, which share of the attention lands on the cells of the other one?
# Even attention would land there in proportion to the area.
#
# ### Exercise 2: attention on a mask ★★
#
# Write `mass(heat, mask)`: for heat maps `(heads, H, W)` the share of each head's attention
# that lands where the boolean `mask`, `(H, W)`, is true.


# %% tags=["solution"]
def mass(heat, mask):
    """Share of attention on a mask, for each head."""
    return heat[:, mask].sum(axis=-1)  # <solution>


# %% tags=["wrong"]
def mass(heat, mask):
    """The mean weight, which does not depend on the mask's size."""
    return heat[:, mask].mean(axis=-1)


# %% tags=["wrong"]
def mass(heat, mask):
    """All heads together."""
    return heat[:, mask].sum()


# %% tags=["check"]
heat = rng.dirichlet(np.ones(20), size=3).reshape(3, 4, 5)
mask = rng.random((4, 5)) < 0.4
shares = np.asarray(mass(heat, mask))
assert np.shape(shares) == (3,), f"a share per head expected, shape {np.shape(shares)}"
assert np.allclose(shares + np.asarray(mass(heat, ~mask)), 1), (
    "mask and the rest together have it all"
)
by_hand = sum(heat[1, i, j] for i in range(4) for j in range(5) if mask[i, j])
assert np.isclose(shares[1], by_hand), "the second head, added up by hand"
print("Right.")


# %%
def cells_of(item, cells=8):
    """The cells of the grid that an object touches."""
    mask = np.zeros((cells, cells), bool)
    radius, pixels = SIZES[item.size] // 2, 32 // cells
    (top, bottom), (left, right) = (
        ((centre - radius) // pixels, (centre + radius) // pixels)
        for centre in (item.y, item.x)
    )
    mask[top : bottom + 1, left : right + 1] = True
    return mask


measured, count = {}, 60
for name, found in maps.items():
    for each in found:
        shares = []
        for index in range(count):
            one, other = drawn[index].objects
            heat = each.heat_map(position_of(one))[index]
            shares.append(mass(heat, cells_of(other)))
        measured[name, each.name] = np.mean(shares, axis=0)
even = np.mean([cells_of(drawn[index].objects[1]).mean() for index in range(count)])

# %%
figure, axes = plt.subplots(figsize=(7, 2.8))
for place, ((name, layer), shares) in enumerate(measured.items()):
    color = plots.COLORS[name].color
    places = place + 0.18 * (np.arange(len(shares)) - 1.5)
    axes.bar(places, 100 * shares, 0.15, color=color)
axes.axhline(100 * even, color="#69707A", linestyle="--", linewidth=1)
axes.text(-0.45, 100 * even + 1, "even share", color="#69707A")
axes.set_xticks(
    range(len(measured)),
    [f"{name}\n{layer[:7]}" for name, layer in measured],
)
axes.set_ylabel("attention from one object\non the other one (%)")
plt.show()

# %% [markdown]
# A bar per head. In the run shown here, some heads of `mha` put two to three times the even
# share on the other object. Those of STT stay near it: they do not search. That was to be
# expected. A row of
# STT's matrix is made by one position alone, which cannot know where the other object is.
#
# ## What Random learned
#
# The matrices of Random are weights, the same for every image. Do they know the geometry of
# a picture? How much a position looks at others, against the distance along the axis:

# %%
found = maps["stt-random"]
matrices(found[0], "stt-random, first block: the same for every image")

# %%
distances = np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
figure, panels = plt.subplots(1, 2, figsize=(7, 2.8), sharey=True)
for axes, each in zip(panels, found):
    for mode, score, style in zip(("rows", "columns"), each.scores, ("o-", "s--")):
        means = [score[0][:, distances == d].mean() for d in range(8)]
        axes.plot(means, style, color=plots.COLORS["stt-random"].color, label=mode)
    axes.axhline(1 / 8, color="#69707A", linestyle=":", linewidth=1)
    axes.set(title=each.name, xlabel="distance along the axis (cells)")
panels[0].set_ylabel("mean weight of a head")
panels[1].legend()
plt.show()

# %% [markdown]
# No neat rule of distance in this run, and none is needed here: objects can be anywhere. On photographs,
# where near things belong together, one would expect such a curve to fall.
#
# ## A matrix for every channel
#
# Depthwise STT does not wait until training finds that rule: its matrices *are* rules of
# distance. Each is the softmax of $-(j - i - c)^2 / 2\sigma^2$, with a center $c$ and a width
# $\sigma$ that are learned, for each channel and each of two terms. We sort the 128 matrices
# of a block by how much they keep for the position itself, and look at the mean of the first,
# the middle and the last third:

# %%
depthwise = train("stt-depthwise")
figure, panels = plt.subplots(1, 2, figsize=(7, 2.8), sharey=True)
for axes, each in zip(panels, attention_maps(depthwise, test_images[:1])):
    score = each.scores[0][0]  # the rows' matrices, (128, 8, 8)
    own = score[:, distances == 0].mean(axis=1)
    names = (("wide", 5), ("next door", 1), ("itself", 0))
    for third, (name, at) in zip(np.array_split(np.argsort(own), 3), names):
        means = [score[third][:, distances == d].mean() for d in range(8)]
        axes.plot(means, "o-", color=plots.COLORS["stt-depthwise"].color)
        axes.annotate(name, (at, means[at]), (7, 4), textcoords="offset points")
    axes.axhline(1 / 8, color="#69707A", linestyle=":", linewidth=1)
    axes.set(title=each.name, xlabel="distance along the rows (cells)")
panels[0].set_ylabel("mean weight of a third")
plt.show()

# %% [markdown]
# Some matrices keep a position to itself, some look next door, some average over the whole grid.
# And a channel may *subtract* one of its two terms from the other, as an edge detector does: the
# maps are positive, the sign stands outside. Without the signs, depthwise STT is nine points worse
# on photographs (`docs/results/depthwise`).
#
# ## What Dense adds
#
# Dense makes its matrices from the image. By how much do they really differ from image to
# image? We split the variance of the weights into the part that is there in the *mean*
# matrix, and the part that changes with the image.

# %%
figure, axes = plt.subplots(figsize=(6, 2.8))
bars = []
for each in maps["stt-dense"]:
    for mode, score in zip(("rows", "columns"), each.scores):
        changing = score.var(axis=0).mean()
        bars.append((f"{each.name[:7]}\n{mode}", 100 * changing / score.var()))
axes.bar(*zip(*bars), color=plots.COLORS["stt-dense"].color, width=0.6)
axes.set(ylim=(0, 100), ylabel="variance that comes\nfrom the image (%)")
plt.show()

# %%
figure, panels = plt.subplots(2, 5, figsize=(7, 3.2))
columns = maps["stt-dense"][1].scores[1]
for axes, index in zip(panels.T, range(5)):
    axes[0].imshow(test_images[index])
    axes[1].imshow(columns[index, 1], cmap="magma", vmin=0, vmax=0.6)  # as above
    for each in axes:
        each.set(xticks=[], yticks=[])
panels[1, 0].set_ylabel("columns, head 2")
plt.show()

# %% [markdown]
# So the matrices do react: bands come and go with the image. Does the model *need* that?
#
# ## Take it away
#
# A map shows where a layer looks, not whether it matters. The test for that is an
# intervention: replace every attention matrix by an even mean over all positions, and measure
# the accuracy again. Logits of 0 do that.
#
# ### Exercise 3: attention becomes a mean ★★
#
# Write `forget(model)`. The blocks are those of `model.layers` that are instances of
# `keras_stt.layers.STTBlock` (also around MultiHeadAttention); each has a `mixer`. Of the
# mixer's `variables`, set those that produce the logits to zeros: for STT those with
# `"logits"` in their `path` (below), for MultiHeadAttention those with `"query"`. All others
# stay as they are. (`variable.assign(keras.ops.zeros(variable.shape))`.)

# %%
from contextlib import contextmanager


@contextmanager
def restored(model):
    """Whatever happens inside, the model has its weights again afterwards."""
    weights = model.get_weights()
    try:
        yield
    finally:
        model.set_weights(weights)


for name in ("stt-dense", "mha"):
    block = models[name].get_layer("block_0")
    print(name, *(variable.path for variable in block.mixer.variables), sep="\n  ")


# %% tags=["solution"]
def forget(model):
    """Makes every attention of a model even, in place."""
    # <solution>
    for layer in model.layers:
        if isinstance(layer, keras_stt.layers.STTBlock):
            for variable in layer.mixer.variables:
                if "logits" in variable.path or "query" in variable.path:
                    variable.assign(keras.ops.zeros(variable.shape))
    # </solution>


# %% tags=["wrong"]
def forget(model):
    """All variables of the mixer."""
    for layer in model.layers:
        if isinstance(layer, keras_stt.layers.STTBlock):
            for variable in layer.mixer.variables:
                variable.assign(keras.ops.zeros(variable.shape))


# %% tags=["wrong"]
def forget(model):
    """Kernels only: the biases still make a pattern."""
    for layer in model.layers:
        if isinstance(layer, keras_stt.layers.STTBlock):
            for variable in layer.mixer.variables:
                if "logits/kernel" in variable.path or "query/kernel" in variable.path:
                    variable.assign(keras.ops.zeros(variable.shape))


# %% tags=["wrong"]
def forget(model):
    """The classifier's own logits, too."""
    for variable in model.variables:
        if "logits" in variable.path or "query" in variable.path:
            variable.assign(keras.ops.zeros(variable.shape))


# %% tags=["check"]
for name, model in models.items():
    before = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    with restored(model):
        forget(model)
        after = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
        changed = attention_maps(model, test_images[:2])
    for variable, old, new in zip(model.variables, before, after):
        part = "mixer" in variable.path and any(
            word in variable.path for word in ("logits", "query")
        )
        assert part or np.array_equal(old, new), f"{variable.path} was to stay as it is"
    for each in changed:
        heat = each.heat_map((1, 6))
        assert np.allclose(heat, 1 / 64, atol=1e-4), f"{name}, {each.name}: not even"
print("Right.")

# %%
table = {}
for name, model in models.items():
    score = {"batch_size": 100, "verbose": 0}
    kept = model.evaluate(test_images, test_labels, **score)[1]
    with restored(model):
        forget(model)
        taken = model.evaluate(test_images, test_labels, **score)[1]
    table[name] = (100 * kept, 100 * taken)

figure, axes = plt.subplots(figsize=(6, 2.8))
for place, (name, (kept, taken)) in enumerate(table.items()):
    color = plots.COLORS[name].color
    axes.bar(place - 0.2, kept, 0.36, color=color)
    axes.bar(place + 0.2, taken, 0.36, color="white", edgecolor=color, hatch="///")
    for shift, share in ((-0.2, kept), (0.2, taken)):
        axes.text(place + shift, share + 1, f"{share:.0f}", ha="center")
axes.axhline(50, color="#69707A", linestyle=":", linewidth=1)
axes.set_xticks(range(len(table)), table)
axes.set(
    ylabel="test accuracy (%)",
    ylim=(0, 112),
    title="filled: as trained · hatched: even",
)
plt.show()

# %% [markdown]
# `mha` falls to guessing: its answer was in the pattern. STT hardly notices. It solves what it
# solves (the groups of colours of notebook 3) with *sums*: which colours are in the image at
# all? An even mean over the image is enough for that, and the beautiful bands of its maps are
# decoration.
#
# That is a **failure case of maps**: they are structured, they react to the image, and still
# they explain nothing here. Attention maps are questions, interventions are answers.
#
# ## Honest limits
#
# - This is one task, and one on which STT is at a plateau. On the mirror of notebook 2 its
#   matrices are the whole answer.
# - `heat_map` is what *one layer* mixes. Through residuals and several layers, information
#   takes other ways, too.
# - With a mask, the weights of STT are renormalised; `heat_map` shows them before that.
#
# ## Key points
#
# - `attention_maps(model, images)` gives all weights; `heat_map(position)` a picture.
# - The map of STT is an outer product per head; that of `mha` can have any shape.
# - Random is one set of matrices; Dense changes them with the image; depthwise STT has rules of
#   distance, one per channel and term.
# - Measure over many images, compare with an even share, and intervene.
#
# ## Five questions
#
# 1. Why is "an even share" the right thing to compare the mass with, and not zero?
# 2. Which maps of a head can STT not produce?
# 3. Dense's matrices change with the image, its accuracy does not when they are frozen. What
#    follows?
# 4. Why does setting the *values* to zero test something else?
# 5. How would you find out whether one head alone matters?
#
# <details><summary>Answers</summary>
#
# 1. Large objects catch more attention by chance alone.
# 2. Those that are no outer product: a diagonal, two separate places.
# 3. That the change is not what this model decides by.
# 4. Without values nothing passes at all; then the mixer is gone, not its pattern.
# 5. Take away that head only, for each head in turn.
#
# </details>
#
# ## References
#
# - Jain and Wallace, *Attention is not Explanation*,
#   [arXiv 1902.10186](https://arxiv.org/abs/1902.10186); Wiegreffe and Pinter, *Attention is
#   not not Explanation*, [arXiv 1908.04626](https://arxiv.org/abs/1908.04626).
# - `keras_stt/inspection/attention_maps.py`: what `heat_map` computes for each kind of layer.
