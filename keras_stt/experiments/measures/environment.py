"""What numbers are measured with: backend, packages and device."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

import keras

from keras_stt.experiments.measures.device import accelerator

# What a backend consists of; the first name is the one it is imported by.
_BACKENDS = {"tensorflow": ["tensorflow"], "jax": ["jax", "jaxlib"], "torch": ["torch"]}
# TensorFlow is distributed under several names that hold the same package.
_OTHER_NAMES = {"tensorflow": ["tensorflow-cpu", "tensorflow-intel", "tf-nightly"]}


def environment() -> dict[str, Any]:
    """What numbers are measured with, without host names or paths.

    Returns:
        `{"backend", "versions": {package: version}, "device": {"kind", "name",
        "count", "system"}}`; packages that are not installed are left out. The device
        is the accelerator, or else the processor with the number of cores that this
        process may use.
    """
    backend = keras.backend.backend()
    packages = ["keras_stt", "keras", *_BACKENDS[backend], "numpy"]
    versions = {
        package: version
        for package in [*packages, "tensorflow_datasets"]
        if (version := _version(package)) is not None
    }
    processor = {"kind": "cpu", "name": _processor(), "count": _cores()}
    return {
        "backend": backend,
        "versions": versions | {"python": platform.python_version()},
        "device": {
            **processor,
            **accelerator(),
            "system": f"{platform.system()} {platform.machine()}".strip(),
        },
    }


def _version(package: str) -> str | None:
    for distribution in [package, *_OTHER_NAMES.get(package, [])]:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    # A source tree that was not installed still knows its own version.
    return getattr(sys.modules.get(package), "__version__", None)


def _processor(path: str = "/proc/cpuinfo") -> str:
    try:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    except (OSError, UnicodeDecodeError):
        pass
    return platform.processor() or platform.machine() or "unknown processor"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
