"""The results of a comparison: their schema, measures and statistics.

`results.json` (schema 1) is one object::

    schema       1
    task         "classify" or "caption"
    finished     true once every variant has every seed and every measure
    command      the command line that made it
    backend      "tensorflow", "jax" or "torch"
    versions     {package: version}, "python" among them
    device       {"kind": "cpu" | "gpu", "name", "count", "system"}
    dataset      {"name", "version", "train_images", "validation_images",
                  "test_images", "image_shape"}, and of images with labels
                  "class_names", of captions "words"
    settings     every option, as in `keras_stt.experiments.compare.settings`:
                 "mixers" or "variants", "seeds", "epochs", "grid", "width", ...
    search       null, or {variant: {"runs": [{"learning_rate",
                 "validation_accuracy"}, ...], "best": learning rate}}
    mixers       in classification {mixer: entry}, in the order of settings.mixers
    variants     in captioning {"<encoder>+<decoder>": entry}, in the order of
                 settings.variants

and the entry of a mixer or another variant has

    learning_rate   the rate it was trained with
    history         one object per seed, each with one number per epoch under
                    "loss" and "accuracy" on the training images; null where one
                    was not finite
    <measure>       for every measure of the task in `TASKS`:
                    {"mean", "std", "median", "runs"} as `summary` makes it, or
                    null where the platform cannot tell

Units as stored: accuracies are shares in [0, 1], with one run per seed; noise has
its standard deviation in units of the [0, 1] pixel range; FGSM steps are in 255ths
of it; `training_seconds` is the wall time of a whole run; multiply-adds are per
image, forward; `*_ms` are milliseconds per batch, whose runs are interleaved
repeats (the median counts); `peak_step_bytes` is in bytes. `mixer_parameters` and
`mixer_multiply_adds` are those of one mixer layer alone. BLEU, ROUGE-L and the shares
of exact and correct captions are in [0, 1], CIDEr in [0, 10]; `caption_ms` is per
caption. What begins with `unseen_` was measured on the split of unseen combinations.

Files of an unfinished comparison have the same form: mixers or measures may be
missing, and `runs` may be shorter than `settings.seeds`.
"""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SCHEMA = 1
NOISE_STRENGTHS = (0.05, 0.1, 0.2)
FGSM_STRENGTHS = (2, 8)
MISSING = "–"

Results = dict[str, Any]
Summary = dict[str, Any]


@dataclass(frozen=True)
class Measure:
    """One measured quantity: what it is called and how it is shown.

    Args:
        name: Key in a variant's entry.
        title: Name in prose and on axes.
        unit: Unit as shown, after `scale`; empty for a plain count.
        higher_is_better: Which end of the scale is the good one.
        group: `"accuracy"`, `"noise"`, `"fgsm"`, `"caption"`, `"unseen"`, `"size"`,
            `"cost"`, `"training"` or `"layer"`.
        heading: Two short lines over a column.
        scale: Factor from the stored to the shown unit.
        digits: Decimals shown.
        strength: Of the disturbance: σ of the noise, or ε of FGSM in 255ths.
        statistic: The entry of the summary that counts.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    group: str
    heading: tuple[str, str]
    scale: float = 1.0
    digits: int = 1
    strength: float = 0.0
    statistic: str = "mean"

    @property
    def has_spread(self) -> bool:
        """Whether the spread over the runs is shown: for qualities it is."""
        return self.higher_is_better

    @property
    def label(self) -> str:
        """Title with unit, for an axis."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def value(self, found: Summary | None) -> float | None:
        """The value that counts, in the shown unit; None where it is missing."""
        stored = found.get(self.statistic) if found else None
        return None if stored is None else stored * self.scale

    def number(self, value: float) -> str:
        """A number in the shown unit, as text without the unit."""
        # Small costs would be left with one significant digit.
        extra = int(self.digits == 1 and not self.has_spread and abs(value) < 1)
        return f"{value:,.{self.digits + extra}f}"

    def text(self, found: Summary | None, between: str = " ± ") -> str:
        """The value, with its spread where there is one; "–" where it is missing."""
        value = self.value(found)
        if found is None or value is None:
            return MISSING
        if not self.has_spread or len(found["runs"]) < 2:
            return self.number(value)
        return self.number(value) + between + self.number(found["std"] * self.scale)


def _accuracy(
    name: str, title: str, group: str, over: str, under: str, strength: float = 0.0
) -> Measure:
    return Measure(name, title, "%", True, group, (over, under), 100.0, 1, strength)


def _cost(
    name: str,
    title: str,
    unit: str,
    group: str,
    over: str,
    under: str,
    scale: float = 1.0,
    digits: int = 1,
) -> Measure:
    # A slow moment of the machine must not count: times are medians.
    statistic = "median" if group in ("cost", "training") else "mean"
    return Measure(
        name, title, unit, False, group, (over, under), scale, digits, 0.0, statistic
    )


_SIZES = (_cost("parameters", "parameters", "", "size", "param-", "eters", digits=0),)
_COSTS = (
    _cost("training_step_ms", "training step", "ms", "cost", "step", "ms"),
    _cost("inference_ms", "inference", "ms", "cost", "infer.", "ms"),
    _cost("peak_step_bytes", "peak memory", "MiB", "cost", "peak", "MiB", 2.0**-20, 0),
)
_RUN = _cost(
    "training_seconds", "training run", "s", "training", "training", "s", digits=0
)
_CLASSIFY = (
    _accuracy("test_accuracy", "test accuracy", "accuracy", "test", "%"),
    *(
        _accuracy(
            f"accuracy_noise_{sigma:g}",
            f"accuracy under noise of σ = {sigma:g}",
            *("noise", "noise", f"{sigma:g}"),
            strength=sigma,
        )
        for sigma in NOISE_STRENGTHS
    ),
    *(
        _accuracy(
            f"accuracy_fgsm_{step}_255",
            f"accuracy under FGSM of ε = {step}/255",
            *("fgsm", "FGSM", f"{step}/255"),
            strength=step,
        )
        for step in FGSM_STRENGTHS
    ),
    *_SIZES,
    _cost("multiply_adds", "multiply-adds per image", "M", "size", "MACs", "M", 1e-6),
    *_COSTS,
    _RUN,
    _cost(
        "mixer_parameters",
        "parameters of one mixer layer",
        *("", "layer", "one layer:", "parameters"),
        digits=0,
    ),
    _cost(
        "mixer_multiply_adds",
        "multiply-adds of one mixer layer",
        *("M", "layer", "one layer:", "MACs M"),
        scale=1e-6,
        digits=2,
    ),
)


def _caption_measures(prefix: str, group: str, on: str) -> tuple[Measure, ...]:
    """The qualities of captions on one split."""
    over = "unseen" if prefix else "test"

    def quality(
        name: str, title: str, under: str, scale: float = 1.0, digits: int = 3
    ) -> Measure:
        unit = "%" if scale == 100 else ""
        heading = (over, under)
        return Measure(
            prefix + name, title + on, unit, True, group, heading, scale, digits
        )

    return (
        quality("cider", "CIDEr", "CIDEr", digits=2),
        *(quality(f"bleu_{n}", f"BLEU-{n}", f"BLEU-{n}") for n in (1, 2, 3, 4)),
        quality("rouge_l", "ROUGE-L", "ROUGE-L"),
        quality("exact_match", "exact matches", "exact %", 100.0, 1),
        quality("correct", "correct captions", "correct %", 100.0, 1),
    )


_CAPTION = (
    *_caption_measures("", "caption", ""),
    *_caption_measures("unseen_", "unseen", " on unseen combinations"),
    *_SIZES,
    *_COSTS,
    _cost("caption_ms", "writing a caption", "ms", "cost", "caption", "ms"),
    _RUN,
)


@dataclass(frozen=True)
class Task:
    """What a comparison is about.

    Args:
        choices: Key of the variants' entries, and of the setting that names them.
        noun: What a variant is called.
        quality: Name of the measure that variants are ranked by.
        baseline: The variant that the others are held against.
        measures: All measures by their names. Tables, figures and reports are made
            from them.
    """

    choices: str
    noun: str
    quality: str
    baseline: str
    measures: dict[str, Measure]


TASKS: dict[str, Task] = {
    "classify": Task(
        *("mixers", "mixer", "test_accuracy", "mha"),
        {measure.name: measure for measure in _CLASSIFY},
    ),
    "caption": Task(
        *("variants", "captioner", "cider", "mha+mha"),
        {measure.name: measure for measure in _CAPTION},
    ),
}


def task_of(results: Results) -> Task:
    """The task of a comparison."""
    return TASKS[results.get("task", "classify")]


def measures(results: Results, *groups: str) -> list[Measure]:
    """The measures of the given groups in a task, in their order."""
    every = task_of(results).measures.values()
    return [measure for measure in every if measure.group in groups]


def quality_of(results: Results) -> Measure:
    """The measure by which the variants are ranked."""
    task = task_of(results)
    return task.measures[task.quality]


def summary(values: Iterable[float]) -> Summary:
    """Mean, sample standard deviation (ddof=1), median and the runs themselves.

    Args:
        values: One number per run, at least one, all finite.

    Returns:
        `{"mean", "std", "median", "runs"}`; the deviation of a single run is 0.0.

    Raises:
        ValueError: If there is no value, or one is not finite.
    """
    runs = [float(value) for value in values]
    if not runs or not all(math.isfinite(run) for run in runs):
        raise ValueError(
            f"summary expects at least one value, all finite. Received: {runs}"
        )
    return {
        "mean": statistics.fmean(runs),
        "std": statistics.stdev(runs) if len(runs) > 1 else 0.0,
        "median": statistics.median(runs),
        "runs": runs,
    }


def check(results: Results) -> Results:
    """Return the results if they are of a schema that this version can read.

    Raises:
        ValueError: If `results` is not an object of schema 1.
    """
    if not isinstance(results, dict) or results.get("schema") != SCHEMA:
        found = results.get("schema") if isinstance(results, dict) else results
        raise ValueError(f"Expected results of schema {SCHEMA}. Received: {found!r}")
    return results


def variants(results: Results) -> list[str]:
    """Names of all variants, finished or not, in the order of the settings."""
    choices = task_of(results).choices
    named = results.get("settings", {}).get(choices, [])
    return list(dict.fromkeys([*named, *results.get(choices, {})]))


def entry(results: Results, variant: str) -> dict[str, Any]:
    """The entry of a variant, empty where there is none yet."""
    return results.get(task_of(results).choices, {}).get(variant, {})


def found(results: Results, variant: str, measure: Measure) -> Summary | None:
    """Summary of a measure of a variant; None where it is missing."""
    return entry(results, variant).get(measure.name)


def seeds_done(results: Results, variant: str) -> int:
    """Number of seeds whose quality is known."""
    quality = found(results, variant, quality_of(results))
    return len(quality["runs"]) if quality else 0


def values(results: Results, measure: Measure) -> dict[str, float]:
    """The value of a measure, in the shown unit, for the variants that have it."""
    return {
        variant: value
        for variant in variants(results)
        if (value := measure.value(found(results, variant, measure))) is not None
    }


def ranked(results: Results) -> list[str]:
    """The variants whose quality is known, the best first."""
    means = values(results, quality_of(results))
    return sorted(means, key=lambda variant: -means[variant])
