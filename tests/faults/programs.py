"""Stand-ins for the tools' programs: a link to the real one, or a script that misbehaves."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Final

# Asked what it is, a stand-in answers as the real program does: an upgrade that went wrong.
_HEAD: Final = """#!/bin/sh
case " $* " in
    *" --version "*|*" --check-flag "*) exec {real} "$@" ;;
esac
"""


class Misbehaviour(StrEnum):
    """What a replaced program does instead of its work."""

    EXITS_0 = "exits-0"
    EXITS_1 = "exits-1"
    HANGS = "hangs"
    FLOODS = "floods"


_BODIES: Final = {
    Misbehaviour.EXITS_0: "exit 0\n",
    Misbehaviour.EXITS_1: "echo 'no work today' >&2\nexit 1\n",
    Misbehaviour.HANGS: "while :; do sleep 1; done\n",
    Misbehaviour.FLOODS: "yes 'a line that says nothing, over and over' | head -c 200000000\n"
    "echo 'no work today' >&2\nexit 1\n",
}


class Program:
    """The path that a daemon runs a tool by.

    Args:
        path: where it is to be.
        real: the tool itself.
    """

    def __init__(self, path: Path, real: Path) -> None:
        self.path = path
        self._real = real
        self.restore()

    def restore(self) -> None:
        """Put the real program in its place."""
        scratch = self.path.with_suffix(".new")
        scratch.symlink_to(self._real)
        scratch.replace(self.path)

    def replace(self, misbehaviour: Misbehaviour) -> None:
        """Put a program in its place that misbehaves; what runs already goes on."""
        scratch = self.path.with_suffix(".new")
        scratch.write_text(_HEAD.format(real=self._real) + _BODIES[misbehaviour])
        os.chmod(scratch, 0o755)
        scratch.replace(self.path)
