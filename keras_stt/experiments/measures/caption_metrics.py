"""Metrics of captions, by the reference code of the field (`pycocoevalcap`)."""

from __future__ import annotations

from collections.abc import Sequence

from keras_stt.models import normalize_caption

BLEU_ORDERS = (1, 2, 3, 4)


def caption_metrics(
    captions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """BLEU-1 to BLEU-4, ROUGE-L, CIDEr and exact matches of captions.

    All are of the whole corpus, against all references of each image: BLEU adds up the
    counts of all images and takes the reference closest in length, ROUGE-L and CIDEr
    are means over the images, and CIDEr weighs n-grams by how few images of this
    corpus have them in their references. Texts are compared as
    `keras_stt.models.normalize_caption` leaves them; the tokenisation of COCO, by Java
    code, differs from it where signs stand between letters or digits. CIDEr of a single
    image is 0: what all images have in common weighs nothing.

    Args:
        captions: One caption per image.
        references: One reference or more per image.

    Returns:
        `"bleu_1"` to `"bleu_4"` and `"rouge_l"` in [0, 1], `"cider"` in [0, 10],
        `"exact_match"`, the share of captions that equal one of their references.

    Raises:
        ValueError: If there is no caption, an image without reference, or not as many
            captions as images.

    Reference:
        - Papineni et al., BLEU, ACL 2002; Lin, ROUGE, 2004; Vedantam et al., CIDEr,
          [arXiv 1411.5726](https://arxiv.org/abs/1411.5726) (the CIDEr-D of the code).
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    if isinstance(captions, str) or any(isinstance(each, str) for each in references):
        raise ValueError(
            "`captions` must be a sequence of texts, and `references` one of sequences "
            "of texts. Received: a text in the place of a sequence"
        )
    if not captions or len(captions) != len(references) or not all(references):
        raise ValueError(
            "Every image must have a caption and one reference at least. Received: "
            f"{len(captions)} captions, {len(references)} images, "
            f"{sum(not each for each in references)} of them without a reference"
        )
    written = {i: [normalize_caption(text)] for i, text in enumerate(captions)}
    expected = {i: [*map(normalize_caption, each)] for i, each in enumerate(references)}
    if not all(all(texts) for texts in expected.values()):
        raise ValueError(
            "Every reference must have a word. Received: an empty reference"
        )
    bleu, _ = Bleu(len(BLEU_ORDERS)).compute_score(expected, written, verbose=0)
    rouge, _ = Rouge().compute_score(expected, written)
    cider, _ = Cider().compute_score(expected, written)
    exact = sum(written[i][0] in expected[i] for i in written)
    return {
        **{f"bleu_{n}": float(bleu[n - 1]) for n in BLEU_ORDERS},
        "rouge_l": float(rouge),
        "cider": float(cider),
        "exact_match": exact / len(written),
    }
