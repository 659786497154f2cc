"""The commands `keras-stt compare classify` and `keras-stt compare caption`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import keras
from cyclopts import Parameter

from keras_stt.cli.command import (
    Arguments,
    RunOptions,
    check_backend,
    check_installed,
    recorded,
)
from keras_stt.experiments.compare.settings import (
    CaptionSettings,
    ClassifySettings,
    Settings,
)
from keras_stt.experiments.data.source import path_of
from keras_stt.experiments.errors import UserError
from keras_stt.experiments.files import claimed
from keras_stt.experiments.measures.predictions import BATCH_SIZE

if TYPE_CHECKING:
    from keras_stt.experiments.compare.comparison import Comparison

#: What the commands need in addition to Keras.
COMPARE_PACKAGES = (
    *("filelock", "jinja2", "matplotlib", "PIL", "pycocoevalcap", "tabulate", "tqdm"),
)

#: What `--robustness full` needs.
ROBUSTNESS_PACKAGES = ("art", "imagecorruptions")

#: What they need to read data sets that are not a folder.
DATASET_PACKAGES = ("importlib_resources", "tensorflow_datasets")


@dataclass(frozen=True, kw_only=True)
class CompareOptions(RunOptions):
    """How a comparison runs.

    Attributes:
        output: Folder of the results; runs/TASK-DATASET by default.
        data_dir: Existing folder where TensorFlow Datasets keeps its data sets; by
            default its own, ~/tensorflow_datasets.
        distribute: With data, every batch is split over all devices (JAX only).
    """

    data_dir: Annotated[str | None, Parameter(metavar="DIR")] = None
    distribute: Literal["data"] | None = None


def classify(
    *,
    settings: ClassifySettings = ClassifySettings(),
    options: CompareOptions = CompareOptions(),
    arguments: Arguments,
) -> None:
    """Compare token mixers in image classification.

    Trains one classifier per mixer, all else equal, and writes a table, results.json,
    pictures and report.html. If it is stopped, run the same command to resume it.
    """
    if settings.robustness == "full":
        check_installed(robustness=ROBUSTNESS_PACKAGES)
    _compare(settings, options, arguments)


def caption(
    *,
    settings: CaptionSettings = CaptionSettings(),
    options: CompareOptions = CompareOptions(),
    arguments: Arguments,
) -> None:
    """Compare encoders and decoders in image captioning.

    Trains one captioner per variant, all else equal, and writes a table, results.json,
    pictures and report.html. If it is stopped, run the same command to resume it.
    """
    _compare(settings, options, arguments)


def _compare(settings: Settings, options: CompareOptions, arguments: list[str]) -> None:
    check_backend(options.backend, arguments)
    if path_of(settings.dataset) is None:
        packages = COMPARE_PACKAGES + DATASET_PACKAGES
        check_installed(compare=packages, tensorflow=("tensorflow",))
    else:
        check_installed(compare=COMPARE_PACKAGES)
    if options.distribute:
        _distribute(settings.batch_size)
    # TensorFlow warns that models trained one after another retrace functions.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    name = f"{settings.task}-{settings.dataset_name.replace('/', '-')}"
    comparison = _comparison(settings.task)(
        settings,
        options.output or Path("runs") / name,
        data_dir=options.data_dir,
        command=recorded(arguments),
        progress=not options.quiet,
    )
    with claimed(comparison.folder):
        results = comparison.run()
    from keras_stt.experiments.reports.table import terminal_table

    print(terminal_table(results))
    print(f"\nReport: {comparison.folder / 'report.html'}")


def _distribute(batch_size: int) -> None:
    """Splits every batch over all devices."""
    if keras.backend.backend() != "jax":
        raise UserError(
            "`--distribute data` needs Keras's distribution, which is on JAX only. "
            f"Received: --distribute data on {keras.backend.backend()}"
        )
    devices = len(keras.distribution.list_devices())
    if batch_size % devices or BATCH_SIZE % devices:
        raise UserError(
            f"The number of devices must divide `--batch-size` and {BATCH_SIZE}, the "
            "largest batch when measuring. "
            f"Received: {devices} devices, batch_size={batch_size}"
        )
    keras.distribution.set_distribution(keras.distribution.DataParallel())


def _comparison(task: str) -> type[Comparison]:
    """The comparison of a task; it imports what only comparisons need."""
    if task == "caption":
        from keras_stt.experiments.compare.caption import CaptionComparison

        return CaptionComparison
    from keras_stt.experiments.compare.classify import ClassifyComparison

    return ClassifyComparison
