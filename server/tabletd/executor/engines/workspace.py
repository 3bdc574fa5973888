"""The private directory of a run, and the log that outlives it."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.engines.private_directory import (
    make_inside,
    private_directory,
    remove_directory,
)
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.hooks import Callback, write_callback
from tabletd.executor.migration import Migration

# The files of a run that hold a password or a token.
SECRETS: Final = ("account", "*.cnf", "callback")
_LOG_BYTES_MAX: Final = 256 * 1024
# A row names its directory first; who read the rows before that must not take it for a left one.
_DIRECTORY_SECONDS_MIN: Final = 3600.0
_OURS: Final = "# tabletd: "
_ELSEWHERE: Final = Path("/nonexistent")


class Phase(StrEnum):
    """The two times that a tool is started; also the names of the tools' directories."""

    DRY_RUN = "dry-run"
    RUN = "run"

    @property
    def words(self) -> str:
        """As a stage names it."""
        return "dry run" if self is Phase.DRY_RUN else "run"


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a run keeps what is its own.

    Attributes:
        directory: mode 0700; has secrets, hooks, sockets, a directory for each phase.
        log_file: what the tool wrote in both phases; kept when the directory is removed.
    """

    directory: Path
    log_file: Path

    @property
    def log_path(self) -> str:
        """`host:directory` of the log, as Vitess writes it."""
        return f"{socket.gethostname()}:{self.log_file.parent}"

    def create(self) -> None:
        """Make the directories.

        Raises:
            TabletdError: PREFLIGHT_REFUSED when that is not possible.
        """
        with (
            self.being_written(),
            private_directory(self.log_file.parent),
            private_directory(self.directory.parent) as runs,
        ):
            make_inside(runs, self.directory.name, *Phase)

    @contextmanager
    def being_written(self) -> Generator[None]:
        """Say of what cannot be written before a tool starts why it could not.

        Raises:
            TabletdError: PREFLIGHT_REFUSED.
        """
        try:
            yield
        except OSError as error:
            raise TabletdError(
                Reason.PREFLIGHT_REFUSED,
                f"cannot write {error.filename or f'into {self.directory}'}: {error.strerror}",
                hint="make run_directory writable for tabletd, with room on its file system",
            ) from error

    def phase_directory(self, phase: Phase) -> Path:
        """Return the directory of one start of the tool."""
        return self.directory / phase

    def write_secret(self, name: str, text: str) -> Path:
        """Write a new file that nobody else can read, from its first moment on."""
        path = self.directory / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    @property
    def hold_file(self) -> Path:
        """While it is there, the tool waits before it swaps the tables."""
        return self.directory / "hold"

    @property
    def is_held(self) -> bool:
        """Whether the tool is to wait before the swap."""
        return self.hold_file.exists()

    def hold(self) -> None:
        """Let the tool wait before the swap."""
        self.hold_file.touch(mode=0o600)

    def release(self) -> None:
        """Let the tool go on; nothing happens when it does not wait."""
        self.hold_file.unlink(missing_ok=True)

    def write_heading(self, text: str) -> None:
        """Write a line of our own into the log, where there is room for it."""
        with suppress(OSError):
            how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            descriptor = os.open(self.log_file, how, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{_OURS}{text}\n")

    def move_callback(self, callback: Callback) -> None:
        """Let the hooks of a run report to another address from now on.

        Raises:
            TabletdError: TOOL_FAILED when that cannot be written.
        """
        try:
            write_callback(self.directory, callback)
        except OSError as error:
            raise TabletdError(
                Reason.TOOL_FAILED,
                f"cannot tell the hooks in {self.directory} of {callback.url}: {error.strerror}",
                hint="make room on the file system of run_directory; this is tried again",
            ) from error

    def remove(self) -> None:
        """Remove the directory with all that is in it; nothing happens when it is gone."""
        remove_directory(self.directory, *SECRETS)


def new_workspace(settings: EngineSettings, migration: Migration) -> Workspace:
    """Name the directory and the log of a new run; nothing is made yet."""
    run = secrets.token_hex(4)
    name = f"{settings.tablet_alias}-{migration.migration_uuid}-{run}"
    log_file = settings.log_directory / f"{migration.migration_uuid}-{run}.log"
    return Workspace(settings.run_directory.absolute() / name, log_file.absolute())


def find_workspace(settings: EngineSettings, migration: Migration) -> Workspace:
    """Return the workspace that a row names; an empty one when it is another tablet's.

    A tablet that takes over a shard cleans up what came by replication; the directory and the
    processes are on the other machine, or those of a neighbour (see `find_neighbour`).

    Raises:
        TabletdError: INTERNAL when the row names a directory that cannot be this run's: it is going
            to be removed.
    """
    directory = Path(migration.run_directory)
    is_ours = directory.parent == settings.run_directory.absolute() and directory.name.startswith(
        f"{settings.tablet_alias}-{migration.migration_uuid}-"
    )
    if is_ours:
        return Workspace(directory, Path(migration.log_file))
    if migration.tablet not in ("", settings.tablet_alias) or not directory.exists():
        return Workspace(_ELSEWHERE, Path(migration.log_file))
    raise TabletdError(
        Reason.INTERNAL,
        f"the row of {migration.migration_uuid} names {directory} as its private directory, "
        f"which is not one of those in {settings.run_directory}",
        hint="was run_directory changed? put it back until this migration is cleaned up",
    )


def find_neighbour(settings: EngineSettings, migration: Migration) -> Workspace | None:
    """Return the workspace of another tablet's run where it is among our own: on this machine.

    That tablet may be ours before it was given another name; nobody else ends its tool.
    """
    directory = Path(migration.run_directory)
    is_beside_ours = directory.parent == settings.run_directory.absolute()
    if migration.tablet in ("", settings.tablet_alias) or not is_beside_ours:
        return None
    return Workspace(directory, Path(migration.log_file))


def count_runs_that_say(settings: EngineSettings, migration_uuid: str, heading: str) -> int:
    """Return of how many runs of a migration the log has a line of ours that begins so."""
    logs = settings.log_directory.glob(f"{migration_uuid}-*.log")
    return sum(f"{_OURS}{heading}" in read_log(log) for log in logs)


def read_log(log_file: Path, offset: int = 0) -> str:
    """Return the end of a log, at most 256 KiB, from an offset on; empty when there is none."""
    try:
        with log_file.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(offset, size - _LOG_BYTES_MAX))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def prune(
    settings: EngineSettings,
    in_use: Collection[str],
    *,
    retention_seconds: float,
    now_seconds: float,
) -> int:
    """Remove what runs left that ended long ago; blocks for as long as the file system does.

    Args:
        settings: where logs and private directories are.
        in_use: the private directories that rows name: those of runs that are not cleaned up.
        retention_seconds: how long a log is kept after its last line, and a directory that no row
            names any more.
        now_seconds: the wall clock, as file times are.

    Returns:
        how many logs and directories were removed.
    """
    unfinished: set[str] = set()
    removed = 0
    kept_seconds = max(retention_seconds, _DIRECTORY_SECONDS_MIN)
    for path in settings.run_directory.absolute().glob(f"{settings.tablet_alias}-*"):
        try:
            age_seconds = now_seconds - path.stat().st_mtime
        except FileNotFoundError:
            continue
        if str(path) not in in_use and age_seconds > kept_seconds:
            remove_directory(path, *SECRETS)
            removed += 1
        else:
            unfinished.add(path.name.removeprefix(f"{settings.tablet_alias}-"))
    for path in settings.log_directory.glob("*.log"):
        if path.stem in unfinished:
            continue
        try:
            if now_seconds - path.stat().st_mtime > retention_seconds:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed
