"""When the reader looks next: pure, in nanoseconds of the reader's own clock."""

from __future__ import annotations

from typing import Final

from tabletd.heartbeat.beats import Beats

# Looks are tight around the moment at which a beat is expected and loose away from it.
_STEP_NS_MIN: Final = 1_000_000
_LATE_STEPS: Final = 10
_EARLY_STEPS: Final = 10


def next_look_ns(beats: Beats, interval_ns: int, now_ns: int) -> int | None:
    """Return when to look for the next beat; None: its time is not known.

    The first look comes just before the next beat should arrive, if it takes as long as the one
    before; looks that miss it follow each other, the later the rarer. A beat that takes longer
    than usual is so found with an error in proportion to that, and of a twentieth of the interval
    at most.

    Args:
        beats: what is known.
        interval_ns: of the heartbeats.
        now_ns: the present moment.
    """
    lag, seen = beats.beat_lag(), beats.seen_commit()
    if lag is None or seen is None:
        return None
    missing = beats.next_commit()
    if missing is None and now_ns > seen.low_ns + lag.middle_ns + 3 * interval_ns:
        return now_ns + interval_ns
    committed_ns = seen.low_ns + interval_ns if missing is None else missing.low_ns
    if now_ns < committed_ns:
        return committed_ns + min(max(_STEP_NS_MIN, _expected(lag.middle_ns)), interval_ns // 20)
    expected_ns = committed_ns + _expected(lag.middle_ns)
    if now_ns < expected_ns:
        return min(expected_ns, now_ns + max(_STEP_NS_MIN, interval_ns // _EARLY_STEPS))
    late_ns = now_ns - expected_ns
    return now_ns + min(max(_STEP_NS_MIN, late_ns), max(_STEP_NS_MIN, interval_ns // _LATE_STEPS))


def _expected(lag_ns: int) -> int:
    return max(0, lag_ns - _STEP_NS_MIN)
