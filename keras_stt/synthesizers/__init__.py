"""Synthesizers: where the attention logits of a mode come from."""

from keras_stt.export import exported
from keras_stt.synthesizers.dense import Dense as Dense
from keras_stt.synthesizers.dot_product import DotProduct as DotProduct
from keras_stt.synthesizers.factorized_dense import FactorizedDense as FactorizedDense
from keras_stt.synthesizers.factorized_random import (
    FactorizedRandom as FactorizedRandom,
)
from keras_stt.synthesizers.gaussian import Gaussian as Gaussian
from keras_stt.synthesizers.mixture import Mixture as Mixture
from keras_stt.synthesizers.random import Random as Random
from keras_stt.synthesizers.registry import deserialize as deserialize
from keras_stt.synthesizers.registry import get as get
from keras_stt.synthesizers.registry import serialize as serialize
from keras_stt.synthesizers.synthesizer import Synthesizer as Synthesizer

__all__ = exported(__name__)
