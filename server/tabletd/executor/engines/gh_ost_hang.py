"""Tells a gh-ost that hangs from one that waits.

Seen with 1.1.10: an attempt to cut over times out, and from then on nothing is applied and no other
attempt is made, while its socket goes on answering.
"""

from __future__ import annotations

import re
from typing import Final

_TIMED_OUT: Final = "imeout while waiting for events up to lock"
_ATTEMPT: Final = re.compile(r"Locking `|Grabbing voluntary lock")
_STATUS: Final = re.compile(
    r"Applied: (?P<applied>\d+); .*?streamer: (?P<streamer>[^;]*);.*? State: (?P<state>.*?); ETA: "
)


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
    last = None
    for match in _STATUS.finditer(answer or log_text):
        last = match
    if last is None:
        return ""
    state = last["state"]
    is_behind = state.startswith("throttled, lag")
    if state.startswith("postponing") or (state.startswith("throttled") and not is_behind):
        return ""
    attempts = len(_ATTEMPT.findall(log_text, log_text.rindex(_TIMED_OUT)))
    # One that is behind applies nothing, but goes on reading.
    where = last["streamer"] if is_behind else ""
    return f"Applied: {last['applied']}, {attempts} attempts since the time-out {where}".rstrip()
