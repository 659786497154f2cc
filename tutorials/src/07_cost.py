# %% [markdown]
# # 7 · Cost
#
# | at a glance | |
# | :-- | :-- |
# | **Questions** | How do time and memory grow with the image? How does one measure that without fooling oneself? What does compilation bring? |
# | **You will be able to** | count memory before you run out of it · time compiled code fairly · read a log-log plot and its slope · train attention on every pixel of a 224×224 image |
# | **You need** | notebook 1 |
# | **Minutes** | 30 to teach, 30 for the exercises; it runs in about two minutes |
#
# Set-up, also on Colab, is on the front page of the course, `tutorials/README.md`.
# Run the cells from top to bottom. Nothing else should run on the machine meanwhile.

# %%
import json
import os
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")  # or "tensorflow", "torch"

import keras
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, Markdown, display

import keras_stt
from keras_stt.experiments.measures.memory import peak_step_bytes
from keras_stt.experiments.reports.plots import COLORS

FAST = bool(os.environ.get("FAST"))  # a rehearsal: small grids
plt.rcParams |= {"figure.dpi": 100, "font.size": 9, "axes.titlesize": 10}
print(f"Keras {keras.__version__} on {keras.backend.backend()}")

# %% [markdown]
# ## Count before you run
#
# Attention weights have to be *stored*, in training until the backward pass has used them. For
# a batch of $B$ images and $h$ heads, in float32 (4 bytes each), on a grid of $n_1 \times n_2$,
# $N = n_1 n_2$:
#
# | mixer | matrices | numbers |
# | :-- | :-- | :-- |
# | `mha` | one, $N \times N$ | $B h N^2$ |
# | `axial-mha` | one per row and one per column | $B h N (n_1 + n_2)$ |
# | `stt` | one for the rows, one for the columns | $B h (n_1^2 + n_2^2)$ |
#
# ### Exercise 1: bytes ★
#
# Write `attention_bytes(mixer, grid, batch, heads)` for these three names.


# %% tags=["solution"]
def attention_bytes(mixer, grid, batch, heads):
    """Bytes of the attention matrices of a layer, in float32."""
    rows, columns = grid
    positions = rows * columns
    # <solution>
    numbers = {
        "mha": positions**2,
        "axial-mha": positions * (rows + columns),
        "stt": rows**2 + columns**2,
    }[mixer]
    return 4 * batch * heads * numbers
    # </solution>


# %% tags=["wrong"]
def attention_bytes(mixer, grid, batch, heads):
    """Numbers, not bytes."""
    rows, columns = grid
    numbers = {
        "mha": (rows * columns) ** 2,
        "axial-mha": rows * columns * (rows + columns),
        "stt": rows**2 + columns**2,
    }
    return batch * heads * numbers[mixer]


# %% tags=["wrong"]
def attention_bytes(mixer, grid, batch, heads):
    """For square grids only."""
    rows, columns = grid
    numbers = {
        "mha": (rows * columns) ** 2,
        "axial-mha": 2 * rows**3,
        "stt": 2 * rows**2,
    }
    return 4 * batch * heads * numbers[mixer]


# %% tags=["check"]
rng = np.random.default_rng(0)
images = rng.normal(size=(2, 6, 5, 8)).astype("float32")
for mixer, layer in {
    "mha": keras_stt.mixers.SelfAttention(4),
    "axial-mha": keras_stt.mixers.AxialAttention(4),
    "stt": keras_stt.layers.STT(4),
}.items():
    _, scores = layer(images, return_attention_scores=True)
    stored = 4 * sum(np.prod(s.shape) for s in keras.tree.flatten(scores))
    counted = attention_bytes(mixer, (6, 5), 2, 4)
    assert counted == stored, f"{mixer}: the layer has {stored:,} bytes, not {counted}"
print("Right.")

# %%
sides = np.array([8, 16, 32, 64, 128, 224, 512, 1024])
styles = {
    "mha": COLORS["mha"],
    "axial-mha": COLORS["axial-mha"],
    "stt": COLORS["stt-dense"],
}
figure, axes = plt.subplots(figsize=(6.5, 3.4))
for mixer, (color, marker, line) in styles.items():
    needed = [attention_bytes(mixer, (int(s), int(s)), 1, 4) for s in sides]
    axes.loglog(sides, needed, marker=marker, color=color, ls=line, label=mixer)
for size, name in (
    (16 * 2**30, "16 GiB, a laptop"),
    (80 * 2**30, "80 GiB, a large GPU"),
):
    axes.axhline(size, color="#69707A", linewidth=0.8)
    axes.text(8, size * 1.25, name, color="#69707A", size=8)
axes.set(xlabel="side of the grid (positions)", ylabel="bytes, one image, 4 heads")
axes.set_xticks(sides, map(str, sides))
axes.minorticks_off()
axes.legend(loc="lower right")
plt.show()

# %% [markdown]
# At 224×224, full attention needs 40 GB for *one* layer and *one* image. (An attention that
# never stores its matrix, like FlashAttention, escapes the memory, not the time.)
#
# ## Measure
#
# Time a function once, and you time something else: tracing, compilation, memory that is asked
# for the first time. Twelve steps in a row of a small STT layer that is trained:


# %%
def training_step(layer, grid, channels, batch, jit_compile="auto"):
    """A function that trains one layer on one batch, and waits until it is done."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((*grid, channels)), layer])
    model.compile("sgd", "mean_squared_error", jit_compile=jit_compile)
    inputs = rng.normal(size=(batch, *grid, channels)).astype("float32")
    inputs = keras.ops.convert_to_tensor(inputs)
    return lambda: float(model.train_on_batch(inputs, inputs))


step = training_step(keras_stt.layers.STT(4), (16, 16), 64, 8)
times = []
for _ in range(12):
    start = time.perf_counter()
    step()
    times.append(1e3 * (time.perf_counter() - start))

figure, axes = plt.subplots(figsize=(6, 2.6))
axes.plot(range(1, 13), times, "o-", color=COLORS["stt-dense"].color)
axes.set(yscale="log", xlabel="call", ylabel="milliseconds", xticks=range(1, 13))
plt.show()

# %% [markdown]
# The first call may take a hundred times as long as the last. And a laptop is a noisy place:
# another program wakes up, the processor gets hot. Three rules:
#
# 1. **warm up**, and do not count it;
# 2. **take turns**: a slow minute then hits all candidates, and *ratios* stay right;
# 3. report the **median**, which one slow call cannot move.
#
# ### Exercise 2: a fair stopwatch ★★
#
# Write `stopwatch(steps, rounds, warmup, clock)`: `steps` is a dict of functions. Call each of
# them `warmup` times; then, in `rounds` rounds, each once per round, timed with `clock()`
# (seconds). Return a dict of the medians, in milliseconds.


# %% tags=["solution"]
def stopwatch(steps, rounds=9, warmup=3, clock=time.perf_counter):
    """Median milliseconds of every step, measured in turns."""
    # <solution>
    for step in steps.values():
        for _ in range(warmup):
            step()
    times = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = clock()
            step()
            times[name].append(1e3 * (clock() - start))
    return {name: float(np.median(taken)) for name, taken in times.items()}
    # </solution>


# %% tags=["wrong"]
def stopwatch(steps, rounds=9, warmup=3, clock=time.perf_counter):
    """The mean: one slow call moves it."""
    times = {name: [] for name in steps}
    for number in range(rounds + warmup):
        for name, step in steps.items():
            start = clock()
            step()
            if number >= warmup:
                times[name].append(1e3 * (clock() - start))
    return {name: float(np.mean(taken)) for name, taken in times.items()}


# %% tags=["wrong"]
def stopwatch(steps, rounds=9, warmup=3, clock=time.perf_counter):
    """One after the other, without turns."""
    medians = {}
    for name, step in steps.items():
        times = []
        for _ in range(warmup):
            step()
        for _ in range(rounds):
            start = clock()
            step()
            times.append(1e3 * (clock() - start))
        medians[name] = float(np.median(times))
    return medians


# %% tags=["wrong"]
def stopwatch(steps, rounds=9, warmup=3, clock=time.perf_counter):
    """The warm-up is counted."""
    times = {name: [] for name in steps}
    for _ in range(rounds + warmup):
        for name, step in steps.items():
            start = clock()
            step()
            times[name].append(1e3 * (clock() - start))
    return {name: float(np.median(taken)) for name, taken in times.items()}


# %% tags=["check"]
now, calls = [0.0], []


def pretend(name, seconds):
    """A step that takes so many seconds of a pretended clock, in turn."""
    taken = iter([100, 100, *seconds])

    def step():
        calls.append(name)
        now[0] += next(taken)

    return step


medians = stopwatch(
    {"a": pretend("a", [1, 9, 3, 1, 2]), "b": pretend("b", [5, 5, 5, 5, 5])},
    rounds=5,
    warmup=2,
    clock=lambda: now[0],
)
assert len(calls) == 14, f"{len(calls)} calls, expected 2 × (2 + 5)"
rounds = [{*calls[start : start + 2]} for start in range(4, 14, 2)]
assert rounds == [{"a", "b"}] * 5, "each round must time every step once"
assert np.isclose(medians["b"], 5000), f"b: 5 s are 5000 ms, not {medians['b']}"
assert np.isclose(medians["a"], 2000), (
    f"a: the median of 1, 9, 3, 1 and 2 s is 2000 ms, not {medians['a']}; without the warm-up"
)
print("Right.")

# %% [markdown]
# Now we time four layers on growing grids, forward and backward, 64 channels, 4 heads, one
# image. Depthwise STT has a matrix for each of its 64 channels and two terms, whatever the heads. (Full attention stops at 32×32 here; further on, your patience would.)

# %%
layers = {
    "stt-dense": lambda: keras_stt.layers.STT(4),
    "stt-depthwise": lambda: keras_stt.layers.DepthwiseSTT(),
    "axial-mha": lambda: keras_stt.mixers.AxialAttention(4),
    "mha": lambda: keras_stt.mixers.SelfAttention(4),
}
largest = {"stt-dense": 64, "stt-depthwise": 64, "axial-mha": 64, "mha": 32}
measured = {name: {} for name in layers}
for side in (8, 16) if FAST else (8, 16, 32, 64):
    steps = {
        name: training_step(make(), (side, side), 64, 1)
        for name, make in layers.items()
        if side <= largest[name]
    }
    for name, taken in stopwatch(steps).items():
        measured[name][side] = taken
    print(
        side,
        {
            name: f"{times[side]:.2f} ms"
            for name, times in measured.items()
            if side in times
        },
    )

# %% [markdown]
# On a log-log plot, a cost that grows like $N^p$ is a straight line with slope $p$.
#
# ### Exercise 3: the slope ★
#
# Write `slope(positions, times)`: the least-squares slope of $\log t$ against $\log N$.
# (`np.polyfit`.)


# %% tags=["solution"]
def slope(positions, times):
    """The exponent with which the times grow."""
    return np.polyfit(np.log(positions), np.log(times), 1)[0]  # <solution>


# %% tags=["wrong"]
def slope(positions, times):
    """Not logarithmic."""
    return np.polyfit(positions, times, 1)[0]


# %% tags=["wrong"]
def slope(positions, times):
    """The axes exchanged."""
    return np.polyfit(np.log(times), np.log(positions), 1)[0]


# %% tags=["wrong"]
def slope(positions, times):
    """From the first point to the last, whatever lies between."""
    return np.log(times[-1] / times[0]) / np.log(positions[-1] / positions[0])


# %% tags=["check"]
grid = np.array([64, 256, 1024, 4096])
assert np.isclose(slope(grid, 3e-3 * grid**2.0), 2), "t = c·N² has slope 2"
assert np.isclose(slope(grid, 7.0 * grid**0.5), 0.5), "t = c·√N has slope 0.5"
noisy = np.array([1.0, 9.0, 15.0, 80.0])
x, y = np.log(grid) - np.log(grid).mean(), np.log(noisy)
assert np.isclose(slope(grid, noisy), (x @ y) / (x @ x)), (
    "least squares, over all points"
)
print("Right.")

# %%
figure, axes = plt.subplots(figsize=(6.5, 3.4))
for name, times in measured.items():
    color, marker, line = COLORS[name]
    positions = np.array([*times]) ** 2
    label = f"{name}, slope {slope(positions, [*times.values()]):.2f}"
    axes.loglog(
        positions, [*times.values()], marker=marker, color=color, ls=line, label=label
    )
axes.set_xticks(
    [s**2 for s in measured["stt-dense"]], [f"{s}×{s}" for s in measured["stt-dense"]]
)
axes.minorticks_off()
axes.set(xlabel="grid", ylabel="training step (ms)")
axes.legend()
plt.show()

# %% [markdown]
# Depthwise STT has four times the memory of STT and up to three times its time: it keeps a result
# for each of two terms. Read slopes with care. On small grids every layer pays for calls and small operations that do
# not grow, so every slope looks *better* than it is. The lines straighten towards the right.
#
# ## Memory
#
# The same steps, and the most memory that each needs beyond what was there before. (Where a
# backend gives no honest number, `None` is reported, and the point is missing. PyTorch's
# attention on CPUs keeps no scores: its memory does not grow with the square.)

# %%
figure, axes = plt.subplots(figsize=(6.5, 3.2))
for name, make in layers.items():
    color, marker, line = COLORS[name]
    peaks = {}
    for side in measured[name]:
        step = training_step(make(), (side, side), 64, 1)
        for _ in range(2):
            step()
        peak = peak_step_bytes(step, repeats=3)
        if peak:
            peaks[side**2] = peak / 2**20
    axes.loglog(
        [*peaks], [*peaks.values()], marker=marker, color=color, ls=line, label=name
    )
axes.set_xticks(
    [s**2 for s in measured["stt-dense"]], [f"{s}×{s}" for s in measured["stt-dense"]]
)
axes.minorticks_off()
axes.set(xlabel="grid", ylabel="peak of a step (MiB)")
axes.legend()
plt.show()

# %% [markdown]
# ## Every pixel of 224×224
#
# Now the size of ImageNet, with a position for **every pixel**: 50,176 of them, 16 channels.
# One STT layer, forward and backward:

# %%
side = 64 if FAST else 224
step = training_step(keras_stt.layers.STT(4), (side, side), 16, 1)
taken = stopwatch({"stt-dense": step}, rounds=5, warmup=2)["stt-dense"]
needed = attention_bytes("mha", (side, side), 1, 4)
print(f"STT at {side}×{side}: {taken:.0f} ms per training step.")
print(f"Full attention has {needed / 1e9:.1f} GB of scores here, and their gradients.")
print("Where they are stored, as on JAX and TensorFlow on a CPU, that is the end.")

# %% [markdown]
# We do not run MultiHeadAttention here: it might take your session with it. It *was* run, in a
# process of its own with a memory limit; this is what came of it on JAX, and on PyTorch, whose
# fused attention stores no scores, and takes its time:

# %%
here = Path.cwd().resolve()
root = next(
    folder for folder in (here, *here.parents) if (folder / "docs/results").is_dir()
)
speed = root / "docs/results/speed"
table = "| backend | grid | mixer | step (ms) | what happened |\n"
table += "| :-- | :-- | :-- | --: | :-- |\n"
for backend in ("jax", "torch"):
    large = json.loads((speed / f"large-{backend}/results.json").read_text())
    print(f"KERAS_BACKEND={backend} {large['command']}\n")
    for row in large["rows"]:
        if row["mixer"] in layers:
            grid, taken = "×".join(map(str, row["grid"])), row["training_ms"]
            cells = (backend, grid, row["mixer"], f"{taken:,.1f}" if taken else "–")
            table += f"| {' | '.join(cells)} | {row['error'] or ''} |\n"
Markdown(table)

# %% [markdown]
# A small *network* at this size trains on two cores, too: `docs/results/pixel_level` has the
# command and the outcome.
#
# ## Compiled or not
#
# Keras compiles with XLA on JAX, on TensorFlow with a GPU, and where asked for
# (`jit_compile=True`). Many small operations become few large ones. On PyTorch, Keras runs
# layer by layer; compilation is left to `keras-stt bench`, because it takes minutes there.

# %%
if keras.backend.backend() == "torch":
    print("Not compared on PyTorch.")
else:
    sizes = (8, 16) if FAST else (8, 16, 32)
    figure, axes = plt.subplots(figsize=(6, 2.8))
    for compiled in (False, True):
        times = []
        for side in sizes:
            make = layers["stt-dense"]
            step = training_step(make(), (side, side), 64, 1, jit_compile=compiled)
            times.append(stopwatch({"": step}, rounds=5)[""])
        style, name = ("o-", "compiled") if compiled else ("o--", "not compiled")
        axes.plot(times, style, color=COLORS["stt-dense"].color, label=name)
    axes.set_xticks(range(len(sizes)), [f"{side}×{side}" for side in sizes])
    axes.set(yscale="log", xlabel="grid", ylabel="training step (ms)")
    axes.legend()
    plt.show()

# %% [markdown]
# ## The committed measurement
#
# `keras-stt bench` does all this with more care: every layer in the fastest form that its
# backend has, thousands of calls, memory, and the **floor**, the bare matrix products that no
# STT layer can do without. Its figure for JAX on two cores:

# %%
display(Image(speed / "jax/time.png", width=760))

# %%
table = "| backend | grid | `stt-dense` (ms) | `mha` (ms) | ratio |\n| :-- | :-- | --: | --: | --: |\n"
for backend in ("jax", "tensorflow", "torch"):
    rows = json.loads((speed / backend / "results.json").read_text())["rows"]
    for side in (8, 32, 64):
        taken = {
            r["mixer"]: r["training_ms"] for r in rows if r["grid"] == [side, side]
        }
        ours, theirs = taken["stt-dense"], taken["mha"]
        table += f"| {backend} | {side}×{side} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} |\n"
Markdown(table)

# %% [markdown]
# ### On a GPU
#
# On Colab or another machine with a GPU, all cells above run there as they are. The
# benchmark's command for it, in bfloat16 against the flash attention that Keras calls:
#
# ```bash
# keras-stt bench --grid 32x32 64x64 128x128 256x256 --batch 64 --channels 256 --dtype bfloat16
# ```
#
# No GPU was at hand for the committed timings, so there are none for GPUs yet, and this
# notebook claims nothing about them.
#
# ## Honest limits
#
# - Times of one machine. Ratios travel better than milliseconds, and even they do not travel
#   from a CPU to a GPU.
# - STT is not the cheapest mixer: pooling, an MLP over tokens and external attention are
#   faster on large grids (`docs/results/speed/README.md`).
# - At 7×7 or 8×8 a training step of one layer takes about a millisecond. Compiled, STT is up to
#   2.3 times as fast as full attention there, uncompiled on PyTorch it is slower. Choose by
#   accuracy.
#
# ## Key points
#
# - Memory can be counted before it is missing.
# - Warm up, take turns, report medians and ratios.
# - Full attention grows with the square of the pixels, STT nearly in proportion.
# - Attention on all pixels of 224×224 trains on two cores with STT.
#
# ## Five questions
#
# 1. Why do we convert the loss to a `float` in `training_step`?
# 2. What is wrong with timing all of A first, and then all of B?
# 3. Slope 0.8 for STT: does it get cheaper per pixel with larger images?
# 4. FlashAttention does not store the matrix. What does it not save?
# 5. Which would you use on a 7×7 grid?
#
# <details><summary>Answers</summary>
#
# 1. It waits for the result. Some backends return at once and compute later.
# 2. If the machine slows down meanwhile, only B is hurt.
# 3. In part, because fixed costs are shared by more pixels; asymptotically no, since rows and
#    columns get longer: multiply-adds grow with a power above 1.
# 4. The multiply-adds, which still grow with the square of the pixels.
# 5. Whatever is more accurate: a step takes about a millisecond either way.
#
# </details>
#
# ## References
#
# - `docs/benchmark.md`: what `keras-stt bench` times, and how.
# - Dao et al., *FlashAttention*, [arXiv 2205.14135](https://arxiv.org/abs/2205.14135).
# - Ho et al., *Axial Attention*, [arXiv 1912.12180](https://arxiv.org/abs/1912.12180).
