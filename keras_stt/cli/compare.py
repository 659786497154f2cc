"""The commands `keras-stt compare classify` and `keras-stt compare caption`."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_stt.cli.command import (
    BACKENDS,
    carried_out,
    check_installed,
    recorded,
    settings_of,
)
from keras_stt.cli.parser import Help, Parser, grid_shape
from keras_stt.experiments.compare.settings import (
    CaptionSettings,
    ClassifySettings,
    Settings,
)
from keras_stt.experiments.data.source import folder_of
from keras_stt.mixers import MIXERS

if TYPE_CHECKING:
    from keras_stt.experiments.compare.comparison import Comparison

#: What the command needs besides Keras.
COMPARE_PACKAGES = ("matplotlib", "PIL", "pycocoevalcap", "tqdm")

#: What it needs to read data sets that are not a folder.
DATASET_PACKAGES = ("importlib_resources", "tensorflow", "tensorflow_datasets")

_WRITTEN = (
    "a table, results.json, pictures and report.html. Stopped at any moment, the same "
    "command goes on."
)


def add_classify(tasks: Any) -> None:
    """Adds the task `classify` to those of `keras-stt compare`."""
    parser = tasks.add_parser(
        "classify",
        help="image classification",
        description="Trains one image classifier per token mixer, all else equal, and "
        f"writes {_WRITTEN}",
        formatter_class=Help,
    )
    parser.add_argument(
        "--dataset", help="TensorFlow Datasets name; 'scenes' needs no network"
    )
    parser.add_argument(
        "--mixers",
        nargs="+",
        metavar="MIXER",
        help=f"among {', '.join(MIXERS)}; by default those of STT, mha, axial-mha, "
        "depthwise-conv and none",
    )
    parser.add_argument("--depth", type=int, help="blocks")
    _add_shared(parser, "classify", ClassifySettings)


def add_caption(tasks: Any) -> None:
    """Adds the task `caption` to those of `keras-stt compare`."""
    parser = tasks.add_parser(
        "caption",
        help="image captioning",
        description="Trains one captioner per pair of encoder and decoder, all else "
        f"equal, and writes {_WRITTEN}",
        formatter_class=Help,
    )
    add = parser.add_argument
    add(
        "--dataset",
        help="folder with images/, captions.json and splits.json, or TensorFlow "
        "Datasets name; 'scenes' needs no network",
    )
    add(
        "--variants",
        nargs="+",
        metavar="ENCODER+DECODER",
        help="mixers of encoder and decoder, and with a second + the cross-attention, "
        f"mha or stt; mixers are {', '.join(MIXERS)}",
    )
    add("--encoder-depth", type=int, help="blocks of the encoder")
    add("--decoder-depth", type=int, help="blocks of the decoder")
    add("--dropout", type=float, help="dropout rate")
    add("--max-length", type=int, metavar="WORDS", help="the longest caption")
    add("--min-count", type=int, metavar="N", help="rarer words become unknown")
    add("--beam-size", type=int, metavar="N", help="beams of the search; 1 is greedy")
    _add_shared(parser, "caption", CaptionSettings)


def _add_shared(parser: Parser, task: str, settings: type[Settings]) -> None:
    """Adds the options that all comparisons have, and the defaults of all options."""
    add = parser.add_argument
    add(
        "--data-dir",
        metavar="DIR",
        help="existing folder for the data sets of TensorFlow Datasets, prepared there "
        "if they are not yet; by default its own, ~/tensorflow_datasets",
    )
    add("--seeds", nargs="+", type=int, metavar="SEED", help="seeds")
    add("--epochs", type=int, help="passes over the training images")
    add("--train-images", type=int, metavar="N", help="training images; all by default")
    add(
        "--validation-images",
        type=int,
        metavar="N",
        help="images to compare learning rates on: of a folder's split 'val', else "
        "held back from training",
    )
    add("--test-images", type=int, metavar="N", help="test images; all by default")
    add("--image-size", type=int, metavar="PIXELS", help="resize images to a square")
    add(
        "--grid",
        type=grid_shape,
        metavar="ROWSxCOLUMNS",
        help="grid that the blocks work on",
    )
    add("--width", type=int, help="channels")
    add("--heads", type=int, help="heads", dest="num_heads")
    add("--mlp-ratio", type=float, help="hidden size of the MLPs / width")
    add(
        "--stem",
        choices=("convolution", "patch"),
        help="from the image to the grid",
    )
    add("--batch-size", type=int, help="images per step")
    add(
        "--learning-rate",
        nargs="+",
        type=float,
        metavar="RATE",
        dest="learning_rates",
        help="of several, each variant gets the best on the validation images",
    )
    add("--search-epochs", type=int, metavar="N", help="epochs to compare rates by")
    add("--warmup", type=float, help="share of the steps")
    add("--weight-decay", type=float, help="decoupled weight decay")
    add(
        "--flip",
        action=argparse.BooleanOptionalAction,
        help="mirror half of the training images",
    )
    add("--shift", type=int, metavar="PIXELS", help="random translation")
    add(
        "--quarter-turns",
        action=argparse.BooleanOptionalAction,
        help="turn training images by random multiples of 90°, as aerial ones may be",
    )
    add("--output", type=Path, metavar="DIR", help=f"default: runs/{task}-DATASET")
    add("--backend", choices=BACKENDS, help="default: Keras's, by KERAS_BACKEND")
    add("--quiet", action="store_true", help="no progress")
    fields = dataclasses.fields(settings)
    defaults: dict[str, Any] = {field.name: field.default for field in fields}
    defaults["grid"] = "x".join(map(str, defaults["grid"]))
    parser.set_defaults(
        command=_compare, settings=settings, spelled=parser.spelled, **defaults
    )


def _compare(options: argparse.Namespace, arguments: list[str]) -> int:
    def run() -> str:
        _check_packages(options.dataset)
        settings = settings_of(options)
        # It takes models that are trained one after another for a mistake.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        name = settings.dataset_name.replace("/", "-")
        comparison = _comparison(settings.task)(
            settings,
            options.output or Path("runs") / f"{settings.task}-{name}",
            data_dir=options.data_dir,
            command=recorded(arguments),
            progress=not options.quiet,
        )
        results = comparison.run()
        from keras_stt.experiments.reports.table import terminal_table

        table = terminal_table(results)
        return f"{table}\n\nReport: {comparison.folder / 'report.html'}"

    return carried_out(run, options, arguments)


def _comparison(task: str) -> type[Comparison]:
    """The comparison of a task; it brings in what comparisons need besides Keras."""
    if task == "caption":
        from keras_stt.experiments.compare.caption import CaptionComparison

        return CaptionComparison
    from keras_stt.experiments.compare.classify import ClassifyComparison

    return ClassifyComparison


def _check_packages(dataset: str) -> None:
    if folder_of(dataset) is None:
        check_installed(COMPARE_PACKAGES + DATASET_PACKAGES, "compare,tensorflow")
    else:
        check_installed(COMPARE_PACKAGES, "compare")
