"""How each mixer is drawn, in every figure of comparisons and benchmarks."""

import itertools
from typing import Any, NamedTuple

from keras_stt.experiments.reports.results import Results, variants


class Look(NamedTuple):
    """How a mixer is drawn."""

    color: str
    marker: str
    line: Any = "-"


_SPARSE = (0, (4, 1, 1, 1))
#: A look for every mixer in `keras_stt.mixers.MIXERS`, and for the benchmark's floors.
#: Synthesizers have hues and solid lines, what they are compared with has broken lines.
#: Of those that a comparison has by default, any two colours differ by 25 or more in
#: CIELAB, also as seen with protanopia, deuteranopia and tritanopia.
COLORS: dict[str, Look] = {
    "stt-dense": Look("#1E4CD8", "o"),
    "stt-random": Look("#F1A212", "s"),
    "stt-factorized-dense": Look("#31BEFF", "D"),
    "stt-factorized-random": Look("#C9510E", "^"),
    "stt-mixture": Look("#099359", "P"),
    "stt-mixture-dot": Look("#9F53AD", "X"),
    "stt-depthwise": Look("#BC4A00", "h"),
    "stt-depthwise-synthesized": Look("#DA82FF", "d"),
    "stt-depthwise-bounded": Look("#006D77", "H"),
    "mha": Look("#111111", "v", (0, (6, 1.5))),
    "axial-mha": Look("#505050", ">", (0, (3, 1.5))),
    "depthwise-conv": Look("#552500", "*", (0, (5, 1.5, 1, 1.5))),
    "none": Look("#ADADAD", "p", (0, (1, 1.2))),
    "mha-axes": Look("#111111", "<", (0, (1, 1))),
    "mha-unfused": Look("#111111", "^", (0, (3, 1, 1, 1, 1, 1))),
    "gmlp": Look("#E0218A", "h", _SPARSE),
    "mlp-mixer": Look("#8A9A00", "8", _SPARSE),
    "external-attention": Look("#00A39B", "d", _SPARSE),
    "linformer": Look("#7A0019", "<", _SPARSE),
    "dynamixer": Look("#8C7BFF", "H", _SPARSE),
    "pooling": Look("#C8B08A", "p", _SPARSE),
    "depthwise-conv-3": Look("#B5651D", "o", _SPARSE),
    "depthwise-conv-5": Look("#29F08C", "<", _SPARSE),
    "strip-conv": Look("#A67B5B", "D", _SPARSE),
    "local-global": Look("#5B8C5A", "P", _SPARSE),
    "shift": Look("#6F7D8C", "X", _SPARSE),
    "floor": Look("#7AC70C", ".", (0, (1, 1))),
    "floor-depthwise": Look("#4E8000", ".", (0, (1, 1))),
}
#: For variants without a look of their own: those of rarer mixers, in solid lines.
_SPARE = [look._replace(line="-") for look in COLORS.values() if look.line == _SPARSE]


def looks(results: Results) -> dict[str, Look]:
    """The look of every variant of the results.

    A captioner looks like the mixer that its encoder and decoder share.
    """
    pairs = {f"{mixer}+{mixer}": look for mixer, look in COLORS.items()}
    known = COLORS | pairs
    names = variants(results)
    used = {known[name].color for name in names if name in known}
    spare = [look for look in _SPARE if look.color not in used] or _SPARE
    further = itertools.cycle(spare)
    return {name: known.get(name) or next(further) for name in names}
