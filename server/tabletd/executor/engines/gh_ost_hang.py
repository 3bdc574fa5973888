"""Tells a gh-ost that hangs from one that waits.

Seen with 1.1.10: an attempt to cut over times out, and from then on nothing is applied and no other
attempt is made, while its socket goes on answering.
"""

from __future__ import annotations

from typing import Final

from tabletd.executor.engines import gh_ost_status

_TIMED_OUT: Final = "imeout while waiting for events up to lock"


def has_timed_out(log_text: str) -> bool:
    """Say whether an attempt to cut over has timed out."""
    return _TIMED_OUT in log_text


def standstill(log_text: str, answer: str) -> str:
    """Return what stands still while gh-ost hangs; empty where it has a reason to wait.

    Args:
        log_text: the end of what it wrote.
        answer: what it answered to `sup`; empty when it did not.

    Returns:
        a text that changes as soon as anything goes on.
    """
    if not has_timed_out(log_text):
        return ""
    status = gh_ost_status.last_status(answer or log_text)
    if status is None:
        return ""
    is_behind = status.state.startswith("throttled, lag")
    is_throttled = status.state.startswith("throttled") and not is_behind
    if status.state.startswith("postponing") or is_throttled:
        return ""
    attempts = gh_ost_status.cut_over_attempts(log_text[log_text.rindex(_TIMED_OUT) :])
    # One that is behind applies nothing, but goes on reading.
    where = status.streamer if is_behind else ""
    return f"Applied: {status.applied}, {attempts} attempts since the time-out {where}".rstrip()
