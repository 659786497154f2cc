"""Training over devices and processes: the same losses and weights as on one device."""

import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_stt.models import layout_map

PROGRAM = Path(__file__).parent / "distributed_training.py"
jax_only = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="Keras distributes on JAX"
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def trained(kind, folder, processes=1):
    """What the program writes, from one process or from each of two."""
    port = free_port()
    started = []
    for process in range(processes):
        file = folder / f"{kind}-{processes}-{process}.npz"
        place = [str(process), str(port)] if processes > 1 else []
        started.append(
            (
                subprocess.Popen(
                    [sys.executable, str(PROGRAM), kind, str(file), *place],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                ),
                file,
            )
        )
    found = []
    for process, file in started:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        found.append(dict(np.load(file)))
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return trained("single", tmp_path_factory.mktemp("single"))[0]


@jax_only
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("kind", ["data", "model"])
def test_training_is_that_of_one_device(kind, processes, alone, tmp_path):
    for found in trained(kind, tmp_path, processes):
        for name, expected in alone.items():
            np.testing.assert_allclose(
                found[name], expected, rtol=1e-4, atol=1e-5, err_msg=name
            )
        if kind == "model":
            block = {f"block_0/{name}" for name in ("expand/kernel", "project/kernel")}
            block |= {"block_0/expand/bias"}
            ours = {"mixer/value/kernel", "mixer/value/bias"}
            ours = {
                f"block_0/{name}" for name in (*ours, "mixer/attention_output/kernel")
            }
            assert set(found["stt-dense/split"]) == block | ours
            assert set(found["stt-depthwise-synthesized/split"]) == block
            heads = [f"{name}/{kind}" for name in ("query", "key", "value")
                     for kind in ("kernel", "bias")]  # fmt: skip
            keras_own = {f"block_0/mixer/attention/{name}" for name in heads}
            keras_own |= {"block_0/mixer/attention/attention_output/kernel"}
            assert set(found["mha/split"]) == block | keras_own


@jax_only
def test_the_model_learns_something_meanwhile(alone):
    # Else any two runs would be equal.
    for name in ("stt-dense", "stt-depthwise-synthesized", "mha", "captioner"):
        losses = alone[f"{name}/loss"]
        assert len(set(losses.tolist())) == 4


@jax_only
def test_an_axis_that_the_mesh_lacks():
    devices = keras.distribution.list_devices()[:1]
    mesh = keras.distribution.DeviceMesh((1, 1), ["batch", "model"], devices)
    with pytest.raises(
        ValueError, match=r"`axis`.*batch, model.*Received: axis='heads'"
    ):
        layout_map(mesh, axis="heads")


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's own strategy"
)
def test_mirrored_strategy(alone, tmp_path):
    (found,) = trained("mirrored", tmp_path)
    for name, expected in alone.items():
        np.testing.assert_allclose(
            found[name], expected, rtol=1e-4, atol=1e-5, err_msg=name
        )
