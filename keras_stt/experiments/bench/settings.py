"""What a benchmark is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_stt.arguments import check_positive
from keras_stt.experiments.errors import UserError
from keras_stt.mixers import MIXERS

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """Which layers are measured, on what.

    Attributes:
        grids: Rows and columns; one round of measurements for each.
        channels: Number of channels.
        num_heads: Number of heads.
        batches: Examples per step: one number for all grids, or one for each.
        dtype: What is computed in; weights are float32 throughout.
        mixers: Names in `keras_stt.mixers.MIXERS`.
        forms: Names in `FORMS` of `compiled.py`, from which each contender gets the
            fastest; `None` for all but `"eager"`.
        seconds: Time spent on timing the forward steps of a grid, and again on the
            training steps. Every contender is timed at least three times.
    """

    grids: tuple[tuple[int, int], ...] = ((32, 32),)
    channels: int = 64
    num_heads: int = 4
    batches: tuple[int, ...] = (8,)
    dtype: str = "float32"
    mixers: tuple[str, ...] = tuple(MIXERS)
    forms: tuple[str, ...] | None = None
    seconds: float = 20.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.mixers if name not in MIXERS]
        if unknown or not self.mixers:
            raise UserError(
                f"`mixers` must be among {', '.join(MIXERS)}. "
                f"Received: {', '.join(unknown) or 'none'}"
            )
        for name in ("channels", "num_heads"):
            check_positive(name, getattr(self, name))
        if self.channels % self.num_heads:
            raise UserError(
                "`channels` must be a multiple of `num_heads`. Received: "
                f"channels={self.channels}, num_heads={self.num_heads}"
            )
        if not self.grids or len(set(self.grids)) != len(self.grids):
            raise UserError(
                f"`grids` must be distinct, one at least. Received: {self.grids}"
            )
        for batch in self.batches:
            check_positive("batches", batch)
        if len(self.batches) not in (1, len(self.grids)):
            raise UserError(
                "`batches` must be one number, or one for each of the "
                f"{len(self.grids)} grids. Received: {self.batches}"
            )
        if self.dtype not in DTYPES:
            raise UserError(
                f"`dtype` must be one of {', '.join(DTYPES)}. Received: {self.dtype}"
            )
        if not self.seconds > 0 or math.isinf(self.seconds):
            raise UserError(
                f"`seconds` must be positive. Received: seconds={self.seconds}"
            )

    @property
    def rounds(self) -> list[tuple[tuple[int, int], int]]:
        """Every grid with its batch."""
        batches = self.batches * (len(self.grids) if len(self.batches) == 1 else 1)
        return list(zip(self.grids, batches, strict=True))
