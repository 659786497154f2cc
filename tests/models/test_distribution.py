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
    files = [folder / f"{kind}-{processes}-{each}.npz" for each in range(processes)]
    port, started = free_port(), []
    for process, file in enumerate(files):
        place = [str(process), str(port)] if processes > 1 else []
        command = [sys.executable, str(PROGRAM), kind, str(file), *place]
        started.append(
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    try:
        for process in started:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output
    finally:
        for process in started:
            process.kill()
    return [dict(np.load(file)) for file in files]


def check(found, expected, devices):
    """That losses and weights are those of one device, and that there were several."""
    for name, value in expected.items():
        if name.endswith("/devices"):
            assert value == 1
            assert found[name] == devices
            continue
        np.testing.assert_allclose(
            found[name], value, rtol=1e-4, atol=1e-5, err_msg=name
        )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return trained("single", tmp_path_factory.mktemp("single"))[0]


@jax_only
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("kind", ["data", "model"])
def test_training_is_that_of_one_device(kind, processes, alone, tmp_path):
    for found in trained(kind, tmp_path, processes):
        check(found, alone, devices=4)
        if kind == "data":
            continue
        block = {
            *("block_0/expand/kernel", "block_0/expand/bias", "block_0/project/kernel"),
        }
        ours = {
            f"block_0/attention/{name}"
            for name in ("value/kernel", "value/bias", "attention_output/kernel")
        }
        assert set(found["stt-dense/split"]) == block | ours
        assert set(found["stt-depthwise/split"]) == block
        of_keras = {
            f"block_0/mixer/attention/{name}/{weight}"
            for name in ("query", "key", "value")
            for weight in ("kernel", "bias")
        }
        of_keras |= {"block_0/mixer/attention/attention_output/kernel"}
        assert set(found["mha/split"]) == block | of_keras


def test_the_weights_move_meanwhile(alone):
    # Else any two runs would be equal.
    for name in ("stt-dense", "stt-depthwise", "mha", "captioner"):
        moved = alone[f"{name}/moved"]
        # (A bias of the keys has no gradient.)
        assert (moved > 1e-4).mean() > 0.9


@jax_only
def test_an_axis_that_the_mesh_lacks():
    devices = keras.distribution.list_devices()[:1]
    mesh = keras.distribution.DeviceMesh((1, 1), ["batch", "model"], devices)
    with pytest.raises(
        ValueError, match=r"`axis`.*batch, model.*Received: axis='heads'"
    ):
        layout_map(mesh, axis="heads")


@jax_only
def test_another_name_of_the_axis():
    devices = keras.distribution.list_devices()[:1]
    mesh = keras.distribution.DeviceMesh((1, 1), ["batch", "heads"], devices)
    layouts = layout_map(mesh, axis="heads")
    assert layouts["block_0/mixer/value/kernel"].axes == (None, "heads")


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's own strategy"
)
def test_mirrored_strategy(alone, tmp_path):
    (found,) = trained("mirrored", tmp_path)
    check(found, alone, devices=2)


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="PyTorch's own data parallelism"
)
def test_distributed_data_parallel(alone, tmp_path):
    # Alone, Keras's own optimizer took the steps.
    for found in trained("parallel", tmp_path, processes=2):
        check(found, alone, devices=2)
