"""The log of a migration, as much of it as an answer holds."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tabletd.errors import Reason, TabletdError

# How a run began and how it ended matter; an answer holds 16 MiB at most, with all columns.
HEAD_BYTES_MAX: Final = 1024 * 1024
TAIL_BYTES_MAX: Final = 3 * 1024 * 1024


def read_log(migration_uuid: str, log_file: str) -> bytes:
    """Return a log; of a long one its beginning and its end.

    Args:
        migration_uuid: whose log it is.
        log_file: as its row names it.

    Raises:
        TabletdError: LOG_NOT_FOUND when there is none, or none any more.
    """
    if not log_file:
        raise _missing(migration_uuid, "has no log: nothing ran for it yet, or no tool was needed")
    try:
        with Path(log_file).open("rb") as file:
            head = file.read(HEAD_BYTES_MAX)
            size = file.seek(0, 2)
            rest = size - len(head)
            file.seek(size - min(rest, TAIL_BYTES_MAX))
            tail = file.read(TAIL_BYTES_MAX)
    except FileNotFoundError:
        raise _missing(migration_uuid, f"has no log on this host any more: {log_file}") from None
    except OSError as error:
        raise _missing(migration_uuid, f"has a log that cannot be read: {error}") from None
    if rest <= TAIL_BYTES_MAX:
        return head + tail
    return head + b"\n[... %d bytes left out ...]\n" % (rest - len(tail)) + tail


def _missing(migration_uuid: str, what: str) -> TabletdError:
    return TabletdError(
        Reason.LOG_NOT_FOUND,
        f"migration {migration_uuid} {what}",
        hint="logs are kept for as long as log_retention says, on the tablet that ran it",
    )
