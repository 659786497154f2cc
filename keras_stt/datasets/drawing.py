"""Scenes of coloured shapes, drawn from a seed with the same bytes everywhere.

A scene holds two objects on opposite sides of a square canvas; its label says
whether they have the same colour. Four promises shape this file:

- **The same everywhere.** Random numbers come from `random.Random(text).random()`
  alone, whose stream Python guarantees; geometry and blending are done in integers.
- **Example i stands alone.** A scene depends on its seed, split and index, never on
  how many others are drawn.
- **Only a comparison tells the label.** Everything but the colours is drawn without
  looking at the label, and each object alone has every colour equally often under
  both labels. So a sum of terms that each see one object cannot lower the expected
  cross-entropy below chance. The objects are `GAP` or more pixels apart: no window
  of `GAP + 1` pixels touches both.
- **Some combinations can be kept for later.** Asked for `"seen"` combinations, no
  object has the shape that `UNSEEN` names for its colour; asked for `"unseen"` ones,
  one has. Whoever learns colours and shapes from the former can describe the latter,
  whoever learns the pairs by heart can't. (Both shapes together then tell something
  about the colours: these scenes are for captions, not for the label.)
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

CANVAS = 32
"""Side of the canvas, in pixels, in which objects are placed."""
GAP = 6
"""Least number of empty pixels between the two objects, along one axis."""
MARGIN = 1
"""Empty pixels along the border of the canvas."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (245, 95, 90),
    "green": (70, 245, 115),
    "blue": (75, 110, 245),
    "yellow": (210, 200, 20),
    "purple": (190, 50, 190),
    "cyan": (20, 200, 210),
}
"""Names of the colours and their mean red, green and blue, all equally bright."""
SIZES: dict[str, int] = {"small": 7, "large": 11}
"""Names of the sizes and the sides of their bounding boxes, in pixels (odd)."""
LABELS = ("different", "same")
"""Names of the labels; label 1 means that the objects have the same colour."""

_COLOUR_JITTER = 6
_BACKGROUND = 20
_SUBSAMPLES = 8

T = TypeVar("T")
Rgb = tuple[int, int, int]
Ints = npt.NDArray[np.int64]


def _circle(u: Ints, v: Ints, radius: int) -> npt.NDArray[np.bool_]:
    return u * u + v * v <= radius * radius


def _square(u: Ints, v: Ints, radius: int) -> npt.NDArray[np.bool_]:
    return np.maximum(abs(u), abs(v)) <= radius


def _triangle(u: Ints, v: Ints, radius: int) -> npt.NDArray[np.bool_]:
    return (abs(v) <= radius) & (2 * abs(u) <= v + radius)


def _cross(u: Ints, v: Ints, radius: int) -> npt.NDArray[np.bool_]:
    near, far = np.minimum(abs(u), abs(v)), np.maximum(abs(u), abs(v))
    return (3 * near <= radius) & (far <= radius)


_INSIDE: dict[str, Callable[[Ints, Ints, int], npt.NDArray[np.bool_]]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
}
SHAPES = tuple(_INSIDE)
"""Names of the shapes."""


UNSEEN: dict[str, str] = {
    "red": "circle",
    "green": "square",
    "blue": "triangle",
    "yellow": "cross",
    "purple": "triangle",
    "cyan": "circle",
}
"""For each colour the shape that it never has in scenes of `"seen"` combinations."""

Combinations = Literal["any", "seen", "unseen"]


@dataclass(frozen=True)
class Object:
    """One shape in a scene.

    Attributes:
        shape: One of `SHAPES`.
        colour: One of the names in `COLOURS`.
        size: One of the names in `SIZES`.
        x: Column of the pixel at the centre, from 0 at the left of the canvas.
        y: Row of the pixel at the centre, from 0 at the top.
        rgb: The exact colour, a little off the mean of its name, in [0, 255].
    """

    shape: str
    colour: str
    size: str
    x: int
    y: int
    rgb: Rgb


@dataclass(frozen=True)
class Scene:
    """Two objects in front of a background.

    Attributes:
        objects: The objects; none is the first in any sense.
        background: Colour of the top row and of the bottom row; between them it
            changes evenly.
    """

    objects: tuple[Object, Object]
    background: tuple[Rgb, Rgb]

    @property
    def label(self) -> Literal["different", "same"]:
        """`"same"` where both objects have the same colour."""
        first, second = self.objects
        return "same" if first.colour == second.colour else "different"


class _Dice:
    """Whole numbers from a stream that no platform or version changes."""

    def __init__(self, text: str) -> None:
        self._random = random.Random(text)  # noqa: S311 (no secret is drawn)

    def below(self, n: int) -> int:
        # `randrange`, `choice` and `shuffle` may change between Python versions.
        return int(self._random.random() * n)

    def choice(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def near(self, value: int, jitter: int) -> int:
        return value - jitter + self.below(2 * jitter + 1)


def scene(
    seed: int, split: str, index: int, combinations: Combinations = "any"
) -> Scene:
    """Draws example `index` of a split.

    Of the two examples `2k` and `2k + 1`, one is "same" and one "different", in an
    order that a coin decides: labels are balanced, however many are taken.

    Args:
        seed: Any integer.
        split: Any name; splits are independent of one another.
        index: Number of the example, from 0.
        combinations: Which shapes go with a colour: `"any"`, `"seen"`: not that of
            `UNSEEN`, or `"unseen"`: one object, the first or the second, has that of
            `UNSEEN`, and the other not.

    Returns:
        The scene, equal on every platform and version of Python and NumPy.

    Raises:
        ValueError: If an argument has another type or value, or `index` is negative.

    Example:
        >>> scene(0, "train", 7) == scene(0, "train", 7)
        True
    """
    seed = _integer("seed", seed)
    index = _integer("index", index, least=0)
    if not isinstance(split, str):
        raise ValueError(f"`split` must be a string. Received: {split!r}")
    if combinations not in get_args(Combinations):
        raise ValueError(
            f"`combinations` must be one of {', '.join(get_args(Combinations))}. "
            f"Received: {combinations!r}"
        )
    dice = _Dice(f"keras_stt/scenes/scene/{seed}/{index}/{split}")
    coin = _Dice(f"keras_stt/scenes/coin/{seed}/{index // 2}/{split}").below(2)
    # Both colours are uniform whatever the step is, so neither alone tells the label.
    names = tuple(COLOURS)
    step = 0 if index % 2 == coin else 1 + dice.below(len(names) - 1)
    first = dice.below(len(names))
    colours = (names[first], names[(first + step) % len(names)])
    # A stream of its own: what follows can't depend on how the colours were drawn.
    dice = _Dice(f"keras_stt/scenes/look/{seed}/{index}/{split}")
    sizes = (dice.choice(tuple(SIZES)), dice.choice(tuple(SIZES)))
    centres = _place(dice, (SIZES[sizes[0]], SIZES[sizes[1]]))
    held_out: list[bool | None] = [None, None]
    if combinations != "any":
        held_out = [False, False]
    if combinations == "unseen":
        held_out[_Dice(f"keras_stt/scenes/unseen/{seed}/{index}/{split}").below(2)] = (
            True
        )
    one, two = (
        _paint(dice, *look)
        for look in zip(colours, sizes, centres, held_out, strict=True)
    )
    return Scene((one, two), (_background(dice), _background(dice)))


def render(scene: Scene, size: int = CANVAS) -> npt.NDArray[np.uint8]:
    """Draws a scene into pixels.

    Edges are smoothed by counting the points, of a fixed grid in each pixel, that
    lie inside a shape; the count weighs the colour against the background.

    Args:
        scene: What to draw.
        size: Height and width of the image, in pixels. The scene is scaled to it.

    Returns:
        Image of shape `(size, size, 3)`: red, green and blue in [0, 255].

    Raises:
        ValueError: If `size` is not a positive integer.
    """
    size = _integer("size", size, least=1)
    top, bottom = (np.array(rgb, np.int64) for rgb in scene.background)
    rows = np.arange(size, dtype=np.int64)[:, None]
    last = max(size - 1, 1)
    gradient = _divide(top * (last - rows) + bottom * rows, last)  # (H, 3)
    image = np.repeat(gradient[:, None], size, axis=1)  # (H, W, 3)
    for item in scene.objects:
        box, cover = _cover(item, size)
        colour = np.array(item.rgb, np.int64)
        mixed = image[box] * (_SUBSAMPLES**2 - cover) + colour * cover
        image[box] = _divide(mixed, _SUBSAMPLES**2)
    return image.astype(np.uint8)


def _integer(name: str, value: int, least: int | None = None) -> int:
    expected = "an integer" if least is None else f"an integer of at least {least}"
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_integer or (least is not None and value < least):
        raise ValueError(f"`{name}` must be {expected}. Received: {value!r}")
    return int(value)


def _divide(numbers: Ints, by: int) -> Ints:
    """Divides and rounds to the nearest integer, halves up."""
    return (2 * numbers + by) // (2 * by)


def _place(dice: _Dice, sides: tuple[int, int]) -> list[tuple[int, int]]:
    """Draws the centres `(x, y)` of two boxes, `GAP` or more apart on one axis."""
    room = CANVAS - 2 * MARGIN
    slack = (room - sum(sides) - GAP) // 2  # for each box
    nearer = dice.below(2)  # the box on the left, or above
    along, across = [], []
    for k, side in enumerate(sides):
        offset = dice.below(slack + 1)
        start = offset if k == nearer else room - side - offset
        along.append(MARGIN + start + side // 2)
        across.append(MARGIN + dice.below(room - side + 1) + side // 2)
    beside = dice.below(2)
    xs, ys = (along, across) if beside else (across, along)
    return list(zip(xs, ys, strict=True))


def _paint(
    dice: _Dice,
    colour: str,
    size: str,
    centre: tuple[int, int],
    held_out: bool | None,
) -> Object:
    """An object whose shape is the unseen one of its colour, another, or any (None)."""
    unseen = UNSEEN[colour]
    if held_out is None:
        shape = dice.choice(SHAPES)
    else:
        others = [shape for shape in SHAPES if shape != unseen]
        shape = unseen if held_out else dice.choice(others)
    red, green, blue = (dice.near(c, _COLOUR_JITTER) for c in COLOURS[colour])
    return Object(shape, colour, size, *centre, (red, green, blue))


def _background(dice: _Dice) -> Rgb:
    return (dice.below(_BACKGROUND), dice.below(_BACKGROUND), dice.below(_BACKGROUND))


def _cover(item: Object, size: int) -> tuple[tuple[slice, slice], Ints]:
    """Counts the sample points inside an object, for each pixel of its box.

    Lengths are in units of `1 / (2 * size * _SUBSAMPLES)` canvas pixels: then sample
    points, centre and radius are all integers.

    Returns:
        The rows and columns of the box, and the counts, `(box H, box W, 1)`.
    """
    s, side = _SUBSAMPLES, SIZES[item.size]

    def span(centre: int) -> tuple[slice, Ints]:
        start = centre - side // 2
        low, high = start * size // CANVAS, -(-(start + side) * size // CANVAS)
        points = np.arange(low * s, high * s, dtype=np.int64)
        return slice(low, high), CANVAS * (2 * points + 1) - (2 * centre + 1) * size * s

    columns, u = span(item.x)
    rows, v = span(item.y)
    inside = _INSIDE[item.shape](u[None, :], v[:, None], side * size * s)
    counts = inside.reshape(len(v) // s, s, len(u) // s, s).sum((1, 3), np.int64)
    return (rows, columns), counts[..., None]
