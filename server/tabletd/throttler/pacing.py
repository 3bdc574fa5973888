"""The smooth pause: a tool goes the slower, the nearer the lag is to its threshold.

A check that is yes up to the threshold and no above it lets a tool fill the replica's relay log at
full speed until the threshold is met; what was written by then is still to be applied, so that the
lag grows to a multiple, and then the tool rests for as long. Here the share of its checks that an
app passes falls on a straight line from all, at `KNEE` of the threshold, to none, at the threshold;
once it is slowed down, a check that passes is followed by one at least that does not. Somewhere on
the line what is let through equals what the replica applies, and there it stays: the replica never
runs out of work, and the lag does not reach the threshold.

The line has no memory, so there is nothing to wind up or to tune: what a controller would have to
learn, how much the replica can take, is the place on the line where it comes to rest.
"""

from __future__ import annotations

from typing import Final

# Below this share of the threshold everybody goes on. Lower: a replica could idle between two
# looks at its lag. Higher: the line is so steep that the lag, which tells of what was written a
# while ago, swings about its place.
KNEE: Final = 0.2
# Pieces of an app's name that is paced: our own tools, which ask again and again. Whoever asks once
# wants to know whether the threshold is kept.
PACED_APPS: Final = frozenset({"online-ddl", "tabletd"})
_APPS_MAX: Final = 256
_NEW_APP_REFUSED: Final = 100


def share(lag_seconds: float, threshold_seconds: float) -> float:
    """Return the share of its checks that an app passes, 1 up to the knee, 0 from the threshold on.

    Args:
        lag_seconds: the worst that is known, its lower bound.
        threshold_seconds: above 0.
    """
    room = (threshold_seconds - lag_seconds) / (threshold_seconds * (1 - KNEE))
    return min(1.0, max(0.0, room))


class Pacer:
    """Spreads the checks that pass: one of an app's passes when enough were refused before it."""

    def __init__(self) -> None:
        # Refusals since the last check that passed; the app that asked last is at the end.
        self._refused: dict[str, int] = {}

    def admits(self, app: str, share_now: float) -> bool:
        """Say whether this check of an app passes.

        Args:
            app: its name.
            share_now: see `share`; of its reciprocal, rounded up, one check passes.
        """
        # An app that is new here passes at once, unless hardly any check does.
        refused = self._refused.pop(app, _NEW_APP_REFUSED)
        if share_now >= 1:
            return True
        passes = (refused + 1) * share_now >= 1
        self._refused[app] = 0 if passes else refused + 1
        if len(self._refused) > _APPS_MAX:
            del self._refused[next(iter(self._refused))]
        return passes
