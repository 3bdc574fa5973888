"""Where rules and settings are kept: `_vt.throttled_apps` and `_vt.throttler_config`.

They are written on the shard's primary and replicate, so that the next primary has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, cast

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.session import Session
from tabletd.mysql.sidecar import ensure_sidecar
from tabletd.mysql.variables import as_text
from tabletd.throttler.config import ThrottlerConfig
from tabletd.throttler.metrics import Metric, checked_metric

_SECONDS_MAX: Final = 5.0
# Creating the tables happens once and may take longer.
_SIDECAR_SECONDS_MAX: Final = 30.0
# The tables are those of an older version.
_NO_SUCH_COLUMN: Final = 1054

_RULES_SQL: Final = """
SELECT name, ratio, exempt,
       TIMESTAMPDIFF(MICROSECOND, '1970-01-01', expires_at),
       TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at)
FROM _vt.throttled_apps
"""
_PUT_RULE_SQL: Final = """
INSERT INTO _vt.throttled_apps (name, ratio, expires_at, exempt)
VALUES (%s, %s, UTC_TIMESTAMP(6) + INTERVAL %s MICROSECOND, %s)
ON DUPLICATE KEY UPDATE
  ratio = VALUES(ratio), expires_at = VALUES(expires_at), exempt = VALUES(exempt)
"""
_NOW_SQL: Final = "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
# By name, since a primary of an older version has not all of the columns.
_CONFIG_SQL: Final = "SELECT * FROM _vt.throttler_config WHERE id = 1"
_PUT_CONFIG_SQL: Final = """
INSERT INTO _vt.throttler_config
  (id, enabled, threshold, lag_threshold, app_checked_metrics, metric_thresholds, custom_query)
VALUES (1, %s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE
  enabled = VALUES(enabled), threshold = VALUES(threshold),
  lag_threshold = VALUES(lag_threshold), app_checked_metrics = VALUES(app_checked_metrics),
  metric_thresholds = VALUES(metric_thresholds), custom_query = VALUES(custom_query)
"""
_NEXT_VERSION_SQL: Final = """
INSERT INTO _vt.throttler_config (id, app_checked_metrics, version) VALUES (1, '{}', 1)
ON DUPLICATE KEY UPDATE version = version + 1
"""


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A row of `_vt.throttled_apps`.

    Attributes:
        name: of the app.
        ratio: share of its checks that are denied.
        is_exempt: it may always go on.
        expires_at_ns: end of the rule by the server's clock, nanoseconds since the Unix epoch.
        remaining_seconds: until then, when it was read; negative once it is over.
    """

    name: str
    ratio: float
    is_exempt: bool
    expires_at_ns: int
    remaining_seconds: float


@dataclass(frozen=True, slots=True)
class Stored:
    """All that is kept.

    Attributes:
        rules: also those that are over.
        config: the settings; the defaults where none are stored.
        version: grows with each change; 0: there was none.
    """

    rules: tuple[StoredRule, ...] = ()
    config: ThrottlerConfig = field(default_factory=ThrottlerConfig)
    version: int = 0


class RuleStore:
    """Reads and writes the two tables.

    Args:
        pool: sessions that give Python values.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def load(self) -> Stored:
        """Read everything; nothing is stored before the tables exist."""
        async with self._pool.session(timeout_seconds=_SECONDS_MAX) as session:
            try:
                rules = await session.execute(_RULES_SQL)
                config = await session.execute(_CONFIG_SQL)
            except TabletdError as error:
                if error.reason is Reason.TABLE_NOT_FOUND:
                    return Stored()
                raise
        row = config.one() or {}
        return Stored(
            tuple(_rule(*row) for row in rules.rows), _config(row), int(row.get("version", 0))
        )

    async def put_rule(
        self, name: str, *, ratio: float, expire_seconds: float, is_exempt: bool
    ) -> None:
        """Write a rule that ends `expire_seconds` from now by the server's clock.

        Raises:
            NotWritable: the server is read-only.
        """
        microseconds = round(expire_seconds * 1e6)
        await self._write(_PUT_RULE_SQL, (name.encode(), ratio, microseconds, int(is_exempt)))

    async def delete_rule(self, name: str) -> bool:
        """Remove a rule; returns whether there was one.

        Raises:
            NotWritable: the server is read-only.
        """
        sql = "DELETE FROM _vt.throttled_apps WHERE name = %s"
        return await self._write(sql, (name.encode(),)) > 0

    async def delete_expired(self) -> None:
        """Remove the rules that are over.

        Raises:
            NotWritable: the server is read-only.
        """
        await self._write("DELETE FROM _vt.throttled_apps WHERE expires_at <= UTC_TIMESTAMP(6)", ())

    async def put_config(self, config: ThrottlerConfig) -> None:
        """Write the settings.

        Raises:
            NotWritable: the server is read-only.
        """
        limits = dict(config.metric_thresholds)
        values = (
            int(config.enabled),
            config.threshold,
            limits.pop(Metric.LAG, 0.0),
            json.dumps({app: list(names) for app, names in config.app_checked_metrics.items()}),
            json.dumps(limits),
            config.custom_query,
        )
        await self._write(_PUT_CONFIG_SQL, values)

    async def raise_version(self, version: int) -> None:
        """Let the version be this at least; the row must be there.

        Raises:
            NotWritable: the server is read-only.
        """
        sql = "UPDATE _vt.throttler_config SET version = GREATEST(version, %s) WHERE id = 1"
        await self._write(sql, (version,))

    async def now_ns(self) -> int:
        """Return the server's clock as nanoseconds since the Unix epoch."""
        result = await self._pool.execute(_NOW_SQL, timeout_seconds=_SECONDS_MAX)
        return int(result.scalar()) * 1_000

    async def _write(self, sql: str, values: tuple[Any, ...]) -> int:
        async with self._pool.session(timeout_seconds=_SECONDS_MAX, writable=True) as session:
            try:
                return await _write_in(session, sql, values)
            except TabletdError as error:
                is_older = isinstance(error, MySQLError) and error.errno == _NO_SUCH_COLUMN
                if error.reason is not Reason.TABLE_NOT_FOUND and not is_older:
                    raise
        return await self._create_and_write(sql, values)

    async def _create_and_write(self, sql: str, values: tuple[Any, ...]) -> int:
        limit = _SIDECAR_SECONDS_MAX
        async with self._pool.session(timeout_seconds=limit, writable=True) as session:
            await ensure_sidecar(session)
            return await _write_in(session, sql, values)


async def _write_in(session: Session, sql: str, values: tuple[Any, ...]) -> int:
    changed = (await session.execute(sql, values)).rows_affected
    if changed:
        await session.execute(_NEXT_VERSION_SQL)
    return changed


def _rule(
    name: object, ratio: float, exempt: int, expires_us: int, remaining_us: int
) -> StoredRule:
    return StoredRule(
        as_text(name), float(ratio), bool(exempt), int(expires_us) * 1_000, int(remaining_us) / 1e6
    )


def _config(row: Mapping[str, Any]) -> ThrottlerConfig:
    if not row:
        return ThrottlerConfig()
    limits = _thresholds(as_text(row.get("metric_thresholds")))
    lag_threshold = float(row["lag_threshold"])
    if lag_threshold:
        limits[Metric.LAG.value] = lag_threshold
    return ThrottlerConfig(
        enabled=bool(row["enabled"]),
        threshold=float(row["threshold"]),
        custom_query=as_text(row.get("custom_query")),
        metric_thresholds=MappingProxyType(limits),
        app_checked_metrics=_metrics(as_text(row["app_checked_metrics"])),
    )


def _object(text: str) -> dict[object, object]:
    """Read what `put_config` wrote; what is no JSON object counts as an empty one."""
    try:
        found: Any = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return cast(dict[object, object], found) if isinstance(found, dict) else {}


def _thresholds(text: str) -> dict[str, float]:
    return {
        str(name): float(limit)
        for name, limit in _object(text).items()
        if isinstance(limit, int | float) and name in set(Metric)
    }


def _metrics(text: str) -> Mapping[str, tuple[str, ...]]:
    """Return the lists; what names a metric that is not measured here does not count."""
    lists = {
        str(app): tuple(str(name) for name in cast(list[object], names) if _is_measured(str(name)))
        for app, names in _object(text).items()
        if isinstance(names, list)
    }
    return MappingProxyType({app: names for app, names in lists.items() if names})


def _is_measured(text: str) -> bool:
    try:
        checked_metric(text)
    except TabletdError:
        return False
    return True
