"""GTID sets of MySQL: `uuid:1-5:7,uuid:1-3`, since MySQL 8.3 also with tags, `uuid:1-5:tag:1`."""

from __future__ import annotations

from collections import defaultdict

_Intervals = dict[str, list[tuple[int, int]]]


def union(*gtid_sets: str) -> str:
    """Return the union of GTID sets in the server's own way of writing.

    Raises:
        ValueError: a text that is no GTID set.
    """
    intervals: _Intervals = defaultdict(list)
    for gtid_set in gtid_sets:
        for part in "".join(gtid_set.split()).split(","):
            if part:
                _add(intervals, part)
    return ",".join(f"{key}:{_written(found)}" for key, found in sorted(intervals.items()))


def _add(intervals: _Intervals, part: str) -> None:
    source, *words = part.split(":")
    key = source.lower()
    if not words:
        raise ValueError(f"{part!r} is no GTID set")
    for word in words:
        if not word[:1].isdigit():
            key = f"{source.lower()}:{word.lower()}"
            continue
        first, _, last = word.partition("-")
        intervals[key].append((int(first), int(last or first)))


def _written(intervals: list[tuple[int, int]]) -> str:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return ":".join(str(a) if a == b else f"{a}-{b}" for a, b in merged)
