"""A few steps of training, spread over devices or processes; a program of its own.

    python distributed_training.py KIND FILE [PROCESS PORT]

writes losses and weights to FILE, an `.npz`. KIND is single; data or model, on JAX;
mirrored, on TensorFlow; parallel, on PyTorch (DistributedDataParallel). With PROCESS,
0 or 1, two processes train together.
"""

# ruff: noqa: E402 - The number of devices is read when JAX is imported.
import contextlib
import os
import sys
from functools import partial

kind, file, *others = sys.argv[1:]
devices = 1 if kind == "single" else 2 if others else 4
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"

import keras
import numpy as np

import keras_stt

BATCH, STEPS = 8, 4


def distribution():
    """How the work is spread; on each device as many examples."""
    if others:
        process, port = others
        keras.distribution.initialize(f"127.0.0.1:{port}", 2, int(process))
    found = keras.distribution.list_devices()
    if kind == "data":
        return keras.distribution.DataParallel(devices=found, auto_shard_dataset=False)
    mesh = keras.distribution.DeviceMesh(
        (2, len(found) // 2), ["batch", "model"], found
    )
    return keras.distribution.ModelParallel(
        layout_map=keras_stt.models.layout_map(mesh), batch_dim_name="batch"
    )


def models():
    # Elsewhere, replicas each normalise with the statistics of their own images.
    stem = "convolution" if keras.backend.backend() == "jax" else "patch"
    mixers = {
        # As Keras's MultiHeadAttention is called in the mixers.
        "stt-dense": lambda: keras_stt.layers.STT(4, name="attention"),
        "stt-depthwise": "stt-depthwise-synthesized",
        "mha": "mha",
    }
    for name, mixer in mixers.items():
        model = keras_stt.models.image_classifier(
            (8, 8, 3), 4, mixer=mixer, grid=(4, 4), width=8, depth=1, stem=stem
        )
        yield name, model
    yield "captioner", keras_stt.models.ImageCaptioner(
        (8, 8, 3), ["a", "b"], 4, grid=(4, 4), width=8, encoder_depth=1,
        decoder_depth=1, dropout=0.0, stem=stem,
    )  # fmt: skip


def batch(name, step):
    rng = np.random.default_rng(step)
    images = rng.random((BATCH, 8, 8, 3)).astype("float32")
    if name != "captioner":
        return images, rng.integers(0, 4, BATCH)
    tokens = rng.integers(4, 6, (BATCH, 6)).astype("int32")
    return {"image": images, "tokens": tokens[:, :-1]}, tokens[:, 1:]


def mine(values):
    """The part of a batch that is this process's."""
    if not others:
        return values
    half = slice(BATCH // 2 * int(others[0]), BATCH // 2 * (int(others[0]) + 1))
    return keras.tree.map_structure(lambda each: each[half], values)


def steps_in_parallel(model):
    """Steps as Keras's guide to DistributedDataParallel has them."""
    import torch
    from torch.nn.parallel import DistributedDataParallel

    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1, momentum=0.9)

    def step(*data):
        inputs, targets = keras.tree.map_structure(torch.as_tensor, mine(data))
        logits = parallel(inputs, training=True)
        loss = torch.nn.functional.cross_entropy(logits.movedim(-1, 1), targets.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total = loss.detach()
        torch.distributed.all_reduce(total)
        return total.item() / torch.distributed.get_world_size()

    return step


def step(model, *data):
    """One step on a batch; its loss."""
    if kind != "mirrored":
        return model.train_on_batch(*mine(data))
    # TensorFlow splits what comes from a data set.
    history = model.fit(*data, batch_size=BATCH, shuffle=False, verbose=0)
    return history.history["loss"][0]


def scope():
    """What models are made in."""
    if kind == "parallel":
        import torch

        process, port = others
        torch.distributed.init_process_group(
            "gloo", f"tcp://127.0.0.1:{port}", world_size=2, rank=int(process)
        )
    elif kind in ("data", "model"):
        keras.distribution.set_distribution(distribution())
    if kind != "mirrored":
        return contextlib.nullcontext()
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()


def devices_of(model):
    """The number of devices that a step uses."""
    if kind == "mirrored":
        return model.distribute_strategy.num_replicas_in_sync
    if kind == "parallel":
        import torch

        return torch.distributed.get_world_size()
    if keras.backend.backend() != "jax":
        return 1
    return len(model.trainable_variables[0].value.sharding.device_set)


def value_of(weight):
    on_jax = keras.backend.backend() == "jax"
    if others and on_jax and not weight.value.is_fully_addressable:
        from jax.experimental.multihost_utils import process_allgather

        return process_allgather(weight.value, tiled=True)
    return keras.ops.convert_to_numpy(weight.value)


found = {}
with scope():
    keras.utils.set_random_seed(0)
    for name, model in models():
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
        start = [value_of(weight).copy() for weight in model.trainable_weights]
        one = steps_in_parallel(model) if kind == "parallel" else partial(step, model)
        losses = [one(*batch(name, number)) for number in range(STEPS)]
        found[f"{name}/loss"] = np.array(losses)
        if kind == "model":
            layouts = {v.path: v.value.sharding.spec for v in model.trainable_variables}
            split = sorted(path for path, spec in layouts.items() if "model" in spec)
            found[f"{name}/split"] = np.array(split)
        moved = zip(start, model.trainable_weights, strict=True)
        found[f"{name}/moved"] = np.array(
            [np.abs(value_of(weight) - before).max() for before, weight in moved]
        )
        found[f"{name}/devices"] = devices_of(model)
        for weight in model.weights:
            found[f"{name}/{weight.path}"] = value_of(weight)
np.savez(file, **found)
