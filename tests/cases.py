"""Every synthesizer beside its oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import oracle

from keras_stt.synthesizers import (
    Dense,
    FactorizedDense,
    FactorizedRandom,
    Gaussian,
    Mixture,
    Random,
)


class Case(NamedTuple):
    """A synthesizer, as a user gives it, and its logits in float64."""

    make: Callable[[], Any]
    logits: oracle.Logits
    input_dependent: bool


SYNTHESIZERS: dict[str, Case] = {
    "dense": Case(lambda: "dense", oracle.dense(), True),
    "dense_tanh": Case(lambda: Dense(6, "tanh"), oracle.dense(np.tanh), True),
    "random": Case(lambda: "random", oracle.random, False),
    "random_frozen": Case(lambda: Random(trainable=False), oracle.random, False),
    "factorized_dense": Case(lambda: "factorized_dense", oracle.factorized_dense, True),
    "factorized_random": Case(
        lambda: FactorizedRandom(rank=3), oracle.factorized_random, False
    ),
    "gaussian": Case(lambda: Gaussian(jitter=0.3), oracle.gaussian, False),
    "dot_product": Case(lambda: "dot_product", oracle.dot_product, True),
    "mixture": Case(
        lambda: Mixture(["random", "dense"]),
        oracle.mixture(oracle.random, oracle.dense()),
        True,
    ),
    "mixture_random": Case(
        lambda: Mixture([Random(), "factorized_random", Random(trainable=False)]),
        oracle.mixture(oracle.random, oracle.factorized_random, oracle.random),
        False,
    ),
    "mixture_nested": Case(
        lambda: Mixture([Mixture(["random", "dot_product"]), FactorizedDense()]),
        oracle.mixture(
            oracle.mixture(oracle.random, oracle.dot_product), oracle.factorized_dense
        ),
        True,
    ),
}
KINDS = [
    "dense",
    "random",
    "factorized_dense",
    "factorized_random",
    "gaussian",
    "dot_product",
    "mixture_nested",
]
"""One of each kind, where the variants would tell no more."""

FREE = [name for name, case in SYNTHESIZERS.items() if not case.input_dependent]
"""The synthesizers whose logits do not depend on the input."""
