"""A step that needs more memory than there may be, in a process of its own."""

import sys

import pytest

from keras_stt.experiments.bench import trial
from keras_stt.experiments.bench.trial import available_bytes, try_step

needs_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads the kernel's own files"
)


# Each starts a process with its backend: some seconds.
@needs_linux
def test_self_attention_with_little_memory():
    # 8·4·1,024² scores of 4 bytes are 128 MiB, of which training holds some.
    with pytest.raises(MemoryError, match=r"more than the 0\.2 GiB there are"):
        try_step("mha-axes", (8, 32, 32, 64), 4, "float32", 2**28)


@needs_linux
def test_self_attention_with_enough_memory():
    try_step("mha-axes", (2, 16, 16, 64), 4, "float32", 2**33)


@needs_linux
def test_self_attention_with_too_little_time(monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 0.01)
    with pytest.raises(MemoryError, match=r"takes more than 0\.01 s"):
        try_step("mha-axes", (2, 16, 16, 64), 4, "float32", 2**33)


@needs_linux
def test_an_error_that_has_nothing_to_do_with_memory():
    # 64 channels are no multiple of 5 heads.
    with pytest.raises(RuntimeError, match="multiple of num_heads=5"):
        try_step("mha-axes", (2, 16, 16, 64), 5, "float32", 2**33)


def test_memory_that_is_available(tmp_path, monkeypatch):
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:  9000 kB\nMemAvailable:    5000 kB\n")
    monkeypatch.setattr(trial, "_MEMORY", told)
    assert available_bytes() == 5000 * 1024
    monkeypatch.setattr(trial, "_MEMORY", tmp_path / "nothing")
    assert available_bytes() is None
