"""What a benchmark is."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from cyclopts import Parameter

from keras_stt.arguments import positive_integer, positive_number
from keras_stt.experiments.bench.compiled import FORMS
from keras_stt.experiments.bench.layers import CONTENDERS
from keras_stt.experiments.errors import UserError, user_errors
from keras_stt.experiments.options import (
    Grids,
    Heads,
    check_distinct,
    check_known,
    grid_text,
)
from keras_stt.mixers import MIXERS

Dtype = Literal["float32", "bfloat16", "float16"]

_FORM_NAMES = tuple(dict.fromkeys(form for forms in FORMS.values() for form in forms))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """Which layers are measured, on what. The command line's help comes from here.

    Attributes:
        grids: Rows and columns of the grid. With several grids, slopes are fitted.
        channels: Number of channels.
        num_heads: Number of heads.
        batches: Examples per step: one number for all grids, or one for each grid.
        dtype: Dtype of the computation. Weights are always float32.
        memory: GiB that a training step may take, by estimate. A layer that needs more
            gets a smaller batch, and is left out if a single example needs more.
        limits: Also measure a large matrix product and a large copy, and compare each
            layer with the least time that these rates allow.
        profile: Record the largest items of a training step of this mixer, on the
            second grid if there are several (JAX and PyTorch).
        mixers: Layers to measure; all by default.
        forms: How to compile a layer; of several forms, the fastest counts. TensorFlow
            has graph and xla, JAX has xla, PyTorch has inductor, traced and eager. By
            default all but eager.
        seconds: Time to spend on the forward steps of each grid, and again on the
            training steps. Every layer is timed at least three times.
    """

    grids: Grids = ((32, 32),)
    channels: int = 64
    num_heads: Heads = 4
    batches: Annotated[tuple[int, ...], Parameter(name="--batch")] = (8,)
    dtype: Dtype = "float32"
    memory: float | None = None
    limits: bool = False
    profile: Annotated[
        str | None, Parameter(metavar="MIXER", choices=(*CONTENDERS,))
    ] = None
    mixers: Annotated[
        tuple[str, ...],
        Parameter(show_default=False, metavar="MIXER...", choices=(*CONTENDERS,)),
    ] = tuple(MIXERS)
    forms: Annotated[
        tuple[str, ...] | None, Parameter(metavar="FORM...", choices=_FORM_NAMES)
    ] = None
    seconds: float = 20.0

    def __post_init__(self) -> None:
        check_distinct(self, "grids", "mixers")
        for mixer in self.mixers:
            check_known("`mixers`", mixer, CONTENDERS)
        if self.profile is not None:
            check_known("`profile`", self.profile, self.mixers)
        check_known("`dtype`", self.dtype, get_args(Dtype))
        with user_errors():
            for size in itertools.chain.from_iterable(self.grids):
                positive_integer("grids", size)
            for batch in self.batches:
                positive_integer("batches", batch)
            positive_integer("channels", self.channels)
            positive_integer("num_heads", self.num_heads)
            positive_number("seconds", self.seconds)
            if self.memory is not None:
                positive_number("memory", self.memory)
        if self.channels % self.num_heads:
            raise UserError(
                "`channels` must be a multiple of `num_heads`. Received: "
                f"channels={self.channels}, num_heads={self.num_heads}"
            )
        if len(self.batches) not in (1, len(self.grids)):
            raise UserError(
                "`batches` must be one number, or one for each of the "
                f"{len(self.grids)} grids. Received: {self.batches}"
            )

    @property
    def rounds(self) -> list[tuple[tuple[int, int], int]]:
        """Every grid with its batch."""
        batches = self.batches * (len(self.grids) if len(self.batches) == 1 else 1)
        return list(zip(self.grids, batches, strict=True))

    @property
    def profiled_grid(self) -> tuple[int, int]:
        """The grid on which a step is profiled."""
        return self.grids[min(1, len(self.grids) - 1)]

    @property
    def bytes(self) -> float | None:
        """What a training step may take; None for no limit."""
        return None if self.memory is None else self.memory * 2**30

    @property
    def label(self) -> str:
        """The grids and a short hash of all settings: a folder's name."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:6]
        return "-".join([*map(grid_text, self.grids), digest])
