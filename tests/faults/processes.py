"""The processes of a run: daemons' tools and the wrappers that they stand under."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.daemons import is_tool

_LOOK_SECONDS: Final = 0.25
_QUESTIONS: Final = frozenset({"--version", "--check-flag"})


@dataclass(frozen=True, slots=True)
class Found:
    """A process of a run."""

    pid: int
    parent: int
    command: tuple[str, ...]

    @property
    def is_tool(self) -> bool:
        """Whether it is the tool at work, and not only asked what it is."""
        is_asked = any(word in _QUESTIONS for word in self.command)
        return is_tool(list(self.command)) and not is_asked

    @property
    def is_wrapper(self) -> bool:
        """Whether it is what a tool stands under."""
        return any(word.endswith("/processes/wrapper.py") for word in self.command)


def processes_of(directory: Path) -> list[Found]:
    """Return the processes whose command names something in the directory."""
    mark = f"{directory}/".encode()
    found: list[Found] = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):
            command = Path(entry.path, "cmdline").read_bytes()
            if mark not in command:
                continue
            fields = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()
            words = tuple(word.decode(errors="replace") for word in command.split(b"\0"))
            found.append(Found(int(entry.name), int(fields[1]), words))
    return found


def tools_of(directory: Path) -> list[Found]:
    """Return the tools at work; what a tool has only just forked, for a hook, is not one."""
    tools = [process for process in processes_of(directory) if process.is_tool]
    pids = {process.pid for process in tools}
    return [process for process in tools if process.parent not in pids]


def wrappers_of(directory: Path) -> list[Found]:
    """Return what stands between a daemon and its tool."""
    return [process for process in processes_of(directory) if process.is_wrapper]


class ProcessWatch:
    """Looks all the time how many tools are at work.

    Attributes:
        doubles: the commands of tools that were seen at work at the same time.
        seen: how many tools were seen in all, dry runs included.
    """

    def __init__(self, directory: Path) -> None:
        self.doubles: list[str] = []
        self._directory = directory
        self._seen: set[int] = set()

    @property
    def seen(self) -> int:
        return len(self._seen)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            tools = await asyncio.to_thread(tools_of, self._directory)
            self._seen.update(tool.pid for tool in tools)
            if len(tools) > 1:
                self.doubles.append(" and ".join(" ".join(tool.command)[:160] for tool in tools))
            await asyncio.sleep(_LOOK_SECONDS)
