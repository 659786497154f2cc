"""Attention maps as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keras_stt.arguments import positive_integer
from keras_stt.export import export
from keras_stt.inspection.attention_maps import AttentionMaps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANEL = 1.35
"""Side of a panel, in inches."""


@export
def attention_figure(
    image: npt.ArrayLike,
    maps: Sequence[AttentionMaps] | Mapping[str, Sequence[AttentionMaps]],
    position: int | tuple[int, ...],
    example: int = 0,
    max_heads: int = 8,
) -> Figure:
    """Draws what a position attends to: a row per layer, a column per head.

    Bright means much attention. Each panel has its own scale; the number below it is
    the upper end, as a multiple of an even share. The first column shows the image with
    the position. For layers with more than `max_heads` heads, such as `DepthwiseSTT`
    with one per term and channel, evenly spaced heads are drawn.

    Args:
        image: `(height, width, channels)`: uint8, or floats in [0, 1].
        maps: What `attention_maps` returned, for layers that read a grid of two modes;
            or a dict of these by model name, to show several models together.
        position: Row and column in the grid; in a cross-attention, the index in the
            text.
        example: Index of the image among those of the maps.
        max_heads: Largest number of heads to draw per layer. Defaults to 8.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is no map, or one of another number of modes, and for an
            image, an index or a position that does not fit.

    Example::

        from keras_stt.inspection import attention_figure, attention_maps

        maps = {"stt": attention_maps(stt, images), "mha": attention_maps(mha, images)}
        attention_figure(images[0], maps, position=(2, 5)).savefig("attention.png")
    """
    if isinstance(maps, Mapping):
        rows = [
            (f"{model}\n{each.name}", each)
            for model, group in maps.items()
            for each in group
        ]
    else:
        rows = [(each.name, each) for each in maps]
    if not rows or any(len(each.grid) != 2 for _, each in rows):
        raise ValueError(
            "`maps` must hold maps of a grid of two modes. Received: "
            f"grids {[each.grid for _, each in rows]}"
        )
    pixels = np.asarray(image)
    if pixels.ndim != 3:
        raise ValueError(
            "`image` must be one image, of shape (height, width, channels). "
            f"Received: shape {pixels.shape}"
        )
    if pixels.dtype != np.uint8:
        pixels = np.clip(pixels.astype(float), 0, 1)
    found = [each.heat_map(position) for _, each in rows]
    if not 0 <= example < len(found[0]):
        raise ValueError(
            f"`example` must be the index of one of {len(found[0])} images. "
            f"Received: example={example}"
        )
    positive_integer("max_heads", max_heads)
    heats = [heat[example] for heat in found]
    drawn = [_spaced(len(heat), max_heads) for heat in heats]
    heads = max(map(len, drawn))
    height = _PANEL * len(rows) + 0.55
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_PANEL * (heads + 1) + 0.9, height))
    panels = figure.subplots(len(rows), heads + 1, squeeze=False)
    figure.subplots_adjust(
        *(0.9 / (_PANEL * (heads + 1) + 0.9), 0.22 / height),
        *(0.99, 1 - 0.3 / height, 0.06, 0.2),
    )
    # Heat maps cover the image, whatever the size of their cells.
    extent = (-0.5, pixels.shape[1] - 0.5, pixels.shape[0] - 0.5, -0.5)
    for number, (title, each) in enumerate(rows):
        heat, chosen, line = heats[number], drawn[number], panels[number]
        _show(line[0], pixels, cmap="gray", vmin=0, vmax=_white(pixels))
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", size=8)
        _mark(line[0], pixels.shape, each.grid, position)
        for axes in line[1 + len(chosen) :]:
            axes.axis("off")
        for column, head in enumerate(chosen, 1):
            axes = line[column]
            # Where the heads are the first ones, the top row names them.
            if number == 0 or head + 1 != column:
                axes.set_title(f"head {head + 1}", size=8, pad=2)
            _show(axes, heat[head], cmap="magma", vmin=0, extent=extent)
            _mark(axes, pixels.shape, each.grid, position)
            times = heat[head].max() * heat[head].size
            axes.set_xlabel(f"{times:.3g} ×", size=7, labelpad=2)
    panels[0, 0].set_title("image", size=8)
    return figure


def _spaced(count: int, most: int) -> list[int]:
    """Indices of the heads that are drawn."""
    return (
        [*range(count)] if count <= most else [i * count // most for i in range(most)]
    )


def _white(pixels: np.ndarray) -> int:
    return 255 if pixels.dtype == np.uint8 else 1


def _show(axes: Any, pixels: np.ndarray, **how: Any) -> None:
    axes.imshow(pixels, interpolation="nearest", **how)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _mark(
    axes: Any,
    shape: tuple[int, ...],
    grid: tuple[int, ...],
    position: int | tuple[int, ...],
) -> None:
    """A frame around the position, where it is one of the grid."""
    if not isinstance(position, Sequence) or len(position) != 2:
        return
    from matplotlib.patches import Rectangle

    height, width = shape[0] / grid[0], shape[1] / grid[1]
    row, column = position
    corner = (column * width - 0.5, row * height - 0.5)
    for color, line in (("black", 2.2), ("white", 1.0)):
        axes.add_patch(
            Rectangle(corner, width, height, fill=False, color=color, linewidth=line)
        )
