"""Lag and the state of replication by the server's own account (SHOW REPLICA STATUS)."""

from __future__ import annotations

from dataclasses import replace

from tabletd.clock import Clock
from tabletd.heartbeat.lag import NANOSECONDS_PER_SECOND, Lag, LagMethod, LagState
from tabletd.mysql.replication import NOT_RUNNING, ReplicationStatus, stopped_error


class Poller:
    """Keeps what the tablet's regular look at the server found about replication.

    It asks nothing itself: the same look tells the role of the server, so it is made once for all.

    Args:
        clock: the monotonic clock that lag grows by while replication does not run.
        age_seconds_max: a status older than this is stale.
    """

    def __init__(self, clock: Clock, *, age_seconds_max: float) -> None:
        self._clock = clock
        self._age_seconds_max = age_seconds_max
        self._noted_monotonic: float | None = None
        self._measured: Lag | None = None
        self._stopped_since: float | None = None
        self._stopped_error = ""
        self._failure = ""

    def note(self, status: ReplicationStatus | None) -> None:
        """Take the newest status.

        Args:
            status: None when the server is no replica.
        """
        now = self._clock.monotonic_seconds()
        self._noted_monotonic = now
        self._failure = ""
        self._stopped_error = stopped_error(status)
        if self._stopped_error:
            self._stopped_since = now if self._stopped_since is None else self._stopped_since
            return
        self._stopped_since = None
        if status is not None and status.lag_seconds is not None:
            lag_ns = int(status.lag_seconds * NANOSECONDS_PER_SECOND)
            self._measured = Lag(
                LagState.MEASURED, lag_ns, now, lower_ns=lag_ns, method=LagMethod.SERVER
            )

    def note_failure(self, error: str) -> None:
        """Take note that the server could not be asked."""
        self._failure = error

    def forget(self) -> None:
        """Start anew, as after a change of role."""
        self._measured = None
        self._noted_monotonic = None
        self._stopped_since = None
        self._stopped_error = ""
        self._failure = ""

    def status(self) -> Lag:
        """Return the lag that the server states; while it states none, the last one and its age."""
        now = self._clock.monotonic_seconds()
        if self._measured is None:
            return self.if_stopped(Lag(LagState.UNKNOWN, error=self._failure or NOT_RUNNING))
        measured = self._measured.measured_monotonic or 0.0
        if self._noted_monotonic == measured and not self._failure:
            lag = self._measured
        else:
            passed_ns = int((now - measured) * NANOSECONDS_PER_SECOND)
            lag = replace(self._measured, lag_ns=(self._measured.lag_ns or 0) + passed_ns)
        noted = self._noted_monotonic or 0.0
        if self._failure or now - noted > self._age_seconds_max:
            error = self._failure or "the state of replication was not read for too long"
            return replace(lag, state=LagState.STALE, since_monotonic=noted, error=error)
        return self.if_stopped(lag)

    def if_stopped(self, lag: Lag) -> Lag:
        """Return the lag marked as stopped while replication is; stale stays stale: it is worse."""
        if self._stopped_since is None or lag.state is LagState.STALE:
            return lag
        return replace(
            lag,
            state=LagState.STOPPED,
            since_monotonic=self._stopped_since,
            error=self._stopped_error,
        )
