"""SQL text as a user types it: cut into statements, and whether one takes something away."""

from __future__ import annotations

import re
from typing import Final

# What a semicolon does not end: quoted text, quoted names, comments. `--` is a comment only before
# a blank; what is not closed reaches to the end, and the server will say so.
_OPAQUE: Final = re.compile(
    r"""
      '(?:[^'\\]|\\.|'')*(?:'|\Z)
    | "(?:[^"\\]|\\.|"")*(?:"|\Z)
    | `(?:[^`]|``)*(?:`|\Z)
    | /\*.*?(?:\*/|\Z)
    | --(?=\s|\Z)[^\n]*
    | \#[^\n]*
    """,
    re.VERBOSE | re.DOTALL,
)
# What only some versions run is still run.
_VERSIONED: Final = ("/*!", "/*M!")
_COMMENTS: Final = ("/*", "--", "#")
_DROPS: Final = re.compile(r"\b(?:drop|truncate)\b", re.IGNORECASE)


def split_statements(text: str) -> list[str]:
    """Return the statements of a text, without what is only blank or comment.

    Joined again with semicolons they are the text, but for blanks around them.
    """
    found: list[str] = []
    start = position = 0
    while position < len(text):
        opaque = _OPAQUE.match(text, position)
        if opaque is not None:
            position = opaque.end()
        elif text[position] == ";":
            found.append(text[start:position].strip())
            position += 1
            start = position
        else:
            position += 1
    found.append(text[start:].strip())
    return [statement for statement in found if _says_something(statement)]


def takes_away(statement: str) -> bool:
    """Tell whether a statement drops or empties something."""
    return _DROPS.search(_OPAQUE.sub(_code, statement)) is not None


def _says_something(statement: str) -> bool:
    return bool(_OPAQUE.sub(_without_comment, statement).strip())


def _without_comment(found: re.Match[str]) -> str:
    text = found[0]
    return "" if text.startswith(_COMMENTS) and not text.startswith(_VERSIONED) else text


def _code(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith(_VERSIONED) else " "
