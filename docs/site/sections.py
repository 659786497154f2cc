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
#: The section of a docstring about the arguments of a call.
CALL = re.compile(r"(?ms)^(?:Call arguments:|Other Parameters: .*?)$.*?(?=^\S|\Z)")


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

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Gives call arguments the types that the method `call` has for them."""
        if cls.docstring is None or "call" not in cls.members:
            return
        types = {each.name: each.annotation for each in cls["call"].parameters}

        def typed(match: re.Match[str]) -> str:
            annotation = types.get(match[1])
            return f"    {match[1]} ({annotation}): " if annotation else match[0]

        cls.docstring.value = CALL.sub(
            lambda section: re.sub(r"(?m)^    (\w+): ", typed, section[0]),
            cls.docstring.value,
        )
