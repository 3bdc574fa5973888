"""Stand-ins for the components behind the HTTP side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tabletd.errors import TabletdError
from tabletd.heartbeat.lag import NO_LAG, Lag
from tabletd.tablet import Health, HealthClass, TabletAlias, TabletType
from tabletd.telemetry.vars import Registry
from tabletd.throttler import CheckResult, ResponseCode, Scope
from tabletd.vtctld.shard_lag import TabletLag
from tabletd.web.ports import WebPorts


@dataclass
class FakeTabletView:
    """Implements `web.ports.TabletView`."""

    alias: TabletAlias = field(default_factory=lambda: TabletAlias("zone1", 101))
    keyspace: str = "shop"
    shard: str = "0"
    health: Health = field(default_factory=lambda: Health(TabletType.PRIMARY, serving=True))
    health_class: HealthClass = HealthClass.HEALTHY
    lag: Lag = NO_LAG


@dataclass
class FakeReports:
    """Implements `web.ports.StatusReports`; notes each report, or raises `error`."""

    reports: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    error: TabletdError | None = None

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
    ) -> None:
        if self.error is not None:
            raise self.error
        self.reports.append(
            {
                "uuid": migration_uuid,
                "status": status,
                "dry_run": dry_run,
                "progress": progress,
                "token": token,
                "eta": eta_seconds,
                "rows": rows_copied,
            }
        )


@dataclass
class FakeThrottler:
    """Implements `web.ports.ThrottlerPort`."""

    result: CheckResult = field(
        default_factory=lambda: CheckResult("default", ResponseCode.OK, 0.5, 5.0)
    )
    asked: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])

    scopes: list[Scope | None] = field(default_factory=list[Scope | None])

    def check(
        self, app: str, *, low_priority: bool = False, scope: Scope | None = None
    ) -> CheckResult:
        self.asked.append((app, low_priority))
        self.scopes.append(scope)
        return self.result


@dataclass
class FakeWeb:
    """All of them."""

    tablet: FakeTabletView = field(default_factory=FakeTabletView)
    reports: FakeReports = field(default_factory=FakeReports)
    throttler: FakeThrottler = field(default_factory=FakeThrottler)
    registry: Registry = field(default_factory=Registry)
    migrations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    migrations_error: TabletdError | None = None
    lease_state: str = "held since epoch 1"
    lags: list[TabletLag] = field(default_factory=list[TabletLag])

    async def recent_migrations(self) -> Sequence[Mapping[str, Any]]:
        if self.migrations_error is not None:
            raise self.migrations_error
        return self.migrations

    async def shard_lag(self) -> Sequence[TabletLag]:
        return self.lags

    def ports(self) -> WebPorts:
        """Return what the application takes."""
        return WebPorts(
            tablet=self.tablet,
            reports=self.reports,
            throttler=self.throttler,
            registry=self.registry,
            metrics_page=lambda: b"up 1\n",
            metrics_content_type="text/plain; version=1.0.0; charset=utf-8",
            recent_migrations=self.recent_migrations,
            mysql_address="127.0.0.1:3306",
            lease_state=lambda: self.lease_state,
            shard_lag=self.shard_lag,
            version="9.9",
        )
