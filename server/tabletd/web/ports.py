"""What the pages ask of the components."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tabletd.heartbeat.lag import Lag
from tabletd.tablet import Health, HealthClass, TabletAlias
from tabletd.telemetry.vars import Registry
from tabletd.throttler import CheckResult, Scope
from tabletd.vtctld.shard_lag import TabletLag


class StatusReports(Protocol):
    """Takes what a running tool says about its migration."""

    async def on_schema_migration_status(
        self,
        migration_uuid: str,
        status: str,
        dry_run: bool,
        progress: float,
        /,
        *,
        token: str | None = None,
        eta_seconds: int | None = None,
        rows_copied: int | None = None,
    ) -> None: ...


class ThrottlerPort(Protocol):
    """Says whether an app may go on."""

    def check(
        self, app: str, /, *, low_priority: bool = False, scope: Scope | None = None
    ) -> CheckResult: ...


class TabletView(Protocol):
    """The tablet as the pages show it."""

    @property
    def alias(self) -> TabletAlias: ...
    @property
    def keyspace(self) -> str: ...
    @property
    def shard(self) -> str: ...
    @property
    def health(self) -> Health: ...
    @property
    def health_class(self) -> HealthClass: ...
    @property
    def lag(self) -> Lag: ...


@dataclass(frozen=True)
class WebPorts:
    """Everything that the HTTP side shows or calls.

    Attributes:
        tablet: identity, role, health.
        reports: the queue of migrations.
        throttler: the answer behind `/throttler/check`.
        registry: what `/debug/vars` shows.
        metrics_page: what `/metrics` shows.
        metrics_content_type: and its media type.
        recent_migrations: the latest rows of the queue, newest first.
        mysql_address: the server beside us.
        lease_state: says which daemon acts for it.
        shard_lag: the lag of each tablet of the shard.
        version: of the daemon.
    """

    tablet: TabletView
    reports: StatusReports
    throttler: ThrottlerPort
    registry: Registry
    metrics_page: Callable[[], bytes]
    metrics_content_type: str
    recent_migrations: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]
    mysql_address: str
    lease_state: Callable[[], str]
    shard_lag: Callable[[], Awaitable[Sequence[TabletLag]]]
    version: str
