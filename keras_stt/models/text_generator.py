"""Greedy and beam search for texts, compiled as a whole."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_stt.models.image_model import CheckedInputs
from keras_stt.typing import Tensor

_NEVER = -1e9
"""Log probability of what must not be chosen; finite, so that sums stay finite."""


class TextGenerator(CheckedInputs, keras.Model):
    """Searches the most probable texts for images, step by step in a compiled loop.

    All shapes are fixed: a text is `max_length + 1` tokens, the first its start. Each
    step runs the decoder on all of them and reads the logits after the last one; the
    decoder is causal, so what follows does not matter. The loop ends once all
    texts have ended. With `beam_size=1` this is greedy search.

    Args:
        captioner: Model with `image_encoder` and `text_decoder`.
        max_length: The longest text, in tokens.
        beam_size: Number of texts that are kept per image.
        start: Token of the start of a text.
        end: Token of its end.
        excluded: Tokens that no text may contain.

    Call arguments:
        images: Images as the captioner takes them, `(B, height, width, channels)`.

    Returns:
        int32 tokens, `(B, beam_size, max_length + 1)`: the start, the words, the end if
        the text has one, and 0 after it; and the log probabilities of the texts,
        float32, `(B, beam_size)`, the greatest first.
    """

    def __init__(
        self,
        captioner: keras.Model,
        max_length: int,
        beam_size: int,
        start: int,
        end: int,
        excluded: Sequence[int],
    ) -> None:
        super().__init__(name="text_generator")
        self.captioner = captioner
        self.steps = max_length
        self.beam_size = beam_size
        self.start = start
        self.end = end
        self.excluded = tuple(excluded)
        self.built = True

    def call(self, images: Tensor) -> tuple[Tensor, Tensor]:
        K, length = self.beam_size, self.captioner.text_decoder.inputs[1].shape[1]
        features = self.captioner.image_encoder(images, training=False)
        batch = ops.shape(features)[0]
        features = ops.repeat(features, K, axis=0)  # (B·K, …)
        positions = ops.arange(0, length, dtype="int32")
        tokens = ops.where(positions == 0, self.start, 0)
        tokens = ops.broadcast_to(ops.cast(tokens, "int32"), (batch, K, length))
        # All beams start with the same text: the first alone counts.
        scores = ops.where(ops.arange(0, K) == 0, 0.0, _NEVER)
        scores = ops.broadcast_to(ops.cast(scores, "float32"), (batch, K))
        ended = ops.zeros((batch, K), dtype="bool")

        def unfinished(step: Any, tokens: Any, scores: Any, ended: Any) -> Any:
            return ops.logical_not(ops.all(ended))

        def extend(step: Any, tokens: Any, scores: Any, ended: Any) -> Any:
            logits = self.captioner.text_decoder(
                [features, ops.reshape(tokens, (-1, length))], training=False
            )
            logits = ops.cast(ops.take(logits, step, axis=1), "float32")  # (B·K, V)
            V = logits.shape[-1]
            numbers = ops.arange(0, V, dtype="int32")
            for token in self.excluded:
                logits = ops.where(numbers == token, _NEVER, logits)
            gains = ops.reshape(ops.log_softmax(logits), (batch, K, V))
            # A text that has ended continues in one way, at no cost.
            stay = ops.cast(ops.where(numbers == 0, 0.0, _NEVER), "float32")
            gains = ops.where(ops.expand_dims(ended, -1), stay, gains)
            total = ops.reshape(ops.expand_dims(scores, -1) + gains, (batch, K * V))
            scores, chosen = _top_k(total, K)
            beam, token = chosen // V, chosen % V  # (B, K)
            tokens = ops.take_along_axis(tokens, ops.expand_dims(beam, -1), axis=1)
            ended = ops.take_along_axis(ended, beam, axis=1)
            here = positions == step + 1
            tokens = ops.where(here, ops.expand_dims(token, -1), tokens)
            ended = ops.logical_or(ended, token == self.end)
            return step + 1, ops.cast(tokens, "int32"), scores, ended

        _, tokens, scores, _ = ops.while_loop(
            unfinished,
            extend,
            (ops.zeros((), "int32"), tokens, scores, ended),
            maximum_iterations=self.steps,
        )
        return tokens[:, :, : self.steps + 1], scores

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Exports the whole search, like `keras.Model.export`.

        Without `input_signature`, it takes float images, in batches of any size.
        """
        if keras.backend.backend() == "torch":
            raise ValueError(
                "The search must be exported on TensorFlow or JAX: PyTorch cannot "
                "export a loop whose end depends on computed values. Save the "
                "captioner, and load it on one of them. Received: the backend torch"
            )
        if input_signature is None:
            input_signature = self.captioner.image_encoder.inputs
        if keras.backend.backend() == "jax" and format == "tf_saved_model":
            # JAX has no gradient of a loop whose end depends on what is computed.
            kwargs.setdefault("jax2tf_kwargs", {"with_gradient": False})
        return super().export(filepath, format, verbose, input_signature, **kwargs)


def _top_k(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The greatest of the last axis and their places, of equal ones the first.

    Of maxima and minima, which every format of export knows: not `ops.top_k`, which
    TensorFlow cannot read in a SavedModel that JAX made, nor `ops.argmax`, which LiteRT
    and OpenVINO cannot read from TensorFlow.
    """
    size, found = values.shape[-1], []
    places = ops.arange(0, size, dtype="int32")
    for _ in range(k):
        greatest = ops.max(values, axis=-1, keepdims=True)
        place = ops.where(values == greatest, places, size)
        # Nothing equals NaN: the last place then, which is one at least.
        place = ops.minimum(ops.min(place, axis=-1, keepdims=True), size - 1)
        found.append((greatest, place))
        values = ops.where(places == place, -math.inf, values)
    scores, chosen = zip(*found, strict=True)
    return ops.concatenate(scores, axis=-1), ops.concatenate(chosen, axis=-1)
