"""Whether a long history makes the scheduler slower: one tick over 100,000 rows and over 100."""

from __future__ import annotations

import time
from typing import Final

from tabletd.clock import SystemClock
from tabletd.executor.gc import GarbageCollector, GCSettings
from tabletd.executor.scheduler import Limits, Snapshot, decide
from tabletd.executor.store import Store
from tabletd.mysql.pool import Pool
from tabletd.mysql.sidecar import ensure_sidecar
from tabletd.sandbox.releases import ReleaseName
from tests.bench.report import Measurement
from tests.bench.stage import pool_to, stage

_TABLET: Final = "zone1-0000000900"
_SHORT: Final = 100
_LONG: Final = 100_000
_PENDING: Final = 20
_ROUNDS: Final = 7
_TICKS: Final = 100
_RATIO_MAX: Final = 1.2


async def measure() -> list[Measurement]:
    """Time ticks over both histories on each kind of server."""
    return [
        await _measure(server, title)
        for server, title in ((ReleaseName.MARIADB, "MariaDB"), (ReleaseName.MYSQL_57, "MySQL 5.7"))
    ]


async def _measure(server: ReleaseName, title: str) -> Measurement:
    async with stage("tick", server, replicas=0) as sandbox:
        # The queue below is not that of a daemon, which would begin to work it off.
        sandbox.primary.daemon.terminate()
        async with pool_to(sandbox.primary.server) as pool:
            async with pool.session() as session:
                await ensure_sidecar(session)
            await _fill(pool, _SHORT)
            short = await tick_seconds(pool, pending=_PENDING)
            await _fill(pool, _LONG)
            long = await tick_seconds(pool, pending=_PENDING)
    ratio = long / short
    return Measurement(
        f"scheduler tick, {_LONG:,} finished rows against {_SHORT}, {_PENDING} pending, {title}",
        f"{long * 1e3:.2f} ms",
        f"{short * 1e3:.2f} ms",
        f"{ratio:.2f}",
        f"at most {_RATIO_MAX}",
        ratio <= _RATIO_MAX,
    )


async def tick_seconds(pool: Pool, *, pending: int, ticks: int = _TICKS) -> float:
    """Return the seconds of what one tick reads and decides, the look at old tables included.

    Args:
        pool: to the server whose queue it is.
        pending: how many migrations are pending there.
        ticks: how many are timed together; the fastest of some such rounds counts.
    """
    store = Store(pool, tablet=_TABLET)
    collector = GarbageCollector(store=store, pool=pool, settings=GCSettings(), clock=SystemClock())
    limits = Limits(tablet=_TABLET, max_concurrent=1, stale_seconds=600)
    rounds: list[float] = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        for _ in range(ticks):
            found, unsettled, failures = await store.candidates()
            assert len(found) >= pending
            decide(Snapshot(found, unsettled, failures), limits)
            await collector.step({"commerce"})
        rounds.append((time.perf_counter() - start) / ticks)
    return min(rounds)


async def _fill(pool: Pool, finished: int) -> None:
    """Make the table hold so many finished rows, in the three ways of being finished."""
    digits = "(SELECT 0 d" + "".join(f" UNION ALL SELECT {d}" for d in range(1, 10)) + ")"
    numbers = (
        "SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS n "
        f"FROM {digits} a, {digits} b, {digits} c, {digits} e, {digits} f"
    )
    columns = (
        "migration_uuid, keyspace, shard, mysql_schema, mysql_table, migration_statement, "
        "strategy, options, ddl_action, log_path, migration_status"
    )
    values = "UUID(), 'commerce', '0', 'commerce', 'orders', 'ALTER', 'gh-ost', '', 'alter', ''"
    async with pool.session() as session:
        # Columns that say nothing here get the empty text that a lenient session gives them.
        await session.execute("SET SESSION sql_mode = ''")
        session.drop_afterwards()
        await session.execute("TRUNCATE TABLE _vt.schema_migrations")
        await session.execute(
            f"INSERT INTO _vt.schema_migrations ({columns}, started_timestamp, "
            "completed_timestamp, cleanup_timestamp) "
            f"SELECT {values}, ELT(1 + n %% 3, 'complete', 'failed', 'cancelled'), NOW(), "
            f"NOW(6) - INTERVAL n MINUTE, NOW() FROM ({numbers}) numbers WHERE n < %s",
            (finished,),
            timeout_seconds=120,
        )
        await session.execute(
            f"INSERT INTO _vt.schema_migrations ({columns}) "
            f"SELECT {values}, 'queued' FROM ({numbers}) numbers WHERE n < %s",
            (_PENDING,),
        )
        await session.execute("ANALYZE TABLE _vt.schema_migrations", timeout_seconds=60)
