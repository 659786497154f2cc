"""The comparison of captioners: encoders and decoders with STT and with attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_stt.datasets import Scene, is_correct
from keras_stt.experiments.compare.comparison import Comparison
from keras_stt.experiments.compare.settings import captioner_parts
from keras_stt.experiments.compare.stem import load_stem
from keras_stt.experiments.data.captions import CaptionedImages, load_captions
from keras_stt.experiments.data.examples import (
    Examples,
    TokenizedImages,
    checksum,
)
from keras_stt.experiments.data.tfds_reader import EMBEDDED
from keras_stt.experiments.errors import UserError
from keras_stt.experiments.measures.caption_metrics import caption_metrics
from keras_stt.experiments.measures.predictions import batches, padded, unit
from keras_stt.experiments.measures.timing import Step
from keras_stt.experiments.reports.caption_figures import gallery, word_maps
from keras_stt.experiments.reports.plots import write_figure
from keras_stt.inspection import attention_maps
from keras_stt.models import ImageCaptioner, learn_vocabulary, tokenize_captions

#: Images whose captions are timed, in one batch.
TIMED_IMAGES = 32

#: Images of a gallery.
GALLERY_IMAGES = 12


class CaptionComparison(Comparison):
    """The comparison of captioners: `CaptionSettings` says of which, and how."""

    def load(self, data_dir: str | None) -> None:
        settings = self.settings
        self.data = load_captions(
            settings.dataset,
            data_dir,
            train_images=settings.train_images,
            validation_images=settings.validation_images,
            test_images=settings.test_images,
            image_size=settings.image_size,
            progress=self.progress,
        )
        texts = (text for texts in self.data.train.captions for text in texts)
        self.vocabulary = learn_vocabulary(texts, settings.min_count)
        if not self.vocabulary:
            raise UserError(
                "`min_count` must leave at least one word that occurs that often in "
                f"the training captions. Received: min_count={settings.min_count}"
            )
        self._train = self._tokenized(self.data.train)
        self._validation = self._tokenized(self.data.validation)

    def _tokenized(self, data: CaptionedImages) -> TokenizedImages:
        return tokenized(data, self.vocabulary, self.settings.max_length)

    def examples(self) -> tuple[Examples, Examples]:
        return self._train, self._validation

    def fingerprint(self) -> str:
        data = self.data
        parts = [self._train, self._validation]
        parts += map(self._tokenized, data.tests.values())
        return f"{data.name} {data.version}: {', '.join(map(checksum, parts))}"

    def dataset(self) -> dict[str, Any]:
        data = self.data
        return {
            "name": data.name,
            "version": data.version,
            "train_images": len(data.train),
            "validation_images": len(data.validation),
            "test_images": len(next(iter(data.tests.values()))),
            "words": len(self.vocabulary),
            "image_shape": data.train.images.shape[1:],
        }

    def build(self, variant: str) -> ImageCaptioner:
        settings = self.settings
        encoder, decoder, cross_attention = captioner_parts(variant)
        return ImageCaptioner(
            tuple(self.data.train.images.shape[1:]),
            self.vocabulary,
            max_length=settings.max_length,
            encoder_mixer=encoder,
            decoder_mixer=decoder,
            cross_attention=cross_attention,
            grid=settings.grid,
            width=settings.width,
            encoder_depth=settings.encoder_depth,
            decoder_depth=settings.decoder_depth,
            num_heads=settings.num_heads,
            mlp_ratio=settings.mlp_ratio,
            stem=load_stem(settings.stem, self.data.train.images.shape[1:]),
            dropout=settings.dropout,
        )

    def score(self, model: keras.Model, validation: Any, batch_size: int) -> float:
        return token_accuracy(model, validation, batch_size)

    def measure(self, model: keras.Model, label: str) -> dict[str, Any]:
        found: dict[str, Any] = {"captions": {}}
        for split, images in self.data.tests.items():
            written = model.generate(images.images, beam_size=self.settings.beam_size)
            metrics = caption_metrics(written, images.captions)
            if self.data.name == EMBEDDED:
                metrics["correct"] = correct_share(written, split)
            prefix = "" if split != "unseen" else "unseen_"
            found |= {f"{prefix}{name}": value for name, value in metrics.items()}
            found["captions"][split] = written
        return found

    def sizes(self, model: keras.Model, variant: str) -> dict[str, int]:
        return {"parameters": model.count_params()}

    def steps(
        self, model: keras.Model, batch: Examples, variant: str
    ) -> dict[str, Step]:
        # A trained model ends its captions: how long they are is part of the time.
        captioner, beam_size = (
            self.trained(variant, self.settings.seeds[0]),
            self.settings.beam_size,
        )
        return {
            **super().steps(model, batch, variant),
            "caption_ms": lambda: captioner.generate(
                self._timed_images(), beam_size=beam_size
            ),
        }

    def units_per_call(self, measure: str) -> int:
        return len(self._timed_images()) if measure == "caption_ms" else 1

    def _timed_images(self) -> npt.NDArray[np.uint8]:
        return next(iter(self.data.tests.values())).images[:TIMED_IMAGES]

    def draw(self, runs: dict[str, list[dict[str, Any]]]) -> None:
        for split, images in self.data.tests.items():
            written = {name: done[0]["captions"][split] for name, done in runs.items()}
            right = {
                name: [self._is_right(text, split, i) for i, text in enumerate(texts)]
                for name, texts in written.items()
            }
            shown = right_and_wrong(np.all(list(right.values()), axis=0))
            figure = gallery(
                images.images[shown],
                {name: [texts[i] for i in shown] for name, texts in written.items()},
                [images.captions[i] for i in shown],
                {name: [marks[i] for i in shown] for name, marks in right.items()},
            )
            name = "gallery_unseen" if split == "unseen" else "gallery"
            write_figure(figure, self.folder / f"{name}.png")
        self._draw_attention(runs)

    def _is_right(self, caption: str, split: str, index: int) -> bool:
        """Whether a caption is true of a scene, or one of the references."""
        if self.data.name == EMBEDDED:
            return is_correct(caption, _scene(split, index))
        return caption in self.data.tests[split].captions[index]

    def _draw_attention(self, runs: dict[str, list[dict[str, Any]]]) -> None:
        """Where the words of one image looked, with the models of the first seed."""
        split, images = next(iter(self.data.tests.items()))
        index = len(images) // 2
        image, written = images.images[index], {}
        for variant, done in runs.items():
            text = done[0]["captions"][split][index]
            if not text:
                continue
            model = self.trained(variant, self.settings.seeds[0])
            tokens = model.tokenize([text])[:, :-1]
            inputs = {"image": image[None] / np.float32(255), "tokens": tokens}
            maps = attention_maps(model, inputs)[-1]
            heats = [maps.heat_map(t)[0].mean(axis=0) for t in range(len(text.split()))]
            written[variant] = (text, np.stack(heats))
        if written:
            write_figure(word_maps(image, written), self.folder / "attention.png")


def right_and_wrong(right: npt.NDArray[np.bool_]) -> list[int]:
    """Images for a gallery: half of them wrong if there are so many, evenly spread.

    Args:
        right: Whether all captioners are right, for every image.
    """
    wrong, solved = np.flatnonzero(~right), np.flatnonzero(right)
    most = min(len(wrong), max(GALLERY_IMAGES // 2, GALLERY_IMAGES - len(solved)))
    chosen: list[int] = []
    for found, count in ((wrong, most), (solved, GALLERY_IMAGES - most)):
        places = np.linspace(0, len(found) - 1, min(count, len(found)))
        chosen += found[places.astype(int)].tolist()
    return sorted(chosen)


def tokenized(
    data: CaptionedImages, vocabulary: Sequence[str], max_length: int
) -> TokenizedImages:
    """The captions of images, as `ImageCaptioner.tokenize` has them."""
    counts = np.array([len(texts) for texts in data.captions], np.int32)
    tokens = np.zeros((len(data), counts.max(initial=1), max_length + 2), np.int32)
    for rows, texts in zip(tokens, data.captions, strict=True):
        rows[: len(texts)] = tokenize_captions(texts, vocabulary, max_length)
    return TokenizedImages(data.images, tokens, counts)


def token_accuracy(
    model: keras.Model, data: TokenizedImages, batch_size: int = 64
) -> float:
    """Share of the words and ends of captions that are predicted from those before.

    Args:
        model: A captioner.
        data: Images with their captions.
        batch_size: Captions per batch.

    Returns:
        The share of next tokens whose logit is the largest, in [0, 1].
    """
    image, caption = np.nonzero(np.arange(data.tokens.shape[1]) < data.counts[:, None])
    right = total = 0
    for chosen in batches(len(image), batch_size):
        tokens = data.tokens[image[chosen], caption[chosen]]
        # Every batch of one shape, so that nothing compiles twice.
        inputs = {
            "image": padded(unit(data.images[image[chosen]]), batch_size),
            "tokens": padded(tokens[:, :-1], batch_size),
        }
        predicted = np.argmax(model.predict_on_batch(inputs)[: len(tokens)], axis=-1)
        counted = tokens[:, 1:] != 0
        right += int(np.sum((predicted == tokens[:, 1:]) & counted))
        total += int(counted.sum())
    return right / total


def correct_share(captions: Sequence[str], split: str) -> float:
    """Share of the captions of the first scenes of a split that are true of them."""
    right = [is_correct(text, _scene(split, i)) for i, text in enumerate(captions)]
    return sum(right) / len(right)


def _scene(split: str, index: int) -> Scene:
    """An example of the data set `scenes`."""
    from keras_stt.datasets.scenes import drawn

    return drawn(f"caption_{split}", index)
