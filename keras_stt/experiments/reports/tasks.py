"""What a comparison measures, and how each number is shown."""

from dataclasses import dataclass
from typing import Any

MISSING = "–"

#: The corruptions of ImageNet-C, with its names.
CORRUPTIONS = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)

Summary = dict[str, Any]

#: Groups of what `--robustness full` adds, in the order in which it is reported.
ROBUSTNESS = (
    *("subset", "corruption", "pgd", "square", "universal"),
    *("shift", "occlusion", "resolution", "calibration"),
)
_QUALITIES = ("accuracy", "noise", "fgsm", "caption", "unseen", *ROBUSTNESS)
_SCALES = {"%": 100.0, "M": 1e-6, "MiB": 2.0**-20}


@dataclass(frozen=True)
class Measure:
    """One measured quantity: what it is called and how it is shown.

    Args:
        name: Key in a variant's entry.
        title: Name in prose, on axes and over a Markdown column.
        unit: Unit as shown; empty for a plain count.
        group: `"accuracy"`, `"noise"`, `"fgsm"`, `"caption"`, `"unseen"`, `"size"`,
            `"cost"`, `"training"`, `"layer"`, or one of `ROBUSTNESS`.
        heading: Short heading of a column, on one or two lines; by default the title,
            its last word on a second line.
        digits: Decimals shown.
        strength: Of the disturbance: σ of noise, ε of an attack in 255ths, largest
            shift in pixels, hidden share of an image, or factor of its size.
    """

    name: str
    title: str
    unit: str
    group: str
    heading: str = ""
    digits: int = 1
    strength: float = 0

    def __post_init__(self) -> None:
        if not self.heading:
            object.__setattr__(self, "heading", "\n".join(self.title.rsplit(" ", 1)))

    @property
    def is_quality(self) -> bool:
        """Whether higher is better, and the spread over the seeds is shown."""
        return self.group in _QUALITIES

    @property
    def scale(self) -> float:
        """Factor from the stored to the shown unit."""
        return _SCALES.get(self.unit, 1.0)

    @property
    def statistic(self) -> str:
        """The entry of the summary that is shown."""
        # One slow moment of the machine must not count: times are medians.
        return "median" if self.group in ("cost", "training") else "mean"

    @property
    def label(self) -> str:
        """Title with unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def value(self, summary: Summary | None) -> float | None:
        """The value in the shown unit; None where it is missing."""
        stored = summary.get(self.statistic) if summary else None
        return None if stored is None else stored * self.scale

    def number(self, value: float) -> str:
        """A number in the shown unit, as text without the unit."""
        # Small costs would be left with one significant digit.
        extra = int(self.digits == 1 and not self.is_quality and abs(value) < 1)
        return f"{value:,.{self.digits + extra}f}"

    def text(self, summary: Summary | None, separator: str = " ± ") -> str:
        """The value, with its spread where there is one; "–" where it is missing."""
        value = self.value(summary)
        if summary is None or value is None:
            return MISSING
        if not self.is_quality or len(summary["runs"]) < 2:
            return self.number(value)
        spread = self.number(summary["std"] * self.scale)
        return f"{self.number(value)}{separator}{spread}"


@dataclass(frozen=True)
class Task:
    """What a comparison is about.

    Args:
        variants_key: Key of the variants' entries, and of the setting that names them.
        noun: What a variant is called.
        quality: Name of the measure that variants are ranked by.
        baseline: The variant that the others are compared with.
        measures: All measures by their names. Tables, figures and reports are made
            from them.
    """

    variants_key: str
    noun: str
    quality: str
    baseline: str
    measures: dict[str, Measure]


# Name, title, unit, group and heading.
_PARAMETERS = Measure("parameters", "parameters", "", "size", "param-\neters", digits=0)
_COSTS = (
    Measure("training_step_ms", "training step", "ms", "cost", "step\nms"),
    Measure("inference_ms", "inference", "ms", "cost", "infer.\nms"),
    Measure("peak_step_bytes", "peak memory", "MiB", "cost", "peak\nMiB", digits=0),
)
_RUN = Measure("training_seconds", "training", "s", "training", "training\ns", digits=0)


def _disturbed(group: str, name: str, title: str, strengths: tuple[float, ...]) -> Any:
    """A measure for each strength of a disturbance."""
    return (
        Measure(
            name.format(strength),
            title.format(strength),
            "%",
            group,
            strength=strength,
        )
        for strength in strengths
    )


_ROBUSTNESS = (
    Measure("accuracy_subset", "the same images, undisturbed", "%", "subset"),
    Measure("accuracy_attacked_subset", "attacked images before", "%", "subset"),
    *(
        Measure(f"accuracy_{name}", name.replace("_", " "), "%", "corruption")
        for name in CORRUPTIONS
    ),
    *_disturbed("pgd", "accuracy_pgd_{:g}_255", "PGD {:g}/255", (0.5, 1, 2, 4)),
    *_disturbed("square", "accuracy_square_{:g}_255", "Square {:g}/255", (2,)),
    *_disturbed(
        "universal", "accuracy_universal_{:g}_255", "universal {:g}/255", (4, 8)
    ),
    *_disturbed("shift", "shift_consistency_{:g}", "shifts up to {:g}", (1, 2, 4)),
    *_disturbed(
        "occlusion", "accuracy_occlusion_{:g}", "{:.0%} hidden", (0.1, 0.25, 0.5)
    ),
    *_disturbed(
        "resolution",
        "accuracy_resolution_{:g}",
        "size ×{:g}",
        (0.75, 0.875, 1.25, 1.5),
    ),
    Measure("calibration_error", "calibration error", "%", "calibration"),
)
_CLASSIFY = (
    Measure("test_accuracy", "test accuracy", "%", "accuracy", "test\n%"),
    Measure("accuracy_noise_0.05", "noise 0.05", "%", "noise", strength=0.05),
    Measure("accuracy_noise_0.1", "noise 0.1", "%", "noise", strength=0.1),
    Measure("accuracy_noise_0.2", "noise 0.2", "%", "noise", strength=0.2),
    Measure("accuracy_fgsm_2_255", "FGSM 2/255", "%", "fgsm", strength=2),
    Measure("accuracy_fgsm_8_255", "FGSM 8/255", "%", "fgsm", strength=8),
    _PARAMETERS,
    Measure("multiply_adds", "multiply-adds per image", "M", "size", "MACs\nM"),
    *_COSTS,
    _RUN,
    *_ROBUSTNESS,
    Measure("mixer_parameters", "one layer: parameters", "", "layer", digits=0),
    Measure(
        "mixer_multiply_adds", "MACs of a layer", "M", "layer", "one layer:\nMACs M", 2
    ),
)
_CAPTION = (
    Measure("cider", "CIDEr", "", "caption", "test\nCIDEr", digits=2),
    Measure("bleu_1", "BLEU-1", "", "caption", "test\nBLEU-1", digits=3),
    Measure("bleu_2", "BLEU-2", "", "caption", "test\nBLEU-2", digits=3),
    Measure("bleu_3", "BLEU-3", "", "caption", "test\nBLEU-3", digits=3),
    Measure("bleu_4", "BLEU-4", "", "caption", "test\nBLEU-4", digits=3),
    Measure("rouge_l", "ROUGE-L", "", "caption", "test\nROUGE-L", digits=3),
    Measure("exact_match", "exact matches", "%", "caption", "exact\n%"),
    Measure("correct", "correct captions", "%", "caption", "correct\n%"),
    Measure("unseen_cider", "unseen CIDEr", "", "unseen", digits=2),
    Measure("unseen_bleu_1", "unseen BLEU-1", "", "unseen", digits=3),
    Measure("unseen_bleu_2", "unseen BLEU-2", "", "unseen", digits=3),
    Measure("unseen_bleu_3", "unseen BLEU-3", "", "unseen", digits=3),
    Measure("unseen_bleu_4", "unseen BLEU-4", "", "unseen", digits=3),
    Measure("unseen_rouge_l", "unseen ROUGE-L", "", "unseen", digits=3),
    Measure("unseen_exact_match", "unseen exact", "%", "unseen", "unseen\nexact %"),
    Measure("unseen_correct", "unseen correct", "%", "unseen", "unseen\ncorrect %"),
    _PARAMETERS,
    *_COSTS,
    Measure("caption_ms", "writing a caption", "ms", "cost", "caption\nms"),
    _RUN,
)

TASKS: dict[str, Task] = {
    "classify": Task(
        variants_key="mixers",
        noun="mixer",
        quality="test_accuracy",
        baseline="mha",
        measures={measure.name: measure for measure in _CLASSIFY},
    ),
    "caption": Task(
        variants_key="variants",
        noun="captioner",
        quality="cider",
        baseline="mha+mha",
        measures={measure.name: measure for measure in _CAPTION},
    ),
}
