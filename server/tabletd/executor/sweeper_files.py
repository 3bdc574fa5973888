"""Leftovers on this machine: tools that nobody looks after, private directories, sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tabletd.errors import TabletdError
from tabletd.executor.engines.private_directory import remove_directory
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.engines.workspace import SECRETS, Phase
from tabletd.executor.leftover import Kind, Leftover, Owner, Swept, migration_of_directory
from tabletd.processes.identity import ProcessIdentity
from tabletd.processes.runner import attach
from tabletd.processes.wrapper import boot_id, start_ticks

NO_ROW: Final = "no row names it"
# gh-ost makes its socket here unless it is told another place.
_SOCKETS: Final = Path("/tmp")  # noqa: S108  # only looked at
_DELETED: Final = " (deleted)"
_COMMAND_CHARACTERS_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class ToolProcess:
    """A process that works in a private directory of this tablet.

    Attributes:
        identity: who it is.
        directory: where it works, which may be gone.
        command: the beginning of its command line.
    """

    identity: ProcessIdentity
    directory: Path
    command: str


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """What there is on this machine, looked at before any row was read."""

    processes: Sequence[ToolProcess]
    directories: Sequence[Path]

    def uuids(self, tablet_alias: str) -> set[str]:
        """Return the migrations that the names name."""
        paths = [*self.directories, *(process.directory for process in self.processes)]
        return {migration_of_directory(path, tablet_alias) for path in paths}


def look(settings: EngineSettings) -> LocalFiles:
    """Find this tablet's private directories and the processes in them; blocks."""
    home = Path(os.path.realpath(settings.run_directory))
    alias = settings.tablet_alias
    directories = (
        sorted(path for path in home.iterdir() if migration_of_directory(path, alias))
        if home.is_dir()
        else []
    )
    processes = [
        process
        for process in _processes_in(home)
        if migration_of_directory(process.directory, alias)
    ]
    return LocalFiles(processes, directories)


def leftovers_of(
    files: LocalFiles,
    owners: Mapping[str, Owner],
    *,
    settings: EngineSettings,
    runs_tools: bool,
    busy: Collection[str],
) -> Iterator[Leftover]:
    """Tell what of it no live migration owns.

    Args:
        files: what there is.
        owners: rows by UUID, read later than that.
        settings: for this tablet's alias.
        runs_tools: whether this tablet is a primary; on any other a tool is not to run at all.
        busy: migrations that something is being done for in this process.
    """
    for process in files.processes:
        uuid = migration_of_directory(process.directory, settings.tablet_alias)
        owner = owners.get(uuid)
        owns = _owns(owner, process.directory)
        if uuid in busy or (owns and runs_tools):
            continue
        why = "this tablet is not the primary" if owns else ""
        yield Leftover(
            kind=Kind.PROCESS,
            name=str(process.identity.pid),
            directory=str(process.directory),
            migration_uuid=uuid if owner is not None else "",
            note="; ".join(text for text in (process.command, why or _note(owner)) if text),
        )
    for path in files.directories:
        uuid = migration_of_directory(path, settings.tablet_alias)
        owner = owners.get(uuid)
        if uuid not in busy and not _owns(owner, path):
            yield Leftover(
                kind=Kind.DIRECTORY,
                name=str(path),
                directory=str(path),
                migration_uuid=uuid if owner is not None else "",
                note=_note(owner),
            )


def sockets_of_runs_by_hand(
    schemas: Collection[str], directory: Path = _SOCKETS
) -> Iterator[Leftover]:
    """Find the sockets of gh-ost started by somebody else for tables of these schemas; blocks."""
    for path in sorted(directory.glob("gh-ost.*.sock")):
        if any(path.name.startswith(f"gh-ost.{schema}.") for schema in schemas):
            heard = "somebody listens" if _is_listened_to(path) else "nobody listens"
            yield Leftover(
                kind=Kind.SOCKET, name=str(path), note=f"of a run by hand, {heard}: {NO_ROW}"
            )


async def remove(leftovers: Sequence[Leftover], settings: EngineSettings) -> tuple[Swept, ...]:
    """End processes and remove directories.

    Args:
        leftovers: those of one migration, processes first.
        settings: how long a tool may take to end.
    """
    swept: list[Swept] = []
    ended: dict[str, str] = {}
    for one in leftovers:
        if one.directory not in ended:
            ended[one.directory] = await _end_tools(Path(one.directory), settings)
        failure = ended[one.directory]
        if not failure and one.kind is Kind.DIRECTORY:
            await asyncio.to_thread(remove_directory, Path(one.name), *SECRETS)
            if await asyncio.to_thread(Path(one.name).exists):
                failure = "it cannot be removed: see the rights of what is in it"
        swept.append(Swept(one, failure))
    return tuple(swept)


async def _end_tools(directory: Path, settings: EngineSettings) -> str:
    """End whatever works in a private directory; returns what kept that from being done."""
    try:
        for phase in Phase:
            run = await attach(directory / phase)
            if run is not None and run.is_alive():
                await run.terminate(grace_seconds=settings.stop_grace_seconds)
    except TabletdError as error:
        return str(error)
    # Of a tool whose directory somebody removed, nothing but the process is left.
    for process in await asyncio.to_thread(_processes_in, directory.parent):
        if process.directory == directory:
            _kill(process.identity)
    return ""


def _owns(owner: Owner | None, directory: Path) -> bool:
    if owner is None or not owner.is_live:
        return False
    return Path(owner.run_directory).name == directory.name


def _note(owner: Owner | None) -> str:
    return NO_ROW if owner is None else ""


def _processes_in(home: Path) -> list[ToolProcess]:
    """Return the processes whose working directory is one of the directories in a directory."""
    found: list[ToolProcess] = []
    boot = boot_id()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        # Others' processes are not shown to us, and any may end while we look.
        with suppress(OSError):
            place = Path(os.readlink(entry / "cwd").removesuffix(_DELETED))
            if place.parent != home:
                continue
            pid = int(entry.name)
            identity = ProcessIdentity(pid, start_ticks(pid), boot)
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found.append(ToolProcess(identity, place, words[:_COMMAND_CHARACTERS_MAX].strip()))
    return found


def _kill(identity: ProcessIdentity) -> None:
    pidfd = identity.open_pidfd()
    if pidfd is None:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)


def _is_listened_to(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
