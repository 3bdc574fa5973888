"""Checks of the tool's program, and how the program is asked what it is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final, Protocol

from tabletd.errors import Reason, TabletdError
from tabletd.executor.preflight.facts import ToolFacts
from tabletd.processes.probe import probe

# Flags that came with gh-ost 1.1.8 or before it, and without which it may lose rows.
GH_OST_REQUIRED_FLAGS: Final = ("--panic-on-warnings", "--skip-metadata-lock-check")
_INSTALL_HINTS: Final = {
    "gh-ost": "install gh-ost 1.1.8 or later and set gh_ost_path",
    "pt-online-schema-change": "install percona-toolkit (Debian: apt-get install percona-toolkit), "
    "or set pt_osc_path",
}


class AboutTool(Protocol):
    """What is known of a tool alone; fields as in `Facts`."""

    @property
    def tool(self) -> ToolFacts: ...
    @property
    def allows_unsafe_cutover(self) -> bool: ...


class ProgramInspector:
    """Asks a program what it is, and again only when its file has changed.

    Args:
        path: the program.
        required_flags: flags that are asked for by gh-ost's `--check-flag`.
    """

    def __init__(self, path: str, required_flags: tuple[str, ...] = ()) -> None:
        self.path = path
        self._required_flags = required_flags
        self._stamp: tuple[int, int] | None = None
        self._facts: ToolFacts | None = None

    async def inspect(self) -> ToolFacts:
        """Return what the program is."""
        stamp = await asyncio.to_thread(_stamp, self.path)
        if stamp is None:
            return ToolFacts(self.path, None, "there is no such executable file")
        if self._facts is None or stamp != self._stamp:
            self._facts = await self._ask()
            self._stamp = stamp if self._facts.answer is not None else None
        return self._facts

    async def _ask(self) -> ToolFacts:
        version = await probe([self.path, "--version"])
        if version.exit_code != 0:
            return ToolFacts(self.path, None, f"--version: {version.failure()}")
        has_flags = True
        if self._required_flags:
            flags = await probe([self.path, "--check-flag", *self._required_flags])
            has_flags = flags.exit_code == 0
        return ToolFacts(self.path, version.output.strip(), "", has_flags)


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if os.access(path, os.X_OK) else None


def gh_ost_program(facts: AboutTool) -> None:
    """The binary is there, answers, and can prove its cut-over (1.1.8)."""
    _answers(facts, "gh-ost", "")
    if not facts.tool.has_required_flags and not facts.allows_unsafe_cutover:
        raise TabletdError(
            Reason.TOOL_UNSUITABLE,
            f"{facts.tool.path} ({facts.tool.answer}) is too old: it lacks "
            f"{' and '.join(GH_OST_REQUIRED_FLAGS)}, and may lose rows without saying so",
            hint=_INSTALL_HINTS["gh-ost"],
        )


def pt_osc_program(facts: AboutTool) -> None:
    """The program is there and answers."""
    name = "pt-online-schema-change"
    _answers(facts, name, name)


def _answers(facts: AboutTool, name: str, expected: str) -> None:
    tool = facts.tool
    if tool.answer is None:
        missing = tool.failure == "there is no such executable file"
        raise TabletdError(
            Reason.TOOL_MISSING if missing else Reason.TOOL_UNSUITABLE,
            f"{name} cannot be run from {tool.path}: {tool.failure}",
            hint=_INSTALL_HINTS[name],
            path=tool.path,
        )
    if expected not in tool.answer or not tool.answer:
        raise TabletdError(
            Reason.TOOL_UNSUITABLE,
            f"{tool.path} is not {name}: asked for its version it says {tool.answer[:80]!r}",
            hint=_INSTALL_HINTS[name],
            path=tool.path,
        )
