"""Numbers and times in the words that people read and write."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_DURATION: Final = re.compile(
    r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.IGNORECASE
)
_KIB: Final = 1024


def parse_duration(text: str) -> timedelta:
    """Return a span of time written as `90s`, `10m`, `1h30m` or `7d`.

    Raises:
        ValueError: it is written otherwise, or is nothing.
    """
    match = _DURATION.fullmatch(text.strip())
    days, hours, minutes, seconds = match.groups() if match else (None,) * 4
    span = timedelta(
        days=int(days or 0),
        hours=int(hours or 0),
        minutes=int(minutes or 0),
        seconds=float(seconds or 0),
    )
    if not span:
        raise ValueError(f"{text!r} is no time: 90s, 10m, 1h30m, 7d")
    return span


def seconds_text(seconds: float) -> str:
    """Return a span of time in its two largest units: `45s`, `2m05s`, `3h20m`, `4d01h`."""
    if 0 < seconds < 1:
        return f"{seconds:.1f}s"
    total = round(seconds)
    for size, unit, smaller, name in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if total >= size:
            return f"{total // size}{unit}{total % size // smaller:02d}{name}"
    return f"{total}s"


def bytes_text(count: int) -> str:
    """Return a size in its largest unit: `812 B`, `4.2 MiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < _KIB:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= _KIB
    return f"{size:.1f} TiB"
