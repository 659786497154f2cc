"""All layers that can be measured, by name."""

from __future__ import annotations

from keras_stt.models.mixers import MIXERS, Mixer
from keras_stt.peers import PEERS

#: The row of the matrix products that STT cannot do without.
FLOOR = "floor"

CONTENDERS: dict[str, Mixer] = {**MIXERS, **PEERS}
