"""Tells a gh-ost that hangs from one that waits.

Seen with 1.1.10: an attempt to cut over does not succeed, and from then on nothing is applied and
no other attempt is made, while its socket goes on answering. And one that gave its migration up,
and should end within seconds, may not come to its end.
"""

from __future__ import annotations

import re
from typing import Final

from tabletd.executor.engines import gh_ost_status
from tabletd.executor.engines.tool import Standstill

_ABORTED: Final = re.compile(r"^\S+ \S+ ERROR migration aborted: (.*)$", re.M)


def aborted(log_text: str) -> Standstill | None:
    """Return why gh-ost has given the migration up; None when it has not.

    Args:
        log_text: the end of what it wrote.
    """
    match = _ABORTED.search(log_text)
    return Standstill("after it had given up", match[1]) if match else None


def standstill(log_text: str, answer: str) -> Standstill | None:
    """Return what stands still while gh-ost hangs; None where it has a reason to wait.

    Args:
        log_text: the end of what it wrote.
        answer: what it answered to `sup`; empty when it did not.
    """
    attempts = gh_ost_status.cut_over_attempts(log_text)
    status = gh_ost_status.last_status(answer or log_text)
    if not attempts or status is None:
        return None
    is_behind = status.state.startswith("throttled, lag")
    is_throttled = status.state.startswith("throttled") and not is_behind
    if status.state.startswith("postponing") or is_throttled:
        return None
    # One that is behind applies nothing, but goes on reading.
    where = status.streamer if is_behind else ""
    still = f"Applied: {status.applied}, attempts: {attempts} {where}".rstrip()
    return Standstill(f"after an attempt to cut over ({still})")
