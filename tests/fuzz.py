"""Random constructor and call arguments for the layers, most of them valid.

A draw works (finite, of the shape and dtype of the symbolic call, the same after saving
and loading), or it is a `ValueError` or `TypeError` that names an invalid argument, or
one of those that depend on each other. In numbers:

    KERAS_BACKEND=jax python tests/fuzz.py --count 2000
"""

import argparse
import collections
import re
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from invalid import INVALID as OF_LAYERS
from tqdm import tqdm

from keras_stt.layers import STT, DepthwiseSTT, STTBlock
from keras_stt.synthesizers import (
    Dense,
    FactorizedDense,
    FactorizedRandom,
    Gaussian,
    Mixture,
    Random,
)

#: How often an argument is invalid, and how often one is given at all.
INVALID_SHARE, GIVEN_SHARE = 0.02, 0.35

AXES = [None, None, None, 1, -2, (1,), (1, 2), [2, 1], range(1, 3), (-2, -3), 3]
INITIALIZERS = ["he_normal", "zeros", keras.initializers.RandomNormal(stddev=0.1)]
INITIALIZERS += [lambda shape, dtype=None: keras.ops.ones(shape, dtype)]
REGULARIZERS = [None, "l2", keras.regularizers.L1(0.1)]
CONSTRAINTS = [None, "non_neg", keras.constraints.MaxNorm(1)]
WEIGHTS = {
    f"{weight}_{kind}": values
    for weight in ("kernel", "bias", "amplitude")
    for kind, values in {
        "initializer": INITIALIZERS,
        "regularizer": REGULARIZERS,
        "constraint": CONSTRAINTS,
    }.items()
}
SYNTHESIZERS = [
    *("dense", "random", "factorized_dense", "factorized_random", "gaussian"),
    *("dot_product", Dense(3, "tanh"), Random(trainable=False), Gaussian((0,), (2.0,))),
    *(FactorizedDense(), FactorizedRandom(2), Mixture(["random", "dense"])),
    Mixture(["gaussian", Mixture(["random", "dot_product"])]),
]
SHARED = {
    "synthesizer": SYNTHESIZERS,
    "attention_axes": AXES,
    "causal_axes": AXES,
    "dropout": [0.0, 0.3, np.float32(0.5)],
    "use_bias": [True, False, np.bool_(True)],
    "seed": [None, 0, np.int64(7)],
    "data_format": [None, "channels_last", "channels_first"],
    "dtype": [None, "float32", "mixed_float16", "mixed_bfloat16", "bfloat16"],
    **{name: values for name, values in WEIGHTS.items() if "amplitude" not in name},
}

#: Valid values of the arguments of each layer. Some do not go together.
VALID = {
    STT: {
        **SHARED,
        "num_heads": [1, 2, 4, np.int64(2)],
        "value_dim": [None, 1, 3],
        "output_shape": [None, 3, (2, 3)],
        "activity_regularizer": REGULARIZERS,
        "mimetic": [False, True],
    },
    DepthwiseSTT: {
        **SHARED,
        **WEIGHTS,
        "num_terms": [1, 2, 3],
        "amplitude": ["learned", "synthesized"],
        "bounded": [False, True],
        "gate": [None, "silu", "sigmoid"],
    },
    STTBlock: {
        "mixer": [
            *(None, lambda: STT(2), lambda: DepthwiseSTT()),
            *(lambda: STT(1, synthesizer="random"), lambda: keras.layers.Dense(4)),
        ],
        "mlp_ratio": [0.5, 2],
        "dropout": SHARED["dropout"],
        "stochastic_depth": [0.0, 0.2],
        "activation": ["gelu", "relu", keras.activations.tanh],
        "layer_scale": [None, 1e-4],
        "seed": SHARED["seed"],
        "data_format": SHARED["data_format"],
        "dtype": SHARED["dtype"],
    },
}
INVALID = OF_LAYERS | {
    "mlp_ratio": [0, -1, "a", None, True],
    "stochastic_depth": OF_LAYERS["dropout"],
    "layer_scale": [-1, "a", True, float("nan")],
    "mixer": ["stt", 3, keras.layers.Dense],
}
INVALID_CALLS = {
    "mask": ["none", 1.0, np.ones((1, 1)), np.ones((2, 3, 4, 5), "float32")],
    "use_causal_mask": ["yes", 2, None],
    "return_attention_scores": ["yes", 2, None],
}
NAMES = {
    *("inputs", "mask", "attention_axes", "mixer", *INVALID_CALLS),
    *(name for arguments in VALID.values() for name in arguments),
}


#: What may be refused though each argument is valid: they depend on each other.
DEPENDENT = {
    *("value_dim", "attention_axes", "causal_axes", "mimetic", "mixer", "mask"),
    *("use_causal_mask", "return_attention_scores"),
}


def choice(rng, values):
    return values[rng.integers(len(values))]


def draw_layer(rng):
    """A class, its arguments, and the names of those that are invalid."""
    layer_class = choice(rng, [STT, STT, DepthwiseSTT, DepthwiseSTT, STTBlock])
    arguments, invalid = {}, set()
    for name, values in VALID[layer_class].items():
        if rng.random() < INVALID_SHARE and name in INVALID:
            arguments[name] = choice(rng, INVALID[name])
            invalid.add(name)
        elif name == "num_heads" or rng.random() < GIVEN_SHARE:
            value = choice(rng, values)
            arguments[name] = value() if name == "mixer" and value else value
    return layer_class, arguments, invalid


def draw_call(rng):
    """Inputs, call arguments, and the names of those that are invalid."""
    rank = rng.integers(3, 6)
    sizes = [int(choice(rng, [1, 2, 3, 4, 5])) for _ in range(rank - 2)]
    batch, channels = int(choice(rng, [0, 1, 3])), int(choice(rng, [1, 4, 8, 8, 8, 12]))
    arguments, invalid = {}, set()
    if rng.random() < INVALID_SHARE:
        sizes[0] = 0
        invalid.add("inputs")
    inputs = rng.normal(size=(batch, *sizes, channels)).astype("float32")
    if rng.random() < 0.3:
        arguments["mask"] = rng.random((batch, *sizes)) < 0.6
    for name in ("use_causal_mask", "return_attention_scores", "training"):
        if rng.random() < 0.2:
            arguments[name] = bool(rng.integers(2))
    for name, values in INVALID_CALLS.items():
        if rng.random() < INVALID_SHARE:
            arguments[name] = choice(rng, values)
            invalid.add(name)
    return inputs, arguments, invalid


def arrays(outputs):
    return [
        keras.ops.convert_to_numpy(keras.ops.cast(each, "float32"))
        for each in keras.tree.flatten(outputs)
    ]


def faults(seed, folder):
    """What is wrong with a draw: nothing, hopefully; and how it ended."""
    rng = np.random.default_rng(seed)
    layer_class, arguments, invalid = draw_layer(rng)
    inputs, call, invalid_call = draw_call(rng)
    if arguments.get("data_format") == "channels_first":
        inputs = np.moveaxis(inputs, -1, 1)
    invalid |= invalid_call
    case = f"seed {seed}: {layer_class.__name__}({arguments})({inputs.shape}, {call})"
    keras.utils.set_random_seed(seed)
    try:
        layer = layer_class(**arguments)
        outputs = layer(inputs, **call)
    except Exception as error:
        named = NAMES & set(re.findall(r"`(\w+)[`=]", str(error)))
        clear = isinstance(error, (ValueError, TypeError))
        if clear and named & (invalid | DEPENDENT):
            return None, "clear error"
        return f"{case}\n  {type(error).__name__}: {error}", "error"
    if invalid:
        return f"{case}\n  accepts {invalid}", "worked"
    found = arrays(outputs)
    if not all(np.isfinite(each).all() for each in found):
        return f"{case}\n  is not finite", "worked"
    symbols = {
        name: keras.KerasTensor(value.shape, "bool") if name == "mask" else value
        for name, value in call.items()
    }
    specs = layer.compute_output_spec(keras.KerasTensor(inputs.shape), **symbols)
    for spec, tensor in zip(
        keras.tree.flatten(specs), keras.tree.flatten(outputs), strict=True
    ):
        eager = tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype)
        if eager != (spec.shape, spec.dtype):
            symbolic = spec.shape, spec.dtype
            return f"{case}\n  {eager}, symbolically {symbolic}", "worked"
    return reload(case, layer, inputs, call, found, folder), "worked"


def reload(case, layer, inputs, call, expected, folder):
    """What is wrong after saving and loading; with dropout, with the weights."""
    if any(is_function(value) for value in vars(layer).values()):
        return None  # Keras cannot save a function without a name.
    model = keras.Sequential([keras.Input(inputs.shape[1:]), layer])
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras", compile=False).layers[0]
    if call.get("training"):
        before, after = arrays(layer.weights), arrays(loaded.weights)
    else:
        before, after = expected, arrays(loaded(inputs, **call))
    if not all(
        np.allclose(a, b, atol=1e-5) for a, b in zip(before, after, strict=True)
    ):
        return f"{case}\n  is another layer after loading"
    return None


def is_function(value):
    return getattr(value, "__name__", "") == "<lambda>"


def main():
    parser = argparse.ArgumentParser(description="Fuzzes the layers.")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--start", type=int, default=0)
    options = parser.parse_args()
    ends, found = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        seeds = range(options.start, options.start + options.count)
        for seed in tqdm(seeds, unit="draw", mininterval=10):
            if keras.backend.backend() == "jax" and not seed % 100:
                import jax

                # What was compiled for a draw is of no use to others: gigabytes.
                jax.clear_caches()
            fault, end = faults(seed, Path(folder))
            ends[end] += 1
            if fault:
                found.append(fault)
                print(fault, flush=True)
    backend = keras.backend.backend()
    print(f"{options.count} draws on {backend}: {dict(ends)}; {len(found)} faults")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main())
