"""The audit log: one JSON line for each call that changes something, or was to."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tabletd.access.caller import Caller
from tabletd.loops import ThrottledLogger

_logger = logging.getLogger(__name__)

_WRITE_SECONDS_MAX: Final = 5.0
_SQL_CHARACTERS_MAX: Final = 2000
_READ_CHARACTERS_MAX: Final = 64 * 1024
_MODE: Final = 0o600
_SECRET_AHEAD: Final = re.compile("IDENTIFIED|PASSWORD|AUTHENTICATED", re.IGNORECASE)
_TEXTS: Final = re.compile(r"'(?:[^'\\]|\\.|'')*'?|\"(?:[^\"\\]|\\.|\"\")*\"?", re.DOTALL)


class AuditLog:
    """Appends lines to a file, which may be moved away at any time.

    A line that cannot be written is said in the daemon's log and does not hold the call up: what
    was done is done.

    Args:
        path: the file; made for its owner alone.
        tablet_alias: which daemon it is.
    """

    def __init__(self, path: Path, tablet_alias: str) -> None:
        self._path = path
        self._tablet_alias = tablet_alias
        self._problems = ThrottledLogger("AuditLog", logger=_logger)

    async def note(
        self,
        caller: Caller,
        method: str,
        target: Mapping[str, object],
        *,
        code: str,
        reason: str,
        began_seconds: float,
    ) -> None:
        """Write down a call.

        Args:
            caller: who made it.
            method: full name.
            target: on what, by the names of the request's fields.
            code: of the answer, `OK` or gRPC's name.
            reason: why it failed; empty: it did not.
            began_seconds: when, on `time.monotonic`.
        """
        entry: dict[str, object] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "tablet": self._tablet_alias,
            "method": method,
            "caller": caller.name,
            "role": caller.role.label,
            "user": caller.user,
            "certificate": caller.certificate,
            "peer": caller.peer,
            "effective": caller.effective,
            "on_behalf_of": caller.on_behalf_of,
            "target": target,
            "code": code,
            "reason": reason,
            "seconds": round(time.monotonic() - began_seconds, 3),
        }
        line = json.dumps(entry, ensure_ascii=False, default=str) + "\n"
        try:
            async with asyncio.timeout(_WRITE_SECONDS_MAX):
                await asyncio.to_thread(self._append, line.encode("utf-8", "replace"))
        except (OSError, TimeoutError) as error:
            self._problems.error(f"cannot write to {self._path}: {error!r}; lost: {line.strip()}")

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, _MODE)
        try:
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)


def shown_sql(text: str) -> str:
    """Return a statement as it may be kept: cut, and without texts where one may be a password."""
    # Reading all of a text of megabytes would hold everything else up, the heartbeat too.
    shown = text[:_SQL_CHARACTERS_MAX]
    if _SECRET_AHEAD.search(text, 0, _READ_CHARACTERS_MAX):
        shown = _TEXTS.sub("'***'", shown)
    return f"{shown}..." if len(text) > _SQL_CHARACTERS_MAX else shown
