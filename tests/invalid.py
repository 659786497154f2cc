"""Invalid values by the name of the argument."""

import keras

SIZES = [0, -1, 2.5, "4", True, (2,)]
RATES = [-0.1, 1.0, 2, float("nan"), "a", None, True]
AXES = [1.5, (), "1", (1, None), (True,), {}]
INITIALIZERS = ["glorot", 5, {"class_name": "Nothing"}]

#: Invalid values by the name of the argument.
INVALID = {
    "activation": ["gelo", 5],
    "amplitude": ["learnt", None, 1],
    "amplitude_initializer": INITIALIZERS,
    "amplitude_regularizer": ["L3", 5],
    "amplitude_constraint": ["Positive", 5],
    "attention_axes": AXES,
    "axis": SIZES,
    "bias_constraint": ["Positive", 5],
    "bias_initializer": INITIALIZERS,
    "bias_regularizer": ["L3", 5],
    "activity_regularizer": ["L3", 5],
    "bounded": [2, "yes", None],
    "causal_axes": AXES,
    "centers": [(), "left", (None,), (float("inf"),), None],
    "data_format": ["last", 1, True],
    "dropout": RATES,
    "factors": [1.5, "a", (), (2, None)],
    "gate": ["silly", 5],
    "hidden_dim": SIZES,
    "initializer": INITIALIZERS,
    "jitter": [-0.1, float("nan"), "a", None, True],
    "kernel_constraint": ["Positive", 5],
    "kernel_initializer": INITIALIZERS,
    "kernel_regularizer": ["L3", 5],
    "kernel_size": [*SIZES, None],
    "key_dim": SIZES,
    "memory_dim": SIZES,
    "mimetic": [2, "yes", None],
    "num_heads": [*SIZES, None],
    "num_terms": [*SIZES, None],
    "output_shape": [0, -1, 1.5, "3", (), (3, 0)],
    "pool_size": [*SIZES, 2],
    "projected": SIZES,
    "rank": SIZES,
    "seed": ["a", -1, 1.5, True],
    "segments": SIZES,
    "synthesizer": ["desne", None, 3, keras.layers.Dense(3), {"class_name": "STT"}],
    "synthesizers": [None, "random", ["random"], ["random", "x"], 3],
    "use_bias": [2, "yes", None, 1.0],
    "value_dim": SIZES,
    "window": [*SIZES, None, 2],
    "widths": [(), "wide", (0,), (1, -1), (float("nan"),), None],
}
