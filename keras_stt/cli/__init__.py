"""The command line, `keras-stt`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: The arguments; those of the process by default.

    Returns:
        The exit status: 0, 2 for bad input, 130 when interrupted.
    """
    if importlib.util.find_spec("cyclopts") is None:
        print(
            "keras-stt: error: The command line needs further packages: "
            "pip install 'keras-stt[compare]'",
            file=sys.stderr,
        )
        return 2
    from keras_stt.cli.app import run

    return run(sys.argv[1:] if arguments is None else arguments)
