"""The command line, `keras-stt`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from keras_stt import __version__
from keras_stt.cli.bench import add_bench
from keras_stt.cli.compare import add_caption, add_classify
from keras_stt.cli.parser import Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: The arguments; those of the process by default.

    Returns:
        The exit status: 0, 2 for bad input, 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = Parser(
        prog="keras-stt",
        description="Attention for image tensors without query-key dot products.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    compare = commands.add_parser("compare", help="compare token mixers")
    tasks = compare.add_subparsers(required=True, metavar="TASK")
    add_classify(tasks)
    add_caption(tasks)
    add_bench(commands)
    options = parser.parse_args(arguments)
    try:
        return options.command(options, arguments)
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return 130
