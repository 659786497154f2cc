"""The command line, `keras-stt`."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import logging
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import keras

from keras_stt import __version__
from keras_stt.experiments.settings import (
    CaptionSettings,
    ClassifySettings,
    Settings,
)
from keras_stt.models import MIXERS

if TYPE_CHECKING:
    from keras_stt.experiments.comparison import Comparison

BACKENDS = ("tensorflow", "jax", "torch")

#: What `keras-stt compare` needs besides Keras.
COMPARE_PACKAGES = ("matplotlib", "PIL", "pycocoevalcap", "tqdm")

#: What `keras-stt bench` needs besides Keras.
BENCH_PACKAGES = ("matplotlib", "PIL", "tqdm")

#: What a comparison needs to read data sets that are not a folder.
DATASET_PACKAGES = ("importlib_resources", "tensorflow", "tensorflow_datasets")


class _Help(argparse.HelpFormatter):
    """Help that shows the defaults that there are, as they are typed."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.default
        hidden = (None, False, argparse.SUPPRESS)
        if shown in hidden or "default" in (action.help or ""):
            return action.help
        if isinstance(shown, tuple):
            shown = " ".join(map(str, shown))
        return f"{action.help} (default: {shown})"


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and that knows how options are spelled."""

    def __init__(self, **arguments: Any) -> None:
        self.spelled: dict[str, str] = {}
        super().__init__(**arguments)

    def add_argument(self, *names: Any, **arguments: Any) -> argparse.Action:
        action = super().add_argument(*names, **arguments)
        self.spelled[action.dest] = names[0]
        return action

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: The arguments; those of the process by default.

    Returns:
        The exit status: 0, 2 for bad input, 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = _Parser(
        prog="keras-stt",
        description="Attention for image tensors without query-key dot products.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    compare = commands.add_parser("compare", help="compare token mixers")
    tasks = compare.add_subparsers(required=True, metavar="TASK")
    _add_classify(tasks)
    _add_caption(tasks)
    _add_bench(commands)
    options = parser.parse_args(arguments)
    try:
        return options.command(options, arguments)
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return 130


def _add_classify(tasks: Any) -> None:
    parser = tasks.add_parser(
        "classify",
        help="image classification",
        description="Trains one image classifier per token mixer, all else equal, and "
        f"writes {_WRITTEN}",
        formatter_class=_Help,
    )
    parser.add_argument(
        "--dataset", help="TensorFlow Datasets name; 'scenes' needs no network"
    )
    parser.add_argument(
        "--mixers",
        nargs="+",
        metavar="MIXER",
        help=f"among {', '.join(MIXERS)}; all by default",
    )
    parser.add_argument("--depth", type=int, help="blocks")
    _add_shared(parser, "classify", ClassifySettings)


def _add_caption(tasks: Any) -> None:
    parser = tasks.add_parser(
        "caption",
        help="image captioning",
        description="Trains one captioner per pair of encoder and decoder, all else "
        f"equal, and writes {_WRITTEN}",
        formatter_class=_Help,
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


def _add_bench(commands: Any) -> None:
    from keras_stt.benchmark.compiled import FORMS
    from keras_stt.benchmark.contenders import CONTENDERS
    from keras_stt.benchmark.settings import DTYPES, BenchSettings

    parser = commands.add_parser(
        "bench",
        help="time single layers",
        description="Times one layer of each kind, forward and in training, compiled, "
        "beside the bare matrix products of STT (the floor), and writes a table, "
        "results.json and pictures. Stopped at any moment, the same command goes on "
        "with the next grid.",
        formatter_class=_Help,
    )
    add = parser.add_argument
    add(
        "--grid",
        nargs="+",
        type=_grid,
        metavar="ROWSxCOLUMNS",
        dest="grids",
        help="one or several; of several, slopes are fitted (default: 32x32)",
    )
    add("--channels", type=int, help="channels")
    add("--heads", type=int, help="heads", dest="num_heads")
    add(
        "--batch",
        nargs="+",
        type=int,
        metavar="N",
        dest="batches",
        help="examples per step: for all grids, or for each",
    )
    add("--dtype", choices=DTYPES, help="what is computed in")
    add(
        "--mixers",
        nargs="+",
        metavar="MIXER",
        help=f"among {', '.join(CONTENDERS)}; all by default",
    )
    add(
        "--forms",
        nargs="+",
        metavar="FORM",
        choices=sorted({form for forms in FORMS.values() for form in forms}),
        help="how layers are compiled, of which the fastest counts: graph, xla "
        "(TensorFlow), xla (JAX), inductor, traced, eager (PyTorch); all but eager by "
        "default",
    )
    add("--seconds", type=float, help="time for each grid, forward and training")
    add("--output", type=Path, metavar="DIR", help="default: runs/bench-BACKEND")
    add("--backend", choices=BACKENDS, help="default: Keras's, by KERAS_BACKEND")
    add("--quiet", action="store_true", help="no progress")
    fields = dataclasses.fields(BenchSettings)
    defaults: dict[str, Any] = {field.name: field.default for field in fields}
    parser.set_defaults(
        command=_bench, settings=BenchSettings, spelled=parser.spelled, **defaults
    )


_WRITTEN = (
    "a table, results.json, pictures and report.html. Stopped at any moment, the same "
    "command goes on."
)


def _add_shared(parser: _Parser, task: str, settings: type[Settings]) -> None:
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
        type=_grid,
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


def _grid(text: str) -> tuple[int, int]:
    try:
        rows, columns = (int(size) for size in text.lower().split("x"))
    except ValueError:
        rows = columns = 0
    if rows < 1 or columns < 1:
        raise argparse.ArgumentTypeError(f"expected ROWSxCOLUMNS, received {text!r}")
    return rows, columns


def _compare(options: argparse.Namespace, arguments: list[str]) -> int:
    def run() -> str:
        _check_packages(options.dataset)
        settings = _settings(options)
        # It takes models that are trained one after another for a mistake.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        name = settings.dataset_name.replace("/", "-")
        comparison = _comparison(settings.task)(
            settings,
            options.output or Path("runs") / f"{settings.task}-{name}",
            data_dir=options.data_dir,
            command=_command(arguments),
            progress=not options.quiet,
        )
        results = comparison.run()
        from keras_stt.experiments.table import terminal_table

        table = terminal_table(results)
        return f"{table}\n\nReport: {comparison.folder / 'report.html'}"

    return _carried_out(run, options, arguments)


def _bench(options: argparse.Namespace, arguments: list[str]) -> int:
    def run() -> str:
        _check_installed(BENCH_PACKAGES, "compare")
        settings = _settings(options)
        _keep_memory(arguments)
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        from keras_stt.benchmark.bench import Bench
        from keras_stt.benchmark.table import terminal_table

        bench = Bench(
            settings,
            options.output or Path("runs") / f"bench-{keras.backend.backend()}",
            command=_command(arguments),
            progress=not options.quiet,
        )
        table = terminal_table(bench.run())
        return f"{table}\n\nFiles: {bench.folder}"

    return _carried_out(run, options, arguments)


def _carried_out(
    run: Callable[[], str], options: argparse.Namespace, arguments: list[str]
) -> int:
    """Runs a command and prints what it returns, or in one line what is wrong."""
    try:
        _check_backend(options.backend, arguments)
        print(run())
    except (ImportError, OSError, ValueError) as error:
        if isinstance(error, ValueError) and not _raised_here(error):
            raise
        # The package speaks of its arguments, the user of options.
        message = re.sub(
            r"`(\w+)`",
            lambda name: f"`{options.spelled.get(name[1], name[1])}`",
            " ".join(str(error).split()),
        )
        print(f"keras-stt: error: {message}", file=sys.stderr)
        return 2
    return 0


def _settings(options: argparse.Namespace) -> Any:
    """The settings that the options are."""
    names = [field.name for field in dataclasses.fields(options.settings)]
    chosen = {name: getattr(options, name) for name in names}
    return options.settings(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in chosen.items()
        }
    )


def _comparison(task: str) -> type[Comparison]:
    """The comparison of a task; it brings in what comparisons need besides Keras."""
    if task == "caption":
        from keras_stt.experiments.caption import CaptionComparison

        return CaptionComparison
    from keras_stt.experiments.classify import ClassifyComparison

    return ClassifyComparison


def _raised_here(error: Exception) -> bool:
    """Whether this package says what is wrong; any other error is a defect, and shows.

    Keras raises `ValueError` too.
    """
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return Path(frame.f_code.co_filename).is_relative_to(Path(__file__).parent)


def _check_backend(backend: str | None, arguments: list[str]) -> None:
    """Starts the command anew where another backend than the running one is wanted."""
    running = keras.backend.backend()
    if backend is None or backend == running:
        if running not in BACKENDS:
            raise ValueError(
                f"The backend must be one of {', '.join(BACKENDS)}. Received: {running}"
            )
        return
    if importlib.util.find_spec(backend) is None:
        raise ValueError(
            f"The backend must be installed: pip install 'keras-stt[{backend}]'. "
            f"Received: --backend {backend}"
        )
    # Keras chooses its backend when it is imported, which it is by now.
    os.environ["KERAS_BACKEND"] = backend
    _start_anew(arguments)


def _keep_memory(arguments: list[str]) -> None:
    """Starts the command anew with a C library that keeps the memory it has freed.

    Else glibc gives the larger tensors back to the kernel in every step, and the page
    faults that follow take longer than many a layer.
    """
    keep = {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "8000000000",
        "MALLOC_TRIM_THRESHOLD_": "16000000000",
    }
    missing = {name: keep[name] for name in keep if name not in os.environ}
    if missing and sys.platform.startswith("linux"):
        os.environ.update(missing)
        _start_anew(arguments)


def _start_anew(arguments: list[str]) -> None:
    os.execv(  # noqa: S606 - this very interpreter, with the arguments it got
        sys.executable, [sys.executable, "-m", "keras_stt", *arguments]
    )


def _check_packages(dataset: str) -> None:
    if Path(dataset).expanduser().is_dir():
        _check_installed(COMPARE_PACKAGES, "compare")
    else:
        _check_installed(COMPARE_PACKAGES + DATASET_PACKAGES, "compare,tensorflow")


def _check_installed(packages: tuple[str, ...], extras: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            "This command needs further packages: "
            f"pip install 'keras-stt[{extras}]'. "
            f"Missing: {', '.join(missing)}"
        )


def _command(arguments: list[str]) -> str:
    """The command line for the record, without folders of this machine."""
    shown = [re.sub(r"^(--[\w-]+=)?[/~].*", r"\1DIR", text) for text in arguments]
    return shlex.join(["keras-stt", *shown])
