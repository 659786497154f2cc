"""The commands of `keras-stt`, and what becomes of their errors."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from keras_stt import __version__
from keras_stt.cli.bench import bench
from keras_stt.cli.compare import caption, classify
from keras_stt.experiments.errors import UserError


def as_typed(default: Any) -> Any:
    """A default value as the user would type it."""
    return " ".join(map(str, default)) if isinstance(default, tuple) else default


app = App(
    name="keras-stt",
    help="Attention for image tensors without query-key dot products.",
    version=__version__,
    default_parameter=Parameter(
        # `--seeds 0 1 2`, and no `--empty-seeds`.
        consume_multiple=(1, None),
        negative_iterable=(),
        show_default=as_typed,
    ),
    exit_on_error=False,
    print_error=False,
)
compare = App(name="compare", help="Compare token mixers in image models.")
compare.command(classify)
compare.command(caption)
app.command(compare)
app.command(bench)


def run(arguments: Sequence[str]) -> int:
    """Runs a command; errors that the user can put right are one line.

    Args:
        arguments: The arguments of `keras-stt`.

    Returns:
        The exit status.
    """
    arguments = list(arguments)
    try:
        command, bound, unparsed = app.parse_args(arguments)
        if "arguments" in unparsed:
            bound.arguments["arguments"] = arguments
        command(*bound.args, **bound.kwargs)
    except CycloptsError as error:
        return _fail(str(error))
    # Any other ValueError is a defect and shows its traceback.
    except (UserError, ImportError, OSError) as error:
        return _fail(_with_options(str(error), arguments))
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command to resume.", file=sys.stderr)
        return 130
    return 0


def _fail(message: str) -> int:
    print("keras-stt: error:", *message.split(), file=sys.stderr)
    return 2


def _with_options(message: str, arguments: list[str]) -> str:
    """A message that names options where it named the fields of settings."""
    _, commands, _ = app.parse_commands(arguments)
    options = {
        option.field_info.name: option.name
        for option in commands[-1].assemble_argument_collection()
    }
    # `name`, and name=value.
    return re.sub(
        r"(?<=`)\w+(?=`)|\b\w+(?==)",
        lambda name: options.get(name[0], name[0]),
        message,
    )
