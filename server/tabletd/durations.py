"""Durations as Go and Vitess write them: `15s`, `1h30m`, `250ms`."""

from __future__ import annotations

import re
from typing import Final

from tabletd.errors import Reason, TabletdError

UNIT_SECONDS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_WHOLE: Final = re.compile(rf"(-)?((?:{_PART.pattern})+|0)")
_CHARACTERS_MAX: Final = 40
SECONDS_MAX: Final = 100 * 365 * 24 * 3600.0


def parse_duration(text: str) -> float:
    """Return a duration in seconds.

    Args:
        text: numbers with units (ns, us, ms, s, m, h), or 0; a minus may stand before them.

    Raises:
        TabletdError: INVALID_REQUEST for anything else, and for more than a hundred years.
    """
    match = _WHOLE.fullmatch(text) if len(text) <= _CHARACTERS_MAX else None
    if match is None:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"invalid duration {text[:_CHARACTERS_MAX]!r}",
            hint="write for example 15s, 250ms or 1h30m",
        )
    seconds = sum(float(number) * UNIT_SECONDS[unit] for number, unit in _PART.findall(match[2]))
    if seconds > SECONDS_MAX:
        raise TabletdError(
            Reason.INVALID_REQUEST, f"the duration {text!r} is longer than a hundred years"
        )
    return -seconds if match[1] else seconds
