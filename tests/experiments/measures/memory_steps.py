"""Steps that need known memory: `python memory_steps.py NAME ARGUMENT...`.

Run as a script by `test_memory.py`; prints what was measured, as JSON.
"""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import keras
import numpy as np

from keras_stt.experiments.data.classification import Images
from keras_stt.experiments.measures.memory import peak_step_bytes
from keras_stt.experiments.measures.timing import inference_step

MIB = 2**20


def filled(mib):
    return np.ones(int(mib * MIB), np.uint8)


def allocations(where):
    with ThreadPoolExecutor(1) as pool:

        def step(size):
            if where == "in_a_thread":
                pool.submit(filled, size).result()
            else:
                filled(size)

        return [(peak_step_bytes(partial(step, size)), size) for size in (16, 30, 60)]


def two_after_each_other():
    """What is there already does not count, and the two do not add up."""
    kept = filled(100)

    def step():
        first = filled(60)
        del first
        kept[:] = filled(40)[0]

    return peak_step_bytes(step)


def freed_after_the_result():
    with ThreadPoolExecutor(1) as pool:

        def step():
            ready = threading.Event()
            pool.submit(allocate, ready)
            ready.wait()

        def allocate(ready):
            made = filled(20)
            ready.set()
            time.sleep(0.01)
            del made

        return peak_step_bytes(step)


def holes():
    """What is freed between small things that live on does not go back by itself."""
    kept, between = [], []
    for _ in range(100):
        between.append(np.ones(100_000, np.uint8))
        kept.append(np.ones(5_000, np.uint8))
    between.clear()
    return peak_step_bytes(lambda: [np.ones(100_000, np.uint8) for _ in range(100)])


def of_sizes(repeats, *sizes):
    left = [*map(int, sizes)]
    peak = peak_step_bytes(lambda: filled(left.pop(0)), repeats=int(repeats))
    return peak, len(left)


def backend_array():
    ones = keras.ops.ones
    return peak_step_bytes(lambda: float(ones((64 * MIB // 4,), "float32")[-1]))


def attention_scores():
    """The size of the scores, and the peaks of models with and without attention."""
    heads, positions, batch = 2, 512, 4

    def peak(attention):
        inputs = keras.Input((32, 16, 8))
        x = keras.layers.Reshape((positions, 8))(inputs)
        if attention:
            x = keras.layers.MultiHeadAttention(heads, 4)(x, x)
        model = keras.Model(inputs, keras.layers.Dense(8)(x))
        return peak_step_bytes(inference_step(model, data))

    data = Images(np.zeros((batch, 32, 16, 8), np.uint8), np.zeros(batch, np.int32))
    return 4 * batch * heads * positions**2, peak(True), peak(False)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
