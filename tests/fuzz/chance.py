"""Drawing: what every grammar is made of.

A grammar draws from a `random.Random`. `make fuzz` gives one with a seed; the tests give one of
Hypothesis, which then knows how to make what it found smaller.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

Draw = Callable[[random.Random], str]
T = TypeVar("T")

_CORPUS: Final = Path(__file__).parent / "corpus"
HOSTILE: Final = (
    *("'", '"', "`", "\\", "\\'", "''", ";", "--", "-- ", "#", "/*", "*/", "/*!", "/*!50000 "),
    *("(", ")", ",", ".", "=", "@", "@@", ":", "%", "%s", "%%", "{}", "{0.__class__}", "$(id)"),
    *("\0", "\n", "\r", "\t", "\x0b", "\x1a", "\x7f", "\xa0", "\u2028", "\ufeff", "\u202e"),
    *(
        "é",
        "ß",
        "İ",
        "\u017f",
        "\uff11",
        "\u0663",
        "😀",
        "\U0010ffff",
        "NULL",
        "0x41",
        "1e308",
        "1e999",
    ),
    *("-1", "0", "9" * 25, "9" * 400, "nan", "inf", "a" * 65, "x" * 3000, "((" * 60),
)


def pick(chance: random.Random, options: Sequence[T]) -> T:
    """Draw one of several."""
    return options[chance.randrange(len(options))]


def often(chance: random.Random, percent: int) -> bool:
    """Tell whether something happens that does so often."""
    return chance.randrange(100) < percent


def corpus(name: str) -> tuple[str, ...]:
    """Return the seeds of a file: one on each line, with `\\n` and the like written out."""
    lines = (_CORPUS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(
        line.encode("latin-1", "backslashreplace").decode("unicode_escape")
        for line in lines
        if line and not line.startswith("##")
    )


def mutated(chance: random.Random, text: str, others: Sequence[str] = ()) -> str:
    """Change a text in a few places: by hostile characters, by what is cut out or doubled."""
    for _ in range(chance.randrange(1, 4)):
        begin = chance.randrange(len(text) + 1)
        end = min(len(text), begin + chance.randrange(12))
        match chance.randrange(6):
            case 0:
                text = text[:begin] + pick(chance, HOSTILE) + text[begin:]
            case 1:
                text = text[:begin] + pick(chance, HOSTILE) + text[end:]
            case 2:
                text = text[:begin] + text[end:]
            case 3:
                text = text[:end] + text[begin:]
            case 4:
                text = text[:begin] + chr(chance.randrange(1, 0x250)) + text[end:]
            case _:
                text = text[:begin] + (pick(chance, others) if others else text)[begin:]
    return text


def damaged(chance: random.Random, data: bytes) -> bytes:
    """Change bytes in a few places."""
    found = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        begin = chance.randrange(len(found) + 1)
        end = min(len(found), begin + chance.randrange(9))
        match chance.randrange(4):
            case 0:
                del found[begin:end]
            case 1:
                found[begin:begin] = chance.randbytes(chance.randrange(1, 9))
            case 2:
                found[begin:end] = chance.randbytes(end - begin)
            case _:
                found[begin:begin] = found[begin:end]
    return bytes(found)
