"""Captions of scenes: five sentences for each, and the judge of any sentence.

The grammar: a noun phrase is size, colour and shape ("small red circle"); `{a}` is the
object on the left, or above, and `{b}` the other. All captions of a scene use the same
direction: the one in which the objects are further apart.
"""

import re

from keras_stt.datasets.drawing import SIZES, Object, Scene

_SENTENCES = {
    "x": (
        "a {a} is left of a {b}",
        "a {b} is right of a {a}",
        "there is a {a} to the left of a {b}",
        "to the right of a {a} there is a {b}",
        "a {a} on the left and a {b} on the right",
    ),
    "y": (
        "a {a} is above a {b}",
        "a {b} is below a {a}",
        "there is a {a} over a {b}",
        "under a {a} there is a {b}",
        "a {a} at the top and a {b} at the bottom",
    ),
}
NUMBER_OF_CAPTIONS = len(_SENTENCES["x"])
"""Number of captions of a scene."""

_NOUN_PHRASE = r"\w+ \w+ \w+"
_PATTERNS = [
    (
        axis,
        re.compile(
            sentence.format(a=f"(?P<a>{_NOUN_PHRASE})", b=f"(?P<b>{_NOUN_PHRASE})")
        ),
    )
    for axis, sentences in _SENTENCES.items()
    for sentence in sentences
]


def captions(scene: Scene) -> tuple[str, ...]:
    """The five captions of a scene, all of which say the same.

    Args:
        scene: A scene, as `keras_stt.datasets.scene` draws it.

    Returns:
        Five sentences in small letters, without punctuation.

    Example:
        >>> captions(scene(0, "train", 0))[0]
        'a small cyan cross is above a small red circle'
    """
    one, two = scene.objects
    axis = "x" if abs(one.x - two.x) >= abs(one.y - two.y) else "y"
    a, b = sorted(scene.objects, key=lambda item: getattr(item, axis))
    return tuple(
        sentence.format(a=_noun_phrase(a), b=_noun_phrase(b))
        for sentence in _SENTENCES[axis]
    )


def is_correct(caption: str, scene: Scene) -> bool:
    """Whether a sentence is one of the grammar, and true of a scene.

    It must name both objects, each with its size, colour and shape, and a direction in
    which one lies wholly before the other; that need not be the one in which they are
    further apart.

    Args:
        caption: Any text, in small letters, without punctuation.
        scene: A scene.

    Returns:
        Whether it is true. Whatever is no sentence of the grammar is not.
    """
    for axis, pattern in _PATTERNS:
        if found := pattern.fullmatch(caption):
            return any(
                found["a"] == _noun_phrase(a)
                and found["b"] == _noun_phrase(b)
                and _end(a, axis) < _start(b, axis)
                for a, b in (scene.objects, scene.objects[::-1])
            )
    return False


def _noun_phrase(item: Object) -> str:
    return f"{item.size} {item.colour} {item.shape}"


def _start(item: Object, axis: str) -> int:
    return getattr(item, axis) - SIZES[item.size] // 2


def _end(item: Object, axis: str) -> int:
    return getattr(item, axis) + SIZES[item.size] // 2
