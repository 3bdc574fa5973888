"""The heartbeat of a primary: one row per shard, renewed at each tick."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from tabletd.clock import Clock
from tabletd.errors import LeaseNotHeld, NotWritable, Reason, TabletdError
from tabletd.heartbeat.beats import Beat
from tabletd.heartbeat.exchange import (
    Suspensions,
    WriterAnswer,
    WriterQuestion,
    Writing,
    new_series,
    steady_ns,
)
from tabletd.heartbeat.lag import NANOSECONDS_PER_SECOND
from tabletd.heartbeat.settings import HeartbeatSettings, WriteMode
from tabletd.heartbeat.sql import (
    BINLOG_FORMAT,
    LOCK_TABLE,
    LOCK_TABLE_AND_LEASE,
    UNLOCK_TABLE,
    UPSERT,
    UPSERT_IF_HELD,
    UPSERT_IF_WRITABLE,
)
from tabletd.heartbeat.ticker import Ticker
from tabletd.lease import Fence, raise_if_over
from tabletd.loops import ThrottledLogger
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.flavor import ServerInfo, server_info
from tabletd.mysql.pool import Pool
from tabletd.mysql.replication import replication_status
from tabletd.mysql.session import Session
from tabletd.mysql.sidecar import ensure_sidecar
from tabletd.mysql.variables import is_read_only
from tabletd.telemetry.vars import Registry

# No such schema, table or column, or another number of columns: the sidecar is missing or old.
_SIDECAR_ERRNOS: Final = frozenset({1049, 1054, 1136, 1146})
# A reader that asks each second misses none, and one that comes anew knows the last minutes.
_BEATS_KEPT_MAX: Final = 1024
# Creating tables may take longer than a beat, and happens once.
_SIDECAR_SECONDS_MAX: Final = 10.0

_logger = logging.getLogger(__name__)


class Writer:
    """Writes heartbeats while it is open; never on a replica, never under `read_only`.

    Args:
        pool: one connection to the server beside us, for nobody else.
        settings: whose heartbeat, how often.
        clock: the wall clock that the heartbeats carry, and the schedule's own.
        registry: gets `HeartbeatWrites` and `HeartbeatWriteErrors`.
        on_not_writable: told when a beat finds that the server takes no writes (any more).
        fence: no beat is written, and none is missed, while this daemon may not act for its
            server; None: there is no other daemon.
        suspensions: tells when this machine stood still: no reader may go on with our clock.
    """

    def __init__(
        self,
        pool: Pool,
        settings: HeartbeatSettings,
        *,
        clock: Clock,
        registry: Registry,
        on_not_writable: Callable[[], None],
        fence: Fence | None = None,
        suspensions: Suspensions | None = None,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._clock = clock
        self._on_not_writable = on_not_writable
        self._fence = fence
        self._ticker = Ticker(settings.interval_seconds, self.write, clock)
        self._writes = registry.counter("HeartbeatWrites", "heartbeats written")
        self._errors = registry.counter("HeartbeatWriteErrors", "heartbeats that failed")
        self._log = ThrottledLogger("HeartbeatWriter", logger=_logger, clock=clock)
        self._connection_id = 0
        self._server: ServerInfo | None = None
        self._binlog_is_statements = False
        self._suspensions = suspensions or Suspensions()
        self._series = new_series()
        self._sequence = 0
        self._beats: deque[Beat] = deque(maxlen=_BEATS_KEPT_MAX)
        self._wanted_until = clock.monotonic_seconds()

    @property
    def is_open(self) -> bool:
        """Whether heartbeats are being written."""
        return self._ticker.is_started

    def open(self) -> None:
        """Begin to write, the first beat at once; nothing happens when it is open."""
        if self._settings.writes is not WriteMode.OFF:
            self.want()
            self._ticker.start(at_once=True)

    def want(self) -> None:
        """Take note that somebody needs heartbeats: on demand they are written for a while."""
        was_wanted = self._is_wanted()
        self._wanted_until = self._clock.monotonic_seconds() + self._settings.lease_seconds
        if not was_wanted:
            self._ticker.step_now()

    def written(self) -> tuple[int, Sequence[Beat]]:
        """Return the present series of beats, and the newest of them, the oldest first."""
        return self._series, self._beats

    def answer(
        self, question: WriterQuestion, received_ns: int, position: str = ""
    ) -> WriterAnswer:
        """Tell a reader the time here and what was written.

        Args:
            question: what it knows already.
            received_ns: when the question came, on our monotonic clock.
            position: of our server since then; empty: not asked for.
        """
        if question.want_heartbeats:
            self.want()
        knows = question.after_sequence if question.after_series == self._series else 0
        return WriterAnswer(
            received_ns=received_ns,
            sent_ns=steady_ns(self._clock),
            series=self._series,
            writing=self._writing(),
            interval_ns=round(self._settings.interval_seconds * NANOSECONDS_PER_SECOND),
            beats=tuple(beat for beat in self._beats if beat.sequence > knows),
            position=position,
        )

    def _writing(self) -> Writing:
        if not self.is_open:
            return Writing.NONE
        return Writing.REGULARLY if self._is_wanted() else Writing.IDLE

    def _is_wanted(self) -> bool:
        """Return whether a beat that is due is to be written."""
        if self._settings.writes is WriteMode.ON_DEMAND:
            return self._clock.monotonic_seconds() <= self._wanted_until
        return True

    async def close(self) -> None:
        """Write no more: on return no statement is on its way."""
        await self._ticker.stop()

    async def run(self) -> None:
        """Write when open; never returns."""
        await self._ticker.run()

    async def write(self) -> None:
        """Write one heartbeat within a second; a failure is counted and logged."""
        if self._fence is not None and not self._fence.is_held:
            return
        if not self._is_wanted():
            return
        try:
            await self._write_or_create()
        except LeaseNotHeld as error:
            _logger.info("no heartbeat is written: %s", error)
        except TabletdError as error:
            self._errors.add()
            self._log.error(str(error))
            if isinstance(error, NotWritable):
                self._on_not_writable()
        else:
            self._writes.add()

    async def _write_or_create(self) -> None:
        try:
            await self._write_once()
        except MySQLError as error:
            if error.errno not in _SIDECAR_ERRNOS:
                raise
            await self._create_sidecar(error)
            await self._write_once()

    async def _create_sidecar(self, cause: MySQLError) -> None:
        try:
            async with self._pool.session(
                timeout_seconds=_SIDECAR_SECONDS_MAX, writable=True
            ) as session:
                await ensure_sidecar(session)
        except NotWritable:
            raise
        except TabletdError as error:
            raise TabletdError(
                error.reason, f"{cause.message}; and the sidecar schema cannot be made: {error}"
            ) from error

    async def _write_once(self) -> None:
        limit_seconds = self._settings.statement_seconds_max
        try:
            async with (
                asyncio.timeout(limit_seconds),
                self._pool.session(timeout_seconds=limit_seconds) as session,
            ):
                server = await self._look_at(session)
                # A replica may be writable; what we wrote there would never be on its primary.
                if await replication_status(session, server) is not None:
                    raise NotWritable("the MySQL server is a replica: no heartbeat is written")
                await self._upsert(session)
        except TimeoutError:
            raise TabletdError(
                Reason.TIMEOUT, f"the heartbeat was not written within {limit_seconds:g} s"
            ) from None

    async def _look_at(self, session: Session) -> ServerInfo:
        """Return what the server is; asked once for each connection."""
        if self._server is None or session.connection_id != self._connection_id:
            self._server = await server_info(session)
            found = (await session.execute(BINLOG_FORMAT)).rows
            self._binlog_is_statements = bool(found) and found[0][1] == "STATEMENT"
            self._connection_id = session.connection_id
        return self._server

    async def _upsert(self, session: Session) -> None:
        if self._suspensions.noticed():
            self._series = new_series()
            self._beats.clear()
        self._sequence += 1
        series, sequence = self._series, self._sequence
        sent_ns = steady_ns(self._clock)
        renewed = (self._settings.tablet_uid, self._clock.wall_ns(), series, sequence, sent_ns)
        values = (self._settings.keyspace_shard, *renewed, *renewed)
        if self._binlog_is_statements:
            await _upsert_under_lock(session, values, self._fence)
        elif self._fence is not None:
            await _upsert_if_held(session, values, self._fence)
        elif (await session.execute(UPSERT_IF_WRITABLE, values)).rows_affected == 0:
            raise NotWritable
        self._beats.append(Beat(sequence, sent_ns, steady_ns(self._clock)))


async def _upsert_if_held(session: Session, values: tuple[str | int, ...], fence: Fence) -> None:
    term = fence.check()
    all_values = (*values[:6], *term.values, *values[6:])
    if (await session.execute(UPSERT_IF_HELD, all_values)).rows_affected == 0:
        await raise_if_over(session, fence, term)
        raise NotWritable


async def _upsert_under_lock(
    session: Session, values: tuple[str | int, ...], fence: Fence | None
) -> None:
    """Write where the statement itself must not ask for `read_only`, or for the lease.

    `SET GLOBAL read_only`, and who takes the lease, wait for the table locks, so what was found
    stays true until the end.
    """
    await session.execute(LOCK_TABLE if fence is None else LOCK_TABLE_AND_LEASE)
    try:
        if await is_read_only(session):
            raise NotWritable
        if fence is not None:
            await raise_if_over(session, fence, fence.check())
        await session.execute(UPSERT, values)
    except BaseException:
        session.drop_afterwards()
        raise
    await session.execute(UNLOCK_TABLE)
