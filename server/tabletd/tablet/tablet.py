"""The tablet: follows its server, tells its parts their role and the world its health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from tabletd.clock import Clock
from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.heartbeat.lag import NANOSECONDS_PER_SECOND, Lag
from tabletd.heartbeat.repl_tracker import ReplTracker
from tabletd.lease import Lease
from tabletd.loops import pause
from tabletd.mysql.errors import ConnectionRefused
from tabletd.mysql.flavor import ServerInfo, server_info
from tabletd.mysql.pool import Pool
from tabletd.tablet.health import UNINITIALIZED, Health, HealthClass, assess, health_class
from tabletd.tablet.identity import TabletAlias, TabletType
from tabletd.tablet.request import Request
from tabletd.tablet.role import Role, ServerState, look_at_server
from tabletd.tablet.role_listeners import RoleListener, RoleListeners
from tabletd.tablet.settings import TabletSettings
from tabletd.tablet.streams import HealthStreams, Subscription
from tabletd.telemetry.vars import Registry

_NOT_CONNECTED, _NOT_SERVING, _SERVING = range(3)
# Longer than one look at a server that hangs, so that the caller hears of that.
_REQUEST_SECONDS_MAX = 10.0

_logger = logging.getLogger(__name__)


class Tablet:
    """One MySQL or MariaDB server as a tablet.

    All changes of role are made by the one task in `run`; an operator's requests are put to it and
    waited for, so a caller that goes away leaves nothing half done.

    Args:
        alias: the name of the tablet.
        keyspace: what it belongs to.
        shard: of the keyspace.
        database: schema of the keyspace on the server.
        pool: connections to the server.
        repl_tracker: measures lag; told of role changes before all listeners.
        listeners: told in this order when the tablet becomes primary, in the reverse order when it
            stops being one or closes.
        settings: thresholds and intervals.
        registry: gets `TabletState`, `TabletStateName` and `TabletType`.
        clock: wall and monotonic time.
        lease: told of role changes before all others; None: there is no other daemon.
    """

    def __init__(
        self,
        *,
        alias: TabletAlias,
        keyspace: str,
        shard: str,
        database: str,
        pool: Pool,
        repl_tracker: ReplTracker,
        listeners: Sequence[RoleListener],
        settings: TabletSettings,
        registry: Registry,
        clock: Clock,
        lease: Lease | None = None,
    ) -> None:
        self.alias = alias
        self.keyspace = keyspace
        self.shard = shard
        self.database = database
        self._pool = pool
        self._tracker = repl_tracker
        self._lease = lease
        first: tuple[RoleListener, ...] = (lease,) if lease is not None else ()
        self._listeners = RoleListeners((*first, repl_tracker, *listeners))
        self._settings = settings
        self._clock = clock
        self._role = Role(settings.type)
        self._streams = HealthStreams(settings.subscriber_buffer_max)
        self._health = UNINITIALIZED
        self._told_monotonic = float("-inf")
        self._type = TabletType.UNKNOWN
        self._former_type = TabletType.UNKNOWN
        self._changed_monotonic = float("-inf")
        self._server_error = ""
        self._server_state: ServerState | None = None
        self._server: ServerInfo | None = None
        self._term_start_seconds = 0
        self._requests: list[Request] = []
        self._wake = asyncio.Event()
        self._stepping = asyncio.Lock()
        self._is_stopping = False
        repl_tracker.on_not_writable = self._wake.set
        registry.gauge("TabletState", "0 not connected, 1 not serving, 2 serving", self._state)
        registry.gauge("TabletStateName", "SERVING or NOT_SERVING", self.state_name)
        registry.gauge("TabletType", "the type, in lower case", self._lower_type)

    @property
    def type(self) -> TabletType:
        """The present type; UNKNOWN until the server was seen."""
        return self._type

    @property
    def is_primary(self) -> bool:
        """Whether this tablet takes the writes of its shard."""
        return self._type is TabletType.PRIMARY

    @property
    def health(self) -> Health:
        """The state as it was last assessed, at most a second ago."""
        return self._health

    @property
    def health_class(self) -> HealthClass:
        """How a status page colours the tablet."""
        return health_class(self._health, self._settings)

    @property
    def lag(self) -> Lag:
        """The replication lag of this moment."""
        return self._tracker.status()

    @property
    def is_serving(self) -> bool:
        """Whether queries are answered."""
        return self._health.serving

    def accepts(self, tablet_type: TabletType) -> bool:
        """Return whether a query for a tablet of this type may be answered.

        That is the present type, and for the grace period after a promotion also the former one.
        """
        since_change = self._clock.monotonic_seconds() - self._changed_monotonic
        is_in_grace = self.is_primary and since_change < self._settings.serving_state_grace_seconds
        return tablet_type is self._type or (is_in_grace and tablet_type is self._former_type)

    def state_name(self) -> str:
        """Return `SERVING` or `NOT_SERVING`."""
        return self._health.state_name

    def subscribe(self) -> AbstractAsyncContextManager[Subscription]:
        """Receive the present health, then every broadcast.

        Raises:
            TabletdError: SHUTTING_DOWN when the tablet is stopping; in iteration also SLOW_READER.
        """
        return self._streams.subscribe(self._health)

    async def change_type(self, wanted: TabletType) -> None:
        """Give the tablet another type; it holds until the server contradicts it.

        Raises:
            TabletdError: READ_ONLY or NOT_PRIMARY when the server cannot be a primary,
                ILLEGAL_TRANSITION when it is drained already, INVALID_REQUEST for UNKNOWN, or what
                hindered the change.
        """
        await self._ask(Request(wanted, broadcast=True))

    async def refresh(self) -> None:
        """Look at the server now and follow what it is.

        Raises:
            TabletdError: the server cannot be asked.
        """
        await self._ask(Request(None, broadcast=False))

    async def run_health_check(self) -> None:
        """Look at the server now and broadcast the health, changed or not."""
        try:
            await self._ask(Request(None, broadcast=True))
        except TabletdError as error:
            _logger.warning("health check: %s", error)

    async def run(self) -> None:
        """Follow the server until `begin_shutdown`; one task of the application's group."""
        while not self._is_stopping:
            self._wake.clear()
            async with self._stepping:
                await self._step()
            await self._pause()

    def begin_shutdown(self) -> None:
        """Serve no more: broadcast that, and end all subscriptions."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self._publish(
            Health(self._type, False, self._health.lag_seconds, "tabletserver is shutdown")
        )
        self._streams.close()
        self._wake.set()
        for request in self._requests:
            request.finish(_stopping())

    async def stop(self) -> None:
        """Serve no more and close the parts, the executor first, the heartbeat last."""
        self.begin_shutdown()
        # A step that is under way may still be opening what is closed here.
        async with self._stepping:
            await self._listeners.close()

    async def _ask(self, request: Request) -> None:
        if self._is_stopping:
            raise _stopping()
        self._requests.append(request)
        self._wake.set()
        try:
            async with asyncio.timeout(_REQUEST_SECONDS_MAX):
                await request.done
        except TimeoutError:
            raise TabletdError(
                Reason.TIMEOUT,
                f"the tablet did not follow within {_REQUEST_SECONDS_MAX:g} s",
                hint="is its MySQL server answering?",
            ) from None

    async def _pause(self) -> None:
        until_broadcast = (
            self._told_monotonic
            + self._settings.health_check_interval_seconds
            - self._clock.monotonic_seconds()
        )
        seconds = min(self._settings.follow_interval_seconds, max(0.0, until_broadcast))
        await pause(seconds, self._wake)

    async def _step(self) -> None:
        """Look at the server, do what was asked, follow the role, tell the health."""
        requests, self._requests = self._requests, []
        look_error = await self._look()
        outcomes = [(request, self._take(request, look_error)) for request in requests]
        await self._follow()
        self._note_replication(look_error)
        self._tell(force=any(request.broadcast for request in requests))
        for request, error in outcomes:
            request.finish(error or self._listeners.failure)

    async def _look(self) -> TabletdError | None:
        limit_seconds = self._settings.look_seconds_max
        try:
            async with asyncio.timeout(limit_seconds):
                try:
                    await self._look_once()
                except ConnectionRefused:
                    raise
                except MySQLUnavailable:
                    # A connection that was ended says nothing about the server: try a new one.
                    self._server = None
                    await self._look_once()
        except TimeoutError:
            return self._lose_server(
                TabletdError(
                    Reason.TIMEOUT,
                    f"a look at the MySQL server took longer than {limit_seconds:g} s",
                    hint="is the server overloaded or frozen?",
                )
            )
        except TabletdError as error:
            return self._lose_server(error)
        self._server_error = ""
        return None

    async def _look_once(self) -> None:
        async with self._pool.session(timeout_seconds=self._settings.look_seconds_max) as session:
            if self._server is None:
                self._server = await server_info(session)
            self._server_state = await look_at_server(session, self._server)

    def _lose_server(self, error: TabletdError) -> TabletdError:
        # It may come back as another version.
        self._server = None
        self._server_state = None
        self._server_error = str(error)
        return error

    def _take(self, request: Request, look_error: TabletdError | None) -> TabletdError | None:
        wanted = request.wanted_type
        if wanted is None:
            return look_error
        if wanted is TabletType.DRAINED and self._type is TabletType.DRAINED:
            return TabletdError(
                Reason.ILLEGAL_TRANSITION, f"Tablet: {self.alias}, is already drained"
            )
        if wanted is TabletType.PRIMARY and look_error is not None:
            return look_error
        try:
            self._role.set_by_operator(wanted, self._server_state)
        except TabletdError as error:
            return error
        return None

    async def _follow(self) -> None:
        if self._is_stopping:
            return
        state = self._server_state
        wanted = self._role.follow(state) if state else self._role.without_server(self._type)
        if wanted is TabletType.UNKNOWN:
            return
        if wanted is TabletType.PRIMARY:
            await self._listeners.tell(is_primary=True)
            if not self._listeners.error:
                self._become(wanted)
        else:
            # Before the parts are told: nobody must take this for a primary any more.
            self._become(wanted)
            await self._listeners.tell(is_primary=False)

    def _become(self, wanted: TabletType) -> None:
        if wanted is self._type:
            return
        _logger.info("tablet type: %s -> %s", self._type, wanted)
        self._former_type, self._type = self._type, wanted
        self._changed_monotonic = self._clock.monotonic_seconds()
        now_seconds = self._clock.wall_ns() // NANOSECONDS_PER_SECOND
        self._term_start_seconds = now_seconds if self.is_primary else 0

    def _note_replication(self, look_error: TabletdError | None) -> None:
        if look_error is not None:
            self._tracker.note_failure(str(look_error))
        elif self._server_state is not None:
            self._tracker.note_replication(self._server_state.replication)

    def _tell(self, *, force: bool) -> None:
        """Broadcast the health if it changed, if that is due, or by force."""
        if self._is_stopping:
            return
        now = self._clock.monotonic_seconds()
        error = self._server_error or self._listeners.error
        if not error and self._server_state is not None:
            error = self._role.contradiction(self._server_state)
        health = assess(
            self._type,
            self._tracker.status(),
            self._settings,
            now_monotonic=now,
            server_error=error,
            primary_term_start_seconds=self._acting_since_seconds(),
            before=self._health,
        )
        due = now - self._told_monotonic >= self._settings.health_check_interval_seconds
        if force or due or health != self._health:
            self._publish(health)

    def _publish(self, health: Health) -> None:
        before, self._health = self._health, health
        if (before.type, before.serving, before.health_error) != (
            health.type,
            health.serving,
            health.health_error,
        ):
            level = logging.INFO if health.serving else logging.WARNING
            state = f"{health.type} {health.state_name} {health.health_error}".rstrip()
            _logger.log(level, "%s", state)
        self._told_monotonic = self._clock.monotonic_seconds()
        self._streams.publish(health)

    def _acting_since_seconds(self) -> int:
        """Return when this daemon's term as primary began, 0 while another one acts.

        Whoever looks for the primary then finds, of two daemons beside it, the one that acts.
        """
        if self._lease is None or self._term_start_seconds == 0:
            return self._term_start_seconds
        since = self._lease.since_seconds
        return max(self._term_start_seconds, since) if since else 0

    def _lower_type(self) -> str:
        return self._type.lower()

    def _state(self) -> int:
        """Return the number of the state; Vitess calls whatever is unhealthy not connected."""
        if self._health.serving:
            return _SERVING
        return _NOT_SERVING if self._is_stopping else _NOT_CONNECTED


def _stopping() -> TabletdError:
    return TabletdError(Reason.SHUTTING_DOWN, "tabletserver is shutdown")
