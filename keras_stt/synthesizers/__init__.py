"""Synthesizers: where the attention logits of a mode come from."""

from keras_stt.synthesizers.dense import Dense
from keras_stt.synthesizers.dot_product import DotProduct
from keras_stt.synthesizers.factorized_dense import FactorizedDense
from keras_stt.synthesizers.factorized_random import FactorizedRandom
from keras_stt.synthesizers.mixture import Mixture
from keras_stt.synthesizers.random import Random
from keras_stt.synthesizers.registry import deserialize, get, serialize
from keras_stt.synthesizers.synthesizer import Synthesizer

__all__ = [
    "Dense",
    "DotProduct",
    "FactorizedDense",
    "FactorizedRandom",
    "Mixture",
    "Random",
    "Synthesizer",
    "deserialize",
    "get",
    "serialize",
]
