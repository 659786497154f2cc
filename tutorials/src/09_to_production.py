# %% [markdown]
# # 9 · To production
#
# | at a glance | |
# | :-- | :-- |
# | **Questions** | How does a trained model become smaller, leave Python, or move to larger images? Can attention be replaced in a model that already exists? |
# | **You will be able to** | quantise a model and say what it costs · export it and serve it without Keras · move it to another resolution · replace its attention and fine-tune the rest |
# | **You need** | notebook 3, or: how to train an image classifier with Keras |
# | **Minutes** | 30 to teach, 35 for the exercises; it runs in about three minutes |
#
# Set-up, also on Colab, is on the front page of the course, `tutorials/README.md`.
# Run the cells from top to bottom.

# %%
import logging
import os
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")  # or "tensorflow", "torch"

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_stt
from keras_stt.datasets import render, scene
from keras_stt.datasets.drawing import COLOURS
from keras_stt.experiments.reports import plots

FAST = bool(os.environ.get("FAST"))  # a rehearsal: few images, nothing is learned
BACKEND = keras.backend.backend()
logging.disable(logging.WARNING)  # TensorFlow notes where it writes, and much else
plt.rcParams |= {"figure.dpi": 100, "font.size": 9, "axes.titlesize": 10}
print(f"Keras {keras.__version__} on {BACKEND}")

# %% [markdown]
# ## Two models to ship
#
# The task is that of notebook 5: **what colour is the upper object** of a scene? Two
# classifiers learn it, one with depthwise STT and one with MultiHeadAttention.


# %%
def scenes(split, count, size=32):
    """Images of `size`×`size` pixels, uint8, and the upper object's colour."""
    drawn = [scene(0, split, index) for index in range(count)]
    drawn = [each for each in drawn if abs(each.objects[0].y - each.objects[1].y) > 1]
    upper = [min(each.objects, key=lambda item: item.y).colour for each in drawn]
    images = np.stack([render(each, size) for each in drawn])
    return images, np.array([list(COLOURS).index(name) for name in upper], "int32")


images, labels = scenes("train", 256 if FAST else 8_000)
test_images, test_labels = scenes("test", 200 if FAST else 1_000)


def train(model, images, labels, epochs, rate=4e-3):
    """AdamW; the learning rate falls to 0 like a cosine."""
    steps = max(1, epochs * (len(images) // 128))
    model.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(rate, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(images, labels, batch_size=128, epochs=epochs, verbose=0)


def accuracy(model, images=test_images, labels=test_labels):
    """Share of images that are classified correctly, in %."""
    logits = model.predict(images, batch_size=200, verbose=0)
    return 100 * float((logits.argmax(axis=-1) == labels).mean())


models = {}
for name in ("stt-depthwise", "mha"):
    keras.utils.set_random_seed(0)
    models[name] = keras_stt.models.image_classifier(
        (32, 32, 3), len(COLOURS), mixer=name, depth=2
    )
    train(models[name], images, labels, epochs=1 if FAST else 3)
    print(f"{name}: {accuracy(models[name]):.1f} %")

# %% [markdown]
# The images are bytes, 0 … 255: the models scale them. One file holds architecture and weights,
# and loads on any backend.

# %%
folder = Path(tempfile.mkdtemp())
model = models["stt-depthwise"]
model.save(folder / "model.keras")
loaded = keras.saving.load_model(folder / "model.keras")
assert np.allclose(
    loaded.predict(test_images, verbose=0),
    model.predict(test_images, verbose=0),
    atol=1e-4,
)
print(f"{(folder / 'model.keras').stat().st_size / 1000:.0f} kB")

# %% [markdown]
# ## Smaller: quantise
#
# `model.quantize("int8")` turns the kernels of dense layers into whole numbers of 8 bits, `"int4"`
# into 4. It changes the model **in place**, and there is no way back. So work on a copy.
#
# ### Exercise 1: a quantised copy ★
#
# Write `quantised(model, mode)`: a quantised copy, with the weights of `model`, which stays as
# it is. `keras.models.clone_model` makes a copy with fresh weights.


# %% tags=["solution"]
def quantised(model, mode):
    """A quantised copy of a model."""
    # <solution>
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.quantize(mode)
    return copy
    # </solution>


# %% tags=["wrong"]
def quantised(model, mode):
    """Changes the model itself."""
    model.quantize(mode)
    return model


# %% tags=["wrong"]
def quantised(model, mode):
    """Forgets the weights."""
    copy = keras.models.clone_model(model)
    copy.quantize(mode)
    return copy


# %% tags=["wrong"]
def quantised(model, mode):
    """Forgets to quantise."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


# %% tags=["check"]
import warnings

# Keras warns of layers that have nothing to quantise.
warnings.filterwarnings("ignore", message="Layer .* does not have a `quantize`")
keras.utils.set_random_seed(1)
small = keras_stt.models.image_classifier(
    (32, 32, 3), 6, mixer="stt-dense", width=16, depth=1
)
before = small.predict(test_images[:50], verbose=0)
copy = quantised(small, "int8")
assert np.allclose(small.predict(test_images[:50], verbose=0), before, atol=1e-5), (
    "the model itself has changed"
)
kernel = copy.get_layer("block_0").expand.kernel
assert "int8" in str(kernel.dtype), f"the copy's kernels are {kernel.dtype}"
difference = np.abs(copy.predict(test_images[:50], verbose=0) - before).max()
assert difference < 0.1 * np.abs(before).max(), "the copy computes something else"
print("Right.")

# %%
sizes, shares = {}, {}
for mode in ("float32", "int8", "int4"):
    copy = model if mode == "float32" else quantised(model, mode)
    copy.save(folder / f"{mode}.keras")
    copy.save_weights(folder / f"{mode}.weights.h5")
    sizes[mode] = (folder / f"{mode}.weights.h5").stat().st_size / 1000
    # Without the optimizer, whose state belongs to kernels that are whole numbers now.
    loaded = keras.saving.load_model(folder / f"{mode}.keras", compile=False)
    shares[mode] = accuracy(loaded)

figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.4))
color = plots.COLORS["stt-depthwise"].color
for axes, values, title in (
    (left, sizes, "file of the weights (kB)"),
    (right, shares, "test accuracy (%)"),
):
    bars = axes.bar(list(values), list(values.values()), 0.6, color=color)
    axes.bar_label(bars, fmt="%.1f")
    axes.set(title=title, ylim=(0, 1.2 * max(values.values())))
plt.show()

# %% [markdown]
# A tiny model gains little: biases, norms, the convolutions and STT's own centres and widths stay
# floats, and each variable takes a kilobyte or two of bookkeeping. In real models, kernels of dense
# layers are nearly everything. `docs/results/quantization` has what int8 and int4 cost on
# photographs.
#
# ## Out of Python: export
#
# A server, a phone or a browser has no Keras. `model.export` writes a file that runs without it:
# a SavedModel from TensorFlow and JAX, PyTorch's own program from PyTorch, ONNX and others as well
# (`docs/export.md` has the table). **Exported files do not scale images:** they take floats in
# [0, 1].

# %%
if BACKEND == "torch":
    import torch

    signature = [keras.InputSpec("float32", (1, 32, 32, 3))]
    path = str(folder / "served.pt2")
    model.export(path, "torch", input_signature=signature, verbose=False)
    program = torch.export.load(path).module()

    def artifact(batch):
        """The exported model: float32 `(1, 32, 32, 3)` to logits `(1, 6)`."""
        return program(torch.from_numpy(batch)).detach().numpy()

else:
    import tensorflow as tf

    path = str(folder / "served")
    model.export(path, "tf_saved_model", verbose=False)
    program = tf.saved_model.load(path)

    def artifact(batch):
        """The exported model: float32 `(1, 32, 32, 3)` to logits `(1, 6)`."""
        return program.serve(batch).numpy()


print("logits:", np.round(artifact(test_images[:1].astype("float32") / 255), 1))

# %% [markdown]
# ### Exercise 2: the service ★★
#
# Write `answer(image)`, what a web service would call: from one image, uint8 `(32, 32, 3)`, to
# `(name, probability)`: the name of the most probable colour, and how probable it is. Use
# `artifact` and NumPy alone. `list(COLOURS)` has the names in order.


# %% tags=["solution"]
def answer(image):
    """The colour of the upper object, and its probability."""
    # <solution>
    logits = artifact(image[None].astype("float32") / 255)[0]
    powers = np.exp(logits - logits.max())
    best = int(logits.argmax())
    return list(COLOURS)[best], float(powers[best] / powers.sum())
    # </solution>


# %% tags=["wrong"]
def answer(image):
    """Forgets to scale: Keras did that, the artifact does not."""
    logits = artifact(image[None].astype("float32"))[0]
    powers = np.exp(logits - logits.max())
    best = int(logits.argmax())
    return list(COLOURS)[best], float(powers[best] / powers.sum())


# %% tags=["wrong"]
def answer(image):
    """The logit in place of the probability."""
    logits = artifact(image[None].astype("float32") / 255)[0]
    return list(COLOURS)[int(logits.argmax())], float(logits.max())


# %% tags=["check"]
expected = np.asarray(keras.ops.softmax(model.predict(test_images[:20], verbose=0)))
for image, row in zip(test_images[:20], expected):
    name, probability = answer(image)
    assert name == list(COLOURS)[row.argmax()], f"{name} is not the most probable one"
    assert abs(probability - row.max()) < 1e-3, f"probability {probability}"
print("Right. No Keras is needed where this runs.")

# %% [markdown]
# Why does the first wrong answer fail so clearly? The first layer of the model makes images with
# values far above 1 NaN on purpose: nonsense that looks like an answer would be worse.
#
# ## Larger images: resize
#
# The camera is replaced: images now have 48×48 pixels. Depthwise STT has no weight that is tied to
# the size of the grid, but the position embedding is: `resize_model` interpolates it.

# %%
larger_images, larger_labels = scenes("train", 256 if FAST else 4_000, size=48)
larger_test, larger_test_labels = scenes("test", 200 if FAST else 1_000, size=48)
larger = keras_stt.surgery.resize_model(model, (48, 48, 3))
grids = [m.get_layer("block_0").output.shape[1:3] for m in (model, larger)]
print(f"grid {grids[0]} -> {grids[1]}")
at_once = accuracy(larger, larger_test, larger_test_labels)
train(larger, larger_images, larger_labels, epochs=1, rate=1e-3)
tuned = accuracy(larger, larger_test, larger_test_labels)
keras.utils.set_random_seed(0)
fresh = keras_stt.models.image_classifier(
    (48, 48, 3), len(COLOURS), mixer="stt-depthwise", grid=(12, 12), depth=2
)
train(fresh, larger_images, larger_labels, epochs=1)
scratch = accuracy(fresh, larger_test, larger_test_labels)
print(
    f"resized {at_once:.1f} %, an epoch more {tuned:.1f} %, from scratch {scratch:.1f} %"
)

# %% [markdown]
# The resized model starts from what it knows. On photographs the picture is the same:
# `docs/results/surgery` has the numbers.
#
# ## Other attention: replace
#
# A model with MultiHeadAttention is in use, and its grid is about to grow. `replace_attention`
# makes a copy with STT in its place. The new layers start from the old projections, and their
# matrices from the mean attention maps of some images.

# %%
sample = images[:64].astype("float32") / 255
replaced = keras_stt.surgery.replace_attention(models["mha"], inputs=sample)
kinds = [
    type(block.mixer).__name__ for block in replaced.layers if hasattr(block, "mixer")
]
print(kinds)
print(f"before {accuracy(models['mha']):.1f} %, right after {accuracy(replaced):.1f} %")

# %% [markdown]
# The old attention depended on the image; a mean map keeps little of that. So train on. A careful
# way is in two steps: first only the new layers, with all others frozen, then everything.
#
# ### Exercise 3: only the mixers ★★★
#
# Write `train_only_mixers(model, on)`: with `on=True`, only the weights of the `mixer` of each
# `STTBlock` can be trained; with `on=False`, all can. `trainable` of a layer sets that of the
# layers in it. Apart from its mixer, a block has `mixer_norm`, `mlp_norm`, `expand` and `project`.


# %% tags=["solution"]
def train_only_mixers(model, on):
    """Freezes everything but the mixers, or nothing."""
    # <solution>
    model.trainable = True
    if not on:
        return
    for layer in model.layers:
        if isinstance(layer, keras_stt.layers.STTBlock):
            for part in (layer.mixer_norm, layer.mlp_norm, layer.expand, layer.project):
                part.trainable = False
        else:
            layer.trainable = False
    # </solution>


# %% tags=["wrong"]
def train_only_mixers(model, on):
    """Freezes the mixers, and trains the rest."""
    for layer in model.layers:
        if isinstance(layer, keras_stt.layers.STTBlock):
            layer.mixer.trainable = not on


# %% tags=["wrong"]
def train_only_mixers(model, on):
    """Trains the whole block."""
    model.trainable = True
    for layer in model.layers:
        if not isinstance(layer, keras_stt.layers.STTBlock):
            layer.trainable = not on


# %% tags=["wrong"]
def train_only_mixers(model, on):
    """Never thaws."""
    for layer in model.layers:
        if isinstance(layer, keras_stt.layers.STTBlock):
            for part in (layer.mixer_norm, layer.mlp_norm, layer.expand, layer.project):
                part.trainable = False
        else:
            layer.trainable = False


# %% tags=["check"]
replaced.trainable = True
everything = len(replaced.trainable_variables)
blocks = [layer for layer in replaced.layers if hasattr(layer, "mixer")]
mixing = [v.path for block in blocks for v in block.mixer.trainable_variables]
train_only_mixers(replaced, True)
paths = [variable.path for variable in replaced.trainable_variables]
others = sorted(set(paths) - set(mixing))
assert not others, f"these can be trained, too: {others[:3]}"
assert sorted(paths) == sorted(mixing), "not all of the mixers' weights can be trained"
train_only_mixers(replaced, False)
assert len(replaced.trainable_variables) == everything, (
    "with on=False, everything can be trained again"
)
print("Right.")

# %%
steps = {"with attention": accuracy(models["mha"]), "replaced": accuracy(replaced)}
train_only_mixers(replaced, True)
train(replaced, images, labels, epochs=1, rate=2e-3)
steps["mixers trained"] = accuracy(replaced)
train_only_mixers(replaced, False)
train(replaced, images, labels, epochs=1, rate=1e-3)
steps["all trained"] = accuracy(replaced)
figure, axes = plt.subplots(figsize=(6, 2.4))
colors = [plots.COLORS["mha"].color] + 3 * [plots.COLORS["stt-random"].color]
axes.bar_label(
    axes.bar(list(steps), list(steps.values()), 0.6, color=colors), fmt="%.1f"
)
axes.set(ylabel="test accuracy (%)", ylim=(0, 112))
plt.show()

# %% [markdown]
# ## Several devices
#
# On JAX, Keras spreads a batch over all devices with one line, before the model is made:
#
# ```python
# keras.distribution.set_distribution(keras.distribution.DataParallel())
# ```
#
# Wide weights can be split as well: `keras_stt.models.layout_map` says which ones
# (`docs/multi_head_attention.md`). TensorFlow has `tf.distribute.MirroredStrategy`, PyTorch
# `DistributedDataParallel`; the layers need nothing special on either.
#
# ## Honest limits
#
# - The task is easy and the models are small; what quantisation or resizing costs on your data,
#   only your data can tell.
# - A replaced attention must be trained again, here as on photographs. If the task compares
#   distant places, as in notebook 3, STT may never reach what attention had.
# - An export freezes what the model is today: version the artifact together with the code and the
#   data that made it.
#
# ## Key points
#
# - `quantize` works in place; quantised models save and load.
# - Exported files need no Keras, and no scaling is done for you.
# - `resize_model` moves a model to another resolution; an epoch of fine-tuning does the rest.
# - `replace_attention` keeps everything but the attention; then train on.
#
# ## Five questions
#
# 1. Why is the file of an int8 model larger than a quarter of the other?
# 2. What would happen in the service if an image had 40×40 pixels?
# 3. Which of the mixers of notebook 3 could `resize_model` move without interpolating anything?
# 4. Why are the new layers trained alone first?
# 5. A colleague quantises before fine-tuning. What could go wrong?
#
# <details><summary>Answers</summary>
#
# 1. Biases, norms, convolutions and the centres and widths of STT stay floats.
# 2. The artifact was exported for 32×32: it refuses the image. Resize the image first.
# 3. Depthwise STT (its Gaussians are distances), attention and convolutions: no weight of theirs
#    has the size of the grid. The position embedding does.
# 4. Their large gradients would spoil what the rest has learned.
# 5. Whole numbers have no gradients: kernels that are quantised no longer learn (LoRA is a way out).
#
# </details>
#
# ## References
#
# - Dosovitskiy et al., *An image is worth 16x16 words*,
#   [arXiv 2010.11929](https://arxiv.org/abs/2010.11929), section 3.2: other resolutions.
# - Hu et al., *LoRA*, [arXiv 2106.09685](https://arxiv.org/abs/2106.09685).
# - `docs/export.md`, `docs/results/quantization`, `docs/results/surgery`.
