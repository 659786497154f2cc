"""The parser of the command line."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn


class Help(argparse.HelpFormatter):
    """Help that shows the defaults that there are, as they are typed."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.default
        hidden = (None, False, argparse.SUPPRESS)
        if shown in hidden or "default" in (action.help or ""):
            return action.help
        if isinstance(shown, tuple):
            shown = " ".join(map(str, shown))
        return f"{action.help} (default: {shown})"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and that knows how options are spelled."""

    def __init__(self, **arguments: Any) -> None:
        self.spelled: dict[str, str] = {}
        super().__init__(**arguments)

    def add_argument(self, *names: Any, **arguments: Any) -> argparse.Action:
        """Adds an option, and records how it is spelled."""
        action = super().add_argument(*names, **arguments)
        self.spelled[action.dest] = names[0]
        return action

    def error(self, message: str) -> NoReturn:
        """Ends the process with one line."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def grid_shape(text: str) -> tuple[int, int]:
    """The type of options like `32x32`."""
    try:
        rows, columns = (int(size) for size in text.lower().split("x"))
    except ValueError:
        rows = columns = 0
    if rows < 1 or columns < 1:
        raise argparse.ArgumentTypeError(f"expected ROWSxCOLUMNS, received {text!r}")
    return rows, columns
