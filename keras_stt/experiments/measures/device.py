"""The accelerator that Keras runs on: a branch per backend."""

from typing import Any

import keras


def accelerator() -> dict[str, Any]:
    """Describes the accelerator, for the record.

    Returns:
        `{"kind": "gpu" or "tpu", "name": model, "count": number}`; empty on a CPU.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        devices = jax.local_devices()
        kind, names = devices[0].platform, [device.device_kind for device in devices]
    elif backend == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        found = tf.config.list_physical_devices("GPU")
        kind, names = "gpu", [details(gpu).get("device_name", "GPU") for gpu in found]
    else:
        import torch

        count = torch.cuda.device_count()
        kind, names = "gpu", [torch.cuda.get_device_name(i) for i in range(count)]
    if kind == "cpu" or not names:
        return {}
    return {"kind": kind, "name": names[0], "count": len(names)}
