"""The image captioner of the comparisons."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from operator import is_
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from keras_stt import arguments
from keras_stt.composite import dtype_config, part_from, sublayer_policy, uncompiled
from keras_stt.export import export
from keras_stt.models.caption_text import (
    END,
    PADDING,
    SPECIAL_TOKENS,
    START,
    UNKNOWN,
    check_tokens,
    check_vocabulary,
    detokenize_caption,
    tokenize_captions,
)
from keras_stt.models.image_encoder import (
    MixerChoice,
    StemChoice,
    check_grid,
    check_image_shape,
    encode,
    mixer_factory,
)
from keras_stt.models.image_model import CheckedInputs, ImageModel, check_units
from keras_stt.models.text_decoder import CROSS_ATTENTIONS, text_decoder
from keras_stt.models.text_generator import TextGenerator
from keras_stt.typing import Tensor
from keras_stt.untracked import Untracked

#: Arguments that may be layers.
_PARTS = ("encoder_mixer", "decoder_mixer", "stem")


@export
class ImageCaptioner(CheckedInputs, keras.Model):
    """Writes captions for images: an encoder on a grid, a causal decoder over text.

    The encoder is that of `image_classifier`: stem, position embedding, blocks on the
    grid. The decoder embeds the tokens so far; each of its blocks mixes them causally
    (STT with one mode, or MultiHeadAttention), reads the grid by cross-attention, and
    ends in an MLP. Between blocks, the grid stays a grid.

    Tokens are numbers: 0 is padding, 1 an unknown word, 2 the start of a text, 3 its
    end, and from 4 on the words of the vocabulary, which is saved with the model.

    Args:
        image_shape: Shape of an image, `(height, width, channels)`.
        vocabulary: The words, distinct.
        max_length: The longest caption, in words. Defaults to 24.
        encoder_mixer: A name in `keras_stt.mixers.MIXERS`, or a layer as a template.
            Defaults to `"stt-dense"`.
        decoder_mixer: As `encoder_mixer`, but it must have a causal form: an STT or
            `"mha"`. Defaults to `"stt-dense"`.
        cross_attention: `"mha"`: MultiHeadAttention to all positions of the grid;
            `"stt"`: `STTCrossAttention`. Defaults to `"mha"`.
        grid: Grid `(rows, columns)` of the encoder. Defaults to `(8, 8)`, or to that of
            the stem's feature map.
        width: Number of channels. Defaults to 64.
        encoder_depth: Number of blocks of the encoder. Defaults to 4.
        decoder_depth: Number of blocks of the decoder. Defaults to 2.
        num_heads: Number of heads. Defaults to 4.
        mlp_ratio: Hidden size of the MLPs, as a multiple of `width`. Defaults to 2.
        stem: As in `image_classifier`, for example a pretrained backbone. Defaults to
            `"convolution"`.
        dropout: Dropout rate in the blocks and of the embedded tokens. Defaults to 0.1.
        **kwargs: `name` and `dtype` of `keras.Model`. The logits are float32.

    Call arguments:
        inputs: `{"image": …, "tokens": …}`: images, `(B, height, width, channels)`,
            floats in [0, 1] or integers in 0 … 255, and the tokens so far, int32,
            `(B, max_length + 1)`, that begin with `START`.
        training: Whether dropout is active.

    Returns:
        Logits of the next token at each position, float32,
        `(B, max_length + 1, len(vocabulary) + 4)`.

    Raises:
        ValueError: If a mixer or the cross-attention is unknown, or the grid does not
            fit.

    Example:

    >>> images, texts = np.random.rand(2, 32, 32, 3), ["A cat.", "Two dogs."]
    >>> words = keras_stt.models.learn_vocabulary(texts)
    >>> captioner = keras_stt.models.ImageCaptioner(
    ...     (32, 32, 3), words, max_length=5, encoder_depth=1, decoder_depth=1
    ... )
    >>> tokens = captioner.tokenize(texts)
    >>> Loss = keras.losses.SparseCategoricalCrossentropy
    >>> captioner.compile("adam", Loss(from_logits=True, ignore_class=0))
    >>> inputs = {"image": images, "tokens": tokens[:, :-1]}
    >>> history = captioner.fit(inputs, tokens[:, 1:], verbose=0)
    >>> len(captioner.generate(images))
    2
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        vocabulary: Sequence[str],
        max_length: int = 24,
        encoder_mixer: MixerChoice = "stt-dense",
        decoder_mixer: MixerChoice = "stt-dense",
        cross_attention: str = "mha",
        grid: tuple[int, int] | None = None,
        width: int = 64,
        encoder_depth: int = 4,
        decoder_depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 2,
        stem: StemChoice = "convolution",
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        image_shape = check_image_shape("image_shape", image_shape)
        grid = None if grid is None else check_grid(grid)
        max_length = arguments.positive_integer("max_length", max_length)
        width = arguments.positive_integer("width", width)
        num_heads = arguments.positive_integer("num_heads", num_heads)
        for name, depth in (
            ("encoder_depth", encoder_depth),
            ("decoder_depth", decoder_depth),
        ):
            arguments.positive_integer(name, depth)
        check_vocabulary(vocabulary)
        vocabulary = list(vocabulary)
        if cross_attention not in CROSS_ATTENTIONS:
            raise ValueError(
                f"`cross_attention` must be one of {', '.join(CROSS_ATTENTIONS)}. "
                f"Received: cross_attention={cross_attention!r}"
            )
        for name, mixer in (
            ("encoder_mixer", encoder_mixer),
            ("decoder_mixer", decoder_mixer),
        ):
            if not isinstance(mixer, (str, keras.layers.Layer)):
                raise ValueError(
                    f"`{name}` must be a name or a layer, so that it can be saved. "
                    f"Received: {name}={mixer!r}"
                )
            mixer_factory(mixer, width, num_heads, name)
        make_mixer = mixer_factory(decoder_mixer, width, num_heads, "decoder_mixer")
        if "use_causal_mask" not in getattr(make_mixer(), "call_options", ()):
            raise ValueError(
                "`decoder_mixer` must have a causal form, as STT and 'mha' have. "
                f"Received: decoder_mixer={decoder_mixer!r}"
            )
        self._config = {
            "image_shape": tuple(image_shape),
            "vocabulary": vocabulary,
            "max_length": max_length,
            "encoder_mixer": Untracked(encoder_mixer),
            "decoder_mixer": Untracked(decoder_mixer),
            "cross_attention": cross_attention,
            "grid": grid,
            "width": width,
            "encoder_depth": encoder_depth,
            "decoder_depth": decoder_depth,
            "num_heads": num_heads,
            "mlp_ratio": mlp_ratio,
            "stem": Untracked(stem),
            "dropout": dropout,
        }
        self.vocabulary = vocabulary
        self.max_length = max_length
        image = keras.Input(image_shape, name="image")
        features = encode(
            image,
            mixer=encoder_mixer,
            grid=grid,
            width=width,
            depth=encoder_depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            stem=stem,
            dropout=dropout,
            dtype=sublayer_policy(self.dtype_policy, "image_encoder"),
        )
        self.image_encoder = ImageModel(image, features, name="image_encoder")
        self.text_decoder = text_decoder(
            features.shape[1:],
            max_length + 1,
            len(SPECIAL_TOKENS) + len(vocabulary),
            make_mixer=make_mixer,
            make_cross_attention=lambda: CROSS_ATTENTIONS[cross_attention](num_heads),
            depth=decoder_depth,
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            policy=sublayer_policy(self.dtype_policy, "text_decoder"),
        )
        # All variables are there; Keras would have it wait for a first call.
        self.built = True
        # Not a sublayer: it has this model as its own.
        self._generators = Untracked[dict[Any, Any]]({})

    def check_inputs(self, name: str, inputs: Any) -> None:
        """Raises a `ValueError` for images and tokens in another form than a dict.

        Data sets and generators are left to Keras.

        Args:
            name: Name of the argument that holds them.
            inputs: The inputs.
        """
        tensor = isinstance(inputs, np.ndarray) or ops.is_tensor(inputs)
        if tensor or isinstance(inputs, (tuple, list)):
            received = type(inputs).__name__
        elif isinstance(inputs, dict) and not {"image", "tokens"} <= set(inputs):
            received = f"a dict with {sorted(inputs)}"
        else:
            if isinstance(inputs, dict):
                check_units(f"{name}['image']", inputs["image"])
                check_tokens(f"{name}['tokens']", inputs["tokens"], self.max_length + 1)
            return
        raise ValueError(
            f'`{name}` must be a dict {{"image": images, "tokens": tokens}}. '
            f"Received: {received}"
        )

    def call(self, inputs: dict[str, Tensor], training: bool | None = None) -> Tensor:
        features = self.image_encoder(inputs["image"], training=training)
        # JAX refuses arrays of NumPy beside its own.
        tokens = ops.convert_to_tensor(inputs["tokens"])
        return self.text_decoder([features, tokens], training=training)

    def generate(
        self,
        images: npt.ArrayLike,
        max_length: int | None = None,
        beam_size: int = 1,
        length_penalty: float = 1.0,
        batch_size: int = 32,
    ) -> list[str]:
        """Writes a caption for each image.

        The whole search runs in one compiled function per `max_length`, `beam_size`
        and size of a batch. Ties go to the token, or the beam, with the lower number.

        Args:
            images: Images, `(B, height, width, channels)`: floats in [0, 1], or
                integers in 0 … 255.
            max_length: The longest caption, in words. Defaults to that of the model,
                which it may not exceed.
            beam_size: Number of texts that are kept in each step; 1 is greedy.
            length_penalty: Of all texts at the end, the one with the greatest
                `log probability / length^length_penalty` is returned, where the length
                includes the end token. Has no effect with `beam_size=1`.
            batch_size: Largest number of images per step.

        Returns:
            One text per image, words with spaces between them.

        Raises:
            ValueError: For arguments out of range, or images of another shape.
        """
        generator = self.text_generator(max_length, beam_size)
        arguments.positive_integer("batch_size", batch_size)
        images = np.asarray(images)
        if images.shape[1:] != self._config["image_shape"]:
            raise ValueError(
                f"`images` must have shape (B, *{self._config['image_shape']}). "
                f"Received: shape {images.shape}"
            )
        check_units("images", images, count=None)
        if images.dtype.kind == "f":
            images = images.astype(np.float32, copy=False)
        # A power of two at most: few sizes are compiled, whatever the number of images.
        size = min(batch_size, 2 ** math.ceil(math.log2(max(1, len(images)))))
        captions = []
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            missing = size - len(batch)
            # The search ends with the longest text: the last image adds none.
            padded = np.pad(batch, [(0, missing), (0, 0), (0, 0), (0, 0)], mode="edge")
            tokens, scores = generator.predict_on_batch(padded)
            # What follows the start, the end included.
            lengths = (tokens != PADDING).sum(axis=-1) - 1
            best = np.argmax(scores / lengths ** float(length_penalty), axis=1)
            rows = tokens[np.arange(len(batch)), best[: len(batch)]]
            captions += [self.detokenize(row) for row in rows]
        return captions

    def text_generator(
        self, max_length: int | None = None, beam_size: int = 1
    ) -> TextGenerator:
        """Returns the search of `generate` as a separate model, from images to tokens.

        It shares all weights with this model; to save it, save this model. It exports
        to SavedModel, ONNX, LiteRT and OpenVINO on TensorFlow, and to SavedModel and
        ONNX on JAX. PyTorch cannot export a loop whose end depends on computed values.
        Call this again after `quantize` or `enable_lora`, which replace variables.

        Args:
            max_length: As in `generate`.
            beam_size: As in `generate`.

        Returns:
            A model that takes images, and returns tokens, int32, `(B, beam_size,
            max_length + 1)`, which `detokenize` reads row by row, and the log
            probabilities of the texts, float32, `(B, beam_size)`, the greatest first.

        Raises:
            ValueError: For arguments out of range.
        """
        max_length = self.max_length if max_length is None else max_length
        arguments.positive_integer("max_length", max_length)
        arguments.positive_integer("beam_size", beam_size)
        if max_length > self.max_length:
            raise ValueError(
                f"`max_length` must be at most {self.max_length}, that of the model. "
                f"Received: max_length={max_length}"
            )
        key = (max_length, beam_size)
        generator, variables = self._generators.content.get(key, (None, []))
        current = self.variables
        # TensorFlow would go on with the function it has traced for other variables.
        same = len(variables) == len(current) and all(map(is_, variables, current))
        if generator is None or not same:
            generator = TextGenerator(
                self,
                max_length,
                beam_size,
                start=START,
                end=END,
                excluded=(PADDING, UNKNOWN, START),
            )
            self._generators.content[key] = generator, current
        return generator

    def tokenize(self, captions: Sequence[str]) -> npt.NDArray[np.int32]:
        """Converts captions to tokens for training.

        `tokens[:, :-1]` are the inputs, `tokens[:, 1:]` the targets.

        Args:
            captions: Captions; `keras_stt.models.normalize_caption` is applied to them.

        Returns:
            int32, `(N, max_length + 2)`: start, words, end, padding. Captions with more
            than `max_length` words are cut off.
        """
        return tokenize_captions(captions, self.vocabulary, self.max_length)

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The words of a row of tokens, up to its end."""
        return detokenize_caption(tokens, self.vocabulary)

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Exports what a call computes, like `keras.Model.export`.

        To export what `generate` computes, export the model from `text_generator`.
        Without `input_signature`, the exported model takes the inputs of this model.
        """
        if input_signature is None:
            # Keras takes the shapes that a first call has built a model for, which
            # this one doesn't have, and all as float32.
            (image,), (_, tokens) = self.image_encoder.inputs, self.text_decoder.inputs
            input_signature = [{"image": image, "tokens": tokens}]
        return super().export(filepath, format, verbose, input_signature, **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = {"name": self.name, "dtype": dtype_config(self), **self._config}
        for name in _PARTS:
            part = config[name].content
            if isinstance(part, keras.Model):
                with uncompiled(part):
                    part = keras.saving.serialize_keras_object(part)
            elif isinstance(part, keras.layers.Layer):
                part = keras.saving.serialize_keras_object(part)
            config[name] = part
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ImageCaptioner:
        parts = {name: part_from(config[name]) for name in _PARTS}
        dtype = keras.saving.deserialize_keras_object(config.get("dtype"))
        return cls(**{**config, **parts, "dtype": dtype})
