"""Docstrings in Keras's form, as the site's parser wants them."""

import re
from typing import Any

import griffe

CHANGES = {
    r"^Call arguments:$": "Other Parameters: Call arguments",
    r"^Example:{1,2}$": "**Example**",
    # A session of the interpreter, up to the next empty line.
    r"^>>> .*(?:\n.+)*": r"```pycon\n\g<0>\n```",
}


class Sections(griffe.Extension):
    """Changes docstrings before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Changes that of one class or function."""
        if obj.docstring is None:
            return
        for pattern, new in CHANGES.items():
            obj.docstring.value = re.sub(
                pattern, new, obj.docstring.value, flags=re.MULTILINE
            )
