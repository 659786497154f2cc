"""Where the time of a step goes: the largest items of a backend's own profiler."""

from __future__ import annotations

import collections
import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

Items = list[dict[str, Any]]


def largest_items(
    run: Callable[[], object], calls: int = 5, count: int = 10
) -> Items | None:
    """Profiles a warm step.

    Args:
        run: Runs the step and waits for its results.
        calls: How often it is run.
        count: How many items are wanted.

    Returns:
        The items that take longest, `{"name", "ms"}`, milliseconds per call, longest
        first; None on TensorFlow.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        totals = _jax_totals(run, calls)
    elif backend == "torch":
        totals = _torch_totals(run, calls)
    else:
        return None
    ranked = sorted(totals.items(), key=lambda item: -item[1])[:count]
    return [{"name": name, "ms": us / 1e3 / calls} for name, us in ranked if us]


def _jax_totals(run: Callable[[], object], calls: int) -> dict[str, float]:
    """Microseconds by the name of what XLA ran."""
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            for _ in range(calls):
                run()
        (file,) = Path(folder).rglob("perfetto_trace.json.gz")
        content = json.loads(gzip.decompress(file.read_bytes()))
    events = content["traceEvents"] if isinstance(content, dict) else content
    return totals_of(events)


def totals_of(events: list[dict[str, Any]]) -> dict[str, float]:
    """Microseconds by name, of the events of a trace."""
    # A GPU's kernels are on its streams; on a CPU, XLA's operations say what they are.
    streams = {
        (event["pid"], event.get("tid"))
        for event in events
        if event.get("name") == "thread_name"
        and event.get("args", {}).get("name", "").startswith("Stream")
    }
    totals: dict[str, float] = collections.defaultdict(float)
    for event in events:
        if event.get("ph") != "X":
            continue
        on_stream = (event["pid"], event.get("tid")) in streams
        if on_stream if streams else "hlo_op" in event.get("args", {}):
            totals[event["name"]] += event.get("dur", 0)
    return totals


def _torch_totals(run: Callable[[], object], calls: int) -> dict[str, float]:
    """Microseconds by the name of PyTorch's operations, or of the GPU's kernels."""
    import torch
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * gpu
    with profile(activities=activities) as recorded:
        for _ in range(calls):
            run()
    found = recorded.key_averages()
    if not gpu:
        return {each.key: each.self_cpu_time_total for each in found}
    # An operation has the time of its kernels, which are listed themselves.
    return {
        each.key: each.self_device_time_total
        for each in found
        if each.device_type != DeviceType.CPU and not each.is_user_annotation
    }
