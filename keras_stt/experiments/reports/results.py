"""The results of a comparison: their schema, measures and statistics.

`results.json` (schema 1) is one object::

    schema       1
    task         "classify" or "caption"
    finished     true once every variant has every seed and every measure
    command      the command line that made it
    backend      "tensorflow", "jax" or "torch"
    versions     {package: version}, "python" among them
    device       {"kind": "cpu" | "gpu" | "tpu", "name", "count", "system"}
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
    <measure>       for every measure of the task in `TASKS` (`reports/tasks.py`):
                    {"mean", "std", "median", "runs"} as `summary` makes it, or
                    null where the platform cannot measure it

Units as stored: accuracies are shares in [0, 1], with one run per seed; noise has
its standard deviation in units of the [0, 1] pixel range; FGSM steps are in 255ths
of it; what `--robustness full` adds (groups `ROBUSTNESS` of `reports/tasks.py`) are
shares in [0, 1]; `training_seconds` is the wall time of a whole run; multiply-adds are
per image, forward; `*_ms` are milliseconds per batch, whose runs are interleaved
repeats (the median is shown); `peak_step_bytes` is in bytes. `mixer_parameters` and
`mixer_multiply_adds` are those of one mixer layer alone. BLEU, ROUGE-L and the shares
of exact and correct captions are in [0, 1], CIDEr in [0, 10]; `caption_ms` is per
caption. What begins with `unseen_` was measured on the split of unseen combinations.

Files of an unfinished comparison have the same form: mixers or measures may be
missing, and `runs` may be shorter than `settings.seeds`.
"""

import math
import statistics
from collections.abc import Iterable
from typing import Any

from keras_stt.experiments.reports.tasks import TASKS, Measure, Summary, Task

SCHEMA = 1

Results = dict[str, Any]


def task_of(results: Results) -> Task:
    """The task of a comparison.

    Raises:
        ValueError: For a task that this version does not know.
    """
    task = results.get("task", "classify")
    if task not in TASKS:
        raise ValueError(
            f"`task` must be one of {', '.join(TASKS)}. Received: task={task!r}"
        )
    return TASKS[task]


def measures(results: Results, *groups: str) -> list[Measure]:
    """The measures of the given groups in a task, in their order."""
    known = task_of(results).measures.values()
    return [measure for measure in known if measure.group in groups]


#: σ of the noise, and ε of FGSM in 255ths, under which classifiers are tested.
NOISE_STRENGTHS = tuple(measure.strength for measure in measures({}, "noise"))
FGSM_STRENGTHS = tuple(measure.strength for measure in measures({}, "fgsm"))


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


def plural(count: int, noun: str) -> str:
    """A number of things, in words: "1 seed", "2 seeds"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def check(results: Results) -> Results:
    """Return the results if they are of a schema that this version can read.

    Raises:
        ValueError: If `results` is not an object of schema 1.
    """
    if not isinstance(results, dict) or results.get("schema") != SCHEMA:
        received = results.get("schema") if isinstance(results, dict) else results
        raise ValueError(f"Expected results of schema {SCHEMA}. Received: {received!r}")
    return results


def variants(results: Results) -> list[str]:
    """Names of all variants, finished or not, in the order of the settings."""
    key = task_of(results).variants_key
    named = results.get("settings", {}).get(key, [])
    return list(dict.fromkeys([*named, *results.get(key, {})]))


def entry(results: Results, variant: str) -> dict[str, Any]:
    """The entry of a variant, empty where there is none yet."""
    return results.get(task_of(results).variants_key, {}).get(variant, {})


def summary_of(results: Results, variant: str, measure: Measure) -> Summary | None:
    """Summary of a measure of a variant; None where it is missing."""
    return entry(results, variant).get(measure.name)


def seeds_done(results: Results, variant: str) -> int:
    """Number of seeds whose quality is known."""
    quality = summary_of(results, variant, quality_of(results))
    return len(quality["runs"]) if quality else 0


def values(results: Results, measure: Measure) -> dict[str, float]:
    """The value of a measure, in the shown unit, for the variants that have it."""
    return {
        variant: value
        for variant in variants(results)
        if (value := measure.value(summary_of(results, variant, measure))) is not None
    }


def ranked(results: Results) -> list[str]:
    """The variants whose quality is known, the best first."""
    means = values(results, quality_of(results))
    return sorted(means, key=lambda variant: -means[variant])


def difference(results: Results, variant: str, other: str) -> float:
    """The first variant's mean quality less the other's, in the shown unit.

    Every text that quotes a difference rounds this one: means that were rounded
    before can be 0.1 further apart.
    """
    quality = quality_of(results)
    means = [entry(results, name)[quality.name]["mean"] for name in (variant, other)]
    return quality.scale * (means[0] - means[1])
