"""Errors that the user can fix: bad input, as opposed to defects."""

from __future__ import annotations

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
