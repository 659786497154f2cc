"""Errors that the user can fix: bad input, as opposed to defects."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Bad input: an option, a folder, a file or a data set that does not fit."""


@contextmanager
def user_errors() -> Iterator[None]:
    """Makes every `ValueError` inside a `UserError`.

    For the places where options become settings and models: there, what Keras or the
    library refuses is what the user asked for. Anywhere else it is a defect.
    """
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        raise UserError(str(error)) from error


def first_line(error: Exception) -> str:
    """What an error says first, without the user's folder."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].replace(os.path.expanduser("~"), "~")[:300]
