"""What pt-online-schema-change says: progress, and the cause of a failure."""

from __future__ import annotations

import re
from typing import Final

from tabletd.executor.engines.base import EtaState, Progress

_COPYING: Final = re.compile(
    r"^Copying .*:\s+(?P<percent>\d+)% (?:(?P<days>\d+)\+)?(?P<clock>[\d:]+) remain", re.MULTILINE
)
_WAITING: Final = re.compile(r"^(?:Replica lag is|\(\d\) Replica|Pausing because) .*", re.MULTILINE)
_LOSS: Final = re.compile(r"Copying rows caused a MySQL error (?P<what>[^\n]+)")
_SWAPPING: Final = re.compile(r"^\S+ Swapping tables\.\.\.$", re.MULTILINE)
_AT_LINE: Final = re.compile(r" at \S*pt-online-schema-change line \d+\.?.*$")
_STATEMENT: Final = re.compile(r' \[for Statement ".*$')
_TIME: Final = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d ")
# The first of these, in this order of importance, says why; the rest is what followed from it.
_CAUSES: Final = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^tabletd: the tables are not swapped.*",
        r"(?<=^# )Exiting on SIG\w+",
        r"^.*Copying rows caused a MySQL error \d+:\n(?:\s+\S.*\n)*?\s+Message: .*",
        r"^.*Error (?:creating|altering|copying|swapping|updating|dropping|restoring) .*",
        r"^.*Cannot connect to MySQL: .*",
        r"^.*Lost connection to .*",
        r"^You are trying to add an unique key\..*",
        r"^--alter .*",
        r"^.*(?:does not have|has neither) a PRIMARY KEY.*",
        r"^.*Cannot chunk the original table .*",
        r"^The (?:original )?table .* (?:does not exist|has triggers).*",
        r"^You did not specify --alter-foreign-keys-method.*",
        r"^.*\bis (?:greater than|not safe).*",
        r"(?<=^  \* ).*",
        r"^Usage: .*",
        r"^cannot execute .*",
        r"^.*DBD::mysql.*",
        r"^.*DBI connect.*",
    )
)
_NOISE: Final = re.compile(
    r"was not altered|^Not |^To |^DROP |^Dropp|^\s|^Creat|^Alter|^Starting|^No slaves|^Ignoring|"
    r"^Will check|^Found|^Operation|^Exiting|^# |remain$|^\d{4}-.* (?:Dropp|Creat|Analyz|Copying)"
)


def parse_progress(text: str, stage_prefix: str, rows: int) -> Progress | None:
    """Read the last progress of an output; None when it has not begun to copy.

    Args:
        text: what the tool wrote.
        stage_prefix: begins the stage ("pt-osc").
        rows: the server's estimate of the table's rows.
    """
    last = None
    for match in _COPYING.finditer(text):
        last = match
    if last is None:
        return None
    percent = min(100, int(last["percent"]))
    waiting = None
    for match in _WAITING.finditer(text, last.end()):
        waiting = match
    eta_seconds = _seconds(last["days"], last["clock"])
    return Progress(
        stage=f"{stage_prefix}: {'throttled' if waiting else 'copying rows'}",
        rows_copied=rows * percent // 100,
        rows_estimated=rows,
        percent=float(percent),
        eta_seconds=eta_seconds,
        eta_state=EtaState.READY if eta_seconds else EtaState.DUE,
        throttle_reason=waiting.group(0) if waiting else "",
    )


def _seconds(days: str | None, clock: str) -> int:
    total = 0
    for part in clock.split(":"):
        total = total * 60 + int(part or 0)
    return int(days or 0) * 86400 + total


def losses(output: str) -> str:
    """Return what the tool says of rows that lost values; empty when it says nothing."""
    match = _LOSS.search(output)
    return f"MySQL error {match['what']}" if match else ""


def cut_over_attempts(output: str) -> int:
    """Return how often the tool was about to swap: once, with many attempts at the lock in it."""
    return len(_SWAPPING.findall(output))


def failure_cause(output: str) -> str:
    """Return the line that says why the tool failed, without its time, file and statement."""
    for pattern in _CAUSES:
        match = pattern.search(output)
        if match:
            return _tidy(match.group(0))
    lines = [line for line in output.splitlines() if line.strip() and not _NOISE.search(line)]
    return _tidy(lines[-1]) if lines else "it did not say why"


def _tidy(text: str) -> str:
    line = " ".join(part.strip() for part in text.splitlines())
    line = _TIME.sub("", line)
    line = _STATEMENT.sub("", line)
    return _AT_LINE.sub("", line).strip()
