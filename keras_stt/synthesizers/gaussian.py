"""The Gaussian synthesizer: every head looks at one distance, with a width."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_stt import arguments
from keras_stt.export import export
from keras_stt.synthesizers.synthesizer import Synthesizer
from keras_stt.typing import Shape, Tensor

# Added to the width, since logits would be infinite at 0. Any narrower, a Gaussian on a
# grid is one position.
_NARROWEST = 1e-3


@export
class Gaussian(Synthesizer):
    """Logits that fall off with the squared distance from a learned offset.

    `L[i, j] = -(j - i - μ)² / (2σ²)`: two weights per head, the center `μ` and the
    width `σ` (the softplus of a weight, plus 0.001), both in positions of the mode. No
    weight is tied to the size of the mode: a layer with this synthesizer accepts inputs
    of unknown size and, once trained, runs at any resolution.

    Over several modes, the Kronecker product of the weights equals the softmax, over
    all positions, of quadratic logits in several dimensions, borders included.
    Cordonnier et al. show that such logits can express a convolution; here they cost
    only mode products.

    Initialisation matters most. By default, the centers of successive heads run through
    all offsets of a 3×3×… neighbourhood, and one head in four starts so wide that, on a
    small grid, it averages over all positions.

    Weights fall off fast: about 13 widths from the center, they are below the smallest
    float32. If a mask hides all positions closer than that, a position attends to
    nothing.

    Args:
        centers: Initial centers, in positions. The heads take these offsets in turn, in
            all combinations over the modes. Defaults to `(-1, 0, 1)`.
        widths: Initial widths `σ`, in positions, above 0.001. The heads take these in
            turn. If the numbers of centers and widths have a common factor, some
            combinations do not occur. Defaults to `(0.5, 0.5, 0.5, 8.0)`.
        jitter: Standard deviation of the normal noise that is added to the centers, in
            positions. Defaults to 0.1.
        seed: Seed of that noise; each mode draws its own.
        **kwargs: As in `Synthesizer`; `trainable=False` freezes centers and widths
            permanently, even if the model is made trainable again.

    Example:

    >>> layer = keras_stt.layers.STT(num_heads=4, synthesizer="gaussian")
    >>> small, large = np.random.rand(1, 8, 8, 16), np.random.rand(1, 12, 20, 16)
    >>> [tuple(layer(images).shape) for images in (small, large)]
    [(1, 8, 8, 16), (1, 12, 20, 16)]

    Reference:
        - Cordonnier et al., On the relationship between self-attention and
          convolutional layers, [arXiv 1911.03584](https://arxiv.org/abs/1911.03584),
          section 3: the quadratic encoding, which can express any convolution.
        - d'Ascoli et al., ConViT,
          [arXiv 2103.10697](https://arxiv.org/abs/2103.10697): a convolution as the
          start.
    """

    input_dependent = False

    def __init__(
        self,
        centers: Sequence[float] = (-1.0, 0.0, 1.0),
        widths: Sequence[float] = (0.5, 0.5, 0.5, 8.0),
        jitter: float = 0.1,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.centers = arguments.numbers("centers", centers)
        self.widths = arguments.numbers("widths", widths, above=_NARROWEST)
        self.jitter = arguments.non_negative_number("jitter", jitter)
        self.seed = arguments.optional_seed("seed", seed)

    def build(self, input_shape: Shape) -> None:
        self.check_axis(input_shape)
        # Mode 1 changes the center with every head, mode 2 with every third, and so on.
        turns = len(self.centers) ** (self.axis - 1)
        cycle = [c for center in self.centers for c in [center] * turns]
        seed = None if self.seed is None else self.seed + self.axis
        noise = keras.initializers.RandomNormal(stddev=self.jitter, seed=seed)
        self.center = self._weight(
            "center",
            lambda shape, dtype=None: (
                noise(shape, dtype) + ops.cast(_first(cycle, self.num_heads), dtype)
            ),
        )
        # The inverse of the softplus, in a form that does not overflow.
        widths = _first(self.widths, self.num_heads) - _NARROWEST
        widths = widths + np.log(-np.expm1(-widths))
        self.width = self._weight(
            "width", lambda shape, dtype=None: ops.cast(widths, dtype)
        )

    def _weight(self, name: str, initializer: Any) -> Any:
        """A number per head.

        In float32 at least, whatever the dtype policy: half precision counts the
        positions of a long mode wrong.
        """
        return self.add_weight(
            shape=(self.num_heads,),
            initializer=initializer,
            dtype=keras.backend.result_type(self.variable_dtype, "float32"),
            autocast=False,
            # Frozen for good: a model that thaws must not train it.
            trainable=self.trainable,
            name=name,
        )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        center = ops.convert_to_tensor(self.center)
        width = ops.softplus(self.width) + _NARROWEST
        positions = ops.arange(0, ops.shape(inputs)[self.axis])
        positions = ops.cast(positions, center.dtype)
        distance = positions - ops.expand_dims(positions, axis=1)  # j - i
        away = distance - ops.reshape(center, (-1, 1, 1))
        logits = -0.5 * ops.square(away / ops.reshape(width, (-1, 1, 1)))
        return ops.expand_dims(logits, axis=0)  # (1, h, n, n)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "centers": self.centers,
            "widths": self.widths,
            "jitter": self.jitter,
            "seed": self.seed,
        }


def _first(cycle: Sequence[float], count: int) -> np.ndarray:
    """The first numbers of an endless cycle."""
    return np.array([*itertools.islice(itertools.cycle(cycle), count)], "float64")
