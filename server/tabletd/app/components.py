"""Every component, made from the configuration and tied to those that it needs."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from tabletd import __version__
from tabletd.admin.tablet_admin import TabletAdmin
from tabletd.clock import SystemClock
from tabletd.config import Config
from tabletd.errors import Reason, TabletdError
from tabletd.heartbeat.repl_tracker import ReplTracker
from tabletd.heartbeat.settings import HeartbeatSettings, TrackerMode, bounded_interval_seconds
from tabletd.mysql.pool import Pool
from tabletd.mysql.result import ResultSet
from tabletd.mysql.settings import MySQLSettings
from tabletd.tablet import Tablet, TabletAlias, TabletSettings, TabletType
from tabletd.telemetry.vars import Registry
from tabletd.throttler import Throttler
from tabletd.topology import ReplicaWatcher, WatcherSettings

logger = logging.getLogger(__name__)

_REMIND_SECONDS: Final = 60.0
# Operators' calls and VExec; the heartbeat has connections of its own and never waits for these.
_CALLS_POOL_SIZE: Final = 16
_ADMIN_POOL_SIZE: Final = 4
_EXECUTOR_POOL_SIZE: Final = 4


@dataclass(frozen=True)
class Address:
    """A host and a port that we listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def local_url(self) -> str:
        """How a program on this machine reaches it over HTTP."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{Address(host, self.port)}"


@dataclass(frozen=True)
class Components:
    """What the daemon consists of.

    Attributes:
        tablet: role and health.
        executor: the queue of migrations.
        throttler: the answer behind `/throttler/check`.
        admin: operators' statements.
        tracker: measures lag.
        watcher: the replicas' daemons.
        pools: connections, to be opened first and closed last.
        registry: the vars of all of them.
        mysql_address: the server beside us, for messages.
    """

    tablet: Tablet
    executor: Executor
    throttler: Throttler
    admin: TabletAdmin
    tracker: ReplTracker
    watcher: ReplicaWatcher
    pools: tuple[Pool, ...]
    registry: Registry
    mysql_address: str

    def background(self) -> tuple[tuple[str, Coroutine[Any, Any, None]], ...]:
        """Return what runs as long as the daemon, by name."""
        return (
            ("heartbeat", self.tracker.run()),
            ("replica watcher", self.watcher.run()),
            ("executor", self.executor.run()),
            ("tablet", self.tablet.run()),
            ("reminder", self._remind()),
        )

    async def _remind(self) -> None:
        """Say again why the tablet does not serve: the first line may be long gone."""
        while True:
            await asyncio.sleep(_REMIND_SECONDS)
            health = self.tablet.health
            if health.health_error:
                logger.warning("still %s: %s", health.state_name, health.health_error)

    def reload(self, config: Config) -> None:
        """Take over the settings that may change while running."""
        self.throttler.threshold_seconds = config.throttle_threshold


def build_components(config: Config, http: Address) -> Components:
    """Make everything; nothing is connected or started yet.

    Args:
        config: the settings.
        http: where the tools reach us.

    Raises:
        TabletdError: INVALID_CONFIG, a password's file cannot be read or the alias has no number.
    """
    clock, registry = SystemClock(), _process_registry()
    dba, app = _accounts(config)
    write_pool = Pool(dba, name="HeartbeatWritePool", size_max=1, registry=registry)
    read_pool = Pool(dba, name="HeartbeatReadPool", size_max=2, registry=registry)
    admin_pool = Pool(dba, name="AdminPool", size_max=_ADMIN_POOL_SIZE, registry=registry)
    dba_pool = Pool(dba, name="DbaPool", size_max=_CALLS_POOL_SIZE, raw=True, registry=registry)
    app_pool = Pool(app, name="AppPool", size_max=_CALLS_POOL_SIZE, raw=True, registry=registry)
    alias = _alias(config.tablet_alias)
    tracker = ReplTracker(
        write_pool=write_pool,
        read_pool=read_pool,
        settings=HeartbeatSettings(
            keyspace=config.keyspace,
            shard=config.shard,
            tablet_uid=alias.uid,
            mode=TrackerMode(config.replication_tracker_mode),
            interval_seconds=bounded_interval_seconds(config.heartbeat_interval),
        ),
        clock=clock,
        registry=registry,
    )
    watcher = ReplicaWatcher(
        WatcherSettings(
            addresses=config.replicas,
            keyspace=config.keyspace,
            shard=config.shard,
            health_check_interval_seconds=config.health_check_interval,
        ),
        clock=clock,
    )
    throttler = Throttler(
        own_lag=tracker.status,
        replica_lags=watcher.lags,
        clock=clock,
        threshold_seconds=config.throttle_threshold,
    )
    executor = Executor()
    tablet = Tablet(
        alias=alias,
        keyspace=config.keyspace,
        shard=config.shard,
        database=config.database,
        pool=read_pool,
        repl_tracker=tracker,
        listeners=[throttler, executor],
        settings=_tablet_settings(config),
        registry=registry,
        clock=clock,
    )
    return Components(
        tablet=tablet,
        executor=executor,
        throttler=throttler,
        admin=TabletAdmin(
            pool=admin_pool, dba_pool=dba_pool, app_pool=app_pool, database=config.database
        ),
        tracker=tracker,
        watcher=watcher,
        pools=(write_pool, read_pool, admin_pool, dba_pool, app_pool),
        registry=registry,
        mysql_address=dba.address,
    )


def _accounts(config: Config) -> tuple[MySQLSettings, MySQLSettings]:
    """Return how the daemon and how the application log in."""

    def settings(user: str, password: str) -> MySQLSettings:
        return MySQLSettings(
            host=config.mysql_host,
            port=config.mysql_port,
            unix_socket=None if config.mysql_socket is None else str(config.mysql_socket),
            user=user,
            password=password,
            connect_timeout_seconds=config.mysql_connect_timeout,
        )

    dba = settings(config.mysql_user, config.secret("mysql_password"))
    if config.mysql_app_user is None:
        return dba, dba
    return dba, settings(config.mysql_app_user, config.secret("mysql_app_password"))


def _alias(text: str) -> TabletAlias:
    cell, _, uid = text.rpartition("-")
    return TabletAlias(cell, int(uid))


def _tablet_settings(config: Config) -> TabletSettings:
    types = {"auto": None, "primary": TabletType.PRIMARY, "replica": TabletType.REPLICA}
    return TabletSettings(
        type=types[config.tablet_type],
        health_check_interval_seconds=config.health_check_interval,
        degraded_threshold_seconds=config.degraded_threshold,
        unhealthy_threshold_seconds=config.unhealthy_threshold,
        replication_stopped_grace_seconds=config.replication_stopped_grace,
        serving_state_grace_seconds=config.serving_state_grace_period,
    )


def _process_registry() -> Registry:
    registry = Registry()
    started = time.monotonic()
    registry.gauge("BuildVersion", "version of tabletd", lambda: __version__)
    registry.gauge("Pid", "process id", os.getpid)
    registry.gauge("UptimeSeconds", "seconds since the start", lambda: time.monotonic() - started)
    return registry


class Executor:  # TEMPORARY until executor.executor lands
    async def run(self) -> None:
        await asyncio.Event().wait()

    async def make_primary(self) -> None: ...
    async def make_non_primary(self) -> None: ...
    async def close(self) -> None: ...
    async def vexec(self, query: str) -> ResultSet:
        raise TabletdError(Reason.INTERNAL, "no executor yet")

    async def on_schema_migration_status(self, *a: Any, **k: Any) -> None: ...
