"""What gh-ost says: status lines, attempts to cut over, and the cause of a failure."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tabletd.executor.engines.base import CutOver, EtaState, Progress

_STATUS: Final = re.compile(
    r"Copy: (?P<copied>\d+)/(?P<estimated>-?\d+) (?P<percent>[\d.]+)%; "
    r"Applied: (?P<applied>\d+); Backlog: (?P<backlog>\d+)/\d+; "
    r".*?streamer: (?P<streamer>[^;]*); .*HeartbeatLag: (?P<lag_seconds>[\d.]+)s, "
    r"State: (?P<state>.*?); ETA: (?P<eta>\S+)"
)
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_CUT_OVER: Final = re.compile(r"^\S+ \S+ INFO (?:Grabbing voluntary lock: |Locking [^,]+$)", re.M)
_LOG_PREFIX: Final = re.compile(r"^\S+ \S+ (?:FATAL|ERROR) ")
_BEFORE_THE_USAGE: Final = (
    "panic:",
    "flag provided",
    "flag needs",
    "invalid value",
    "invalid boolean",
    "cannot execute",
)
_WARNINGS: Final = re.compile(r" because of SQL warnings: \[(?P<warnings>.*)\]$", re.M)
_WARNING_CODE: Final = re.compile(r"\((\d{4})\)(?= Warning: |$)")
_TWICE: Final = re.compile(r"Duplicate entry '.*?' for key '(?:[^'.]*\.)?(?P<key>[^'.]*)'")
_DUPLICATE: Final = "1062"
_ANSWER_SECONDS_MAX: Final = 3.0
_ANSWER_BYTES_MAX: Final = 64 * 1024
_POSTPONING: Final = "postponing cut-over"
# Behind by more, gh-ost would not cut over when it is let go, but first catch up.
_READY_LAG_SECONDS_MAX: Final = 10.0


async def ask(socket_file: Path, command: str) -> str:
    """Send one command to gh-ost's socket and return the answer; empty when nobody answers.

    The path is gone through the directory's descriptor, since a socket's address holds 107 bytes.
    """
    try:
        directory = os.open(socket_file.parent, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return ""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            path = f"/proc/self/fd/{directory}/{socket_file.name}"
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(f"{command}\n".encode())
                answer = await reader.read(_ANSWER_BYTES_MAX)
            finally:
                writer.close()
        return answer.decode(errors="replace")
    except (OSError, TimeoutError):
        return ""
    finally:
        os.close(directory)


@dataclass(frozen=True, slots=True)
class Status:
    """A status line.

    Attributes:
        rows_copied: so far.
        rows_estimated: of the table; negative where gh-ost has no estimate.
        percent: of the rows, by that estimate.
        applied: changes of the table carried over from the binary log.
        backlog: changes read from it and not applied yet.
        streamer: how far it is read: `file:offset`, or with --gtid a set of transactions.
        lag_seconds: age of the last of its own heartbeats that it has read.
        state: "migrating", "postponing cut-over", "throttled, ..." and others.
        eta: "due", "N/A" or a duration.
    """

    rows_copied: int
    rows_estimated: int
    percent: float
    applied: int
    backlog: int
    streamer: str
    lag_seconds: float
    state: str
    eta: str


def last_status(text: str) -> Status | None:
    """Read the last status line of a text; None when there is none.

    Args:
        text: an answer of the socket, or a log.
    """
    last = None
    for match in _STATUS.finditer(text):
        last = match
    if last is None:
        return None
    return Status(
        rows_copied=int(last["copied"]),
        rows_estimated=int(last["estimated"]),
        percent=float(last["percent"]),
        applied=int(last["applied"]),
        backlog=int(last["backlog"]),
        streamer=last["streamer"],
        lag_seconds=float(last["lag_seconds"]),
        state=last["state"],
        eta=last["eta"],
    )


def parse_status(text: str, stage_prefix: str) -> Progress | None:
    """Say by the last status line of a text how far gh-ost is; None when there is none.

    Args:
        text: an answer of the socket, or a log.
        stage_prefix: begins the stage ("gh-ost").
    """
    status = last_status(text)
    if status is None:
        return None
    eta_state, eta_seconds = parse_eta(status.eta)
    state = status.state
    throttled = state.removeprefix("throttled, ") if state.startswith("throttled") else ""
    is_held = state == _POSTPONING and status.lag_seconds <= _READY_LAG_SECONDS_MAX
    stage = state
    if throttled:
        stage = "throttled"
    elif state == _POSTPONING and not is_held:
        stage = "catching up"
    elif state == "migrating":
        stage = "cutting over" if eta_state is EtaState.DUE else "copying rows"
    return Progress(
        stage=f"{stage_prefix}: {stage}",
        rows_copied=status.rows_copied,
        rows_estimated=max(0, status.rows_estimated),
        percent=min(100.0, status.percent),
        eta_seconds=eta_seconds,
        eta_state=eta_state,
        throttle_reason=throttled,
        backlog=status.backlog,
        cut_over=CutOver.HELD if is_held else CutOver.AHEAD,
    )


def parse_eta(text: str) -> tuple[EtaState, int]:
    """Read gh-ost's ETA: `due`, `N/A`, or a duration such as `1h2m3s`."""
    if text == "due":
        return EtaState.DUE, 0
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return EtaState.MEASURING, -1
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return EtaState.READY, int(hours * 3600 + minutes * 60 + seconds)


def cut_over_attempts(output: str) -> int:
    """Return how often gh-ost has begun to lock the table for its cut-over."""
    return len(_CUT_OVER.findall(output))


def key_met_twice(output: str) -> tuple[str, str]:
    """Return the unique key and the words of its value that gh-ost met twice and ended for.

    Both are empty when it ended for something else, or for something else too.
    """
    found = _WARNINGS.search(output)
    if found is None or set(_WARNING_CODE.findall(found["warnings"])) != {_DUPLICATE}:
        return "", ""
    twice = _TWICE.search(found["warnings"])
    return (twice["key"], twice[0]) if twice is not None else ("", "")


def failure_cause(output: str) -> str:
    """Return the line that says why gh-ost failed, without its time and level.

    That is the last FATAL one; a stack trace of Go may follow it. Without one, the last ERROR, or
    else the last line that says anything.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for level in (" FATAL ", " ERROR "):
        found = [line for line in lines if level in line and _LOG_PREFIX.match(line)]
        if found:
            return _LOG_PREFIX.sub("", found[-1])
    for line in lines:
        if line.startswith(_BEFORE_THE_USAGE):
            return line
    return lines[-1] if lines else "it wrote nothing"
