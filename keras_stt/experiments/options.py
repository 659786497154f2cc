"""Options that several commands share: types, and checks of values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from cyclopts import Parameter

from keras_stt.arguments import hint
from keras_stt.experiments.errors import UserError
from keras_stt.mixers import MIXERS


def grid_text(grid: tuple[int, int]) -> str:
    """A grid as it is typed: `8x8`."""
    return "x".join(map(str, grid))


def _grid(text: str) -> tuple[int, int]:
    try:
        rows, columns = map(int, text.lower().split("x"))
    except ValueError:
        raise ValueError(f"expected ROWSxCOLUMNS. Received: {text}") from None
    return rows, columns


Grid = Annotated[
    tuple[int, int],
    Parameter(
        metavar="ROWSxCOLUMNS",
        n_tokens=1,
        converter=lambda _, tokens: _grid(tokens[0].value),
        show_default=lambda grid: grid_text(grid or (8, 8)),
    ),
]
Grids = Annotated[
    tuple[tuple[int, int], ...],
    Parameter(
        name="--grid",
        metavar="ROWSxCOLUMNS...",
        n_tokens=1,
        converter=lambda _, tokens: tuple(_grid(token.value) for token in tokens),
        show_default=lambda grids: " ".join(map(grid_text, grids)),
    ),
]
Heads = Annotated[int, Parameter(name="--heads")]
Mixers = Annotated[tuple[str, ...], Parameter(metavar="MIXER...", choices=(*MIXERS,))]


def check_distinct(settings: Any, *names: str) -> None:
    """Raises a `UserError` unless the settings of these names hold distinct values."""
    for name in names:
        values = getattr(settings, name)
        if not values or len(set(values)) != len(values):
            raise UserError(
                f"`{name}` must hold at least one value, and no value twice. "
                f"Received: {' '.join(map(str, values)) or 'none'}"
            )


def check_known(what: str, value: str, known: Collection[str]) -> None:
    """Raises a `UserError` that names the known values unless this is one of them."""
    if value not in known:
        raise UserError(
            f"{what} must be among {', '.join(known)}. "
            f"Received: {value}{hint(value, known)}"
        )
