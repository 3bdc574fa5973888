from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest

from tabletd.errors import TabletdError
from tabletd.executor.gc import GarbageCollector, GCSettings, next_state, parse_lifecycle
from tabletd.executor.names import TableGCState, create_uuid, gc_table_name, parse_gc_table_name
from tabletd.executor.store import Store
from tabletd.mysql.pool import Pool
from tabletd.mysql.sidecar import ensure_sidecar
from tests.support.clock import FakeClock
from tests.support.pools import pool_of
from tests.support.servers import RealServer
from tests.support.submissions import submission

DAY = 24 * 3600
WEEK = timedelta(days=7)


async def finished(
    server: RealServer,
    pool: Pool,
    database: str,
    *,
    artifacts: str,
    status: str = "complete",
    age_seconds: int = DAY + 60,
    retain_seconds: int = 0,
) -> str:
    """Put a finished migration of the table t into the queue."""
    async with pool.session() as session:
        await ensure_sidecar(session)
    uuid = create_uuid()
    new = submission(uuid, mysql_schema=database)
    await Store(pool, tablet="a").insert(new, shard="0")
    server.query(
        "UPDATE _vt.schema_migrations SET migration_status = %s, artifacts = %s,"
        " retain_artifacts_seconds = %s, completed_timestamp = NOW(6) - INTERVAL %s SECOND"
        " WHERE migration_uuid = %s",
        (status, artifacts, retain_seconds, age_seconds, uuid),
    )
    return uuid


def collector(
    pool: Pool, clock: FakeClock, lifecycle: str = "hold,purge,evac,drop", **others: object
) -> GarbageCollector:
    settings = GCSettings(lifecycle=parse_lifecycle(lifecycle))
    return GarbageCollector(
        store=Store(pool, tablet="a"),
        pool=pool,
        settings=settings,
        clock=clock,
        **others,  # type: ignore[arg-type]
    )


def clock_of(server: RealServer) -> FakeClock:
    return FakeClock(wall_ns=int(server.scalar("SELECT UNIX_TIMESTAMP()")) * 1_000_000_000)


def tables(server: RealServer, database: str) -> list[str]:
    return sorted(row[0] for row in server.query(f"SHOW TABLES IN `{database}`"))


def make_table(server: RealServer, database: str, *names: str, rows: int = 0) -> None:
    for name in names:
        server.query(f"CREATE TABLE `{database}`.`{name}` (id INT PRIMARY KEY)")
        for begin in range(0, rows, 100):
            values = ", ".join(f"({n})" for n in range(begin, min(begin + 100, rows)))
            server.query(f"INSERT INTO `{database}`.`{name}` VALUES {values}")


def states(server: RealServer, database: str) -> list[TableGCState]:
    found = [parse_gc_table_name(name) for name in tables(server, database)]
    return [table.state for table in found if table is not None]


async def steps(gc: GarbageCollector, database: str, number: int = 10) -> None:
    for _ in range(number):
        if not await gc.step({database}):
            return


async def test_tables_pass_all_stations_and_are_dropped(
    any_server: RealServer, database: str
) -> None:
    make_table(any_server, database, "t", "_t_del", "_t_gho", rows=120)
    clock = clock_of(any_server)
    async with pool_of(any_server) as pool:
        uuid = await finished(any_server, pool, database, artifacts="_t_del,_t_gho,_gone,")
        gc = collector(pool, clock)
        await steps(gc, database)
        assert states(any_server, database) == [TableGCState.EVAC, TableGCState.EVAC]
        row = any_server.records("SELECT * FROM _vt.schema_migrations")[0]
        assert row["cleanup_timestamp"] is not None
        assert set(row["artifacts"].split(",")) - {""} == set(tables(any_server, database)) - {"t"}
        evacuated = tables(any_server, database)[0]
        assert any_server.scalar(f"SELECT COUNT(*) FROM `{database}`.`{evacuated}`") == 0
        clock.advance(71 * 3600)
        await steps(gc, database)
        assert len(states(any_server, database)) == 2
        clock.advance(2 * 3600)
        await steps(gc, database)
    assert tables(any_server, database) == ["t"]
    assert any_server.scalar("SELECT COUNT(*) FROM `" + database + "`.t") == 120
    assert any_server.records("SELECT * FROM _vt.schema_migrations")[0]["artifacts"] == ""
    assert uuid


async def test_nothing_is_taken_before_its_retention_is_over(
    mariadb: RealServer, database: str
) -> None:
    make_table(mariadb, database, "_a", "_b", "_c", "_d")
    async with pool_of(mariadb) as pool:
        await finished(mariadb, pool, database, artifacts="_a,", age_seconds=DAY - 60)
        await finished(mariadb, pool, database, artifacts="_b,", age_seconds=10, retain_seconds=-1)
        await finished(mariadb, pool, database, artifacts="_c,", retain_seconds=2 * DAY)
        await finished(mariadb, pool, database, artifacts="_d,", status="running")
        mariadb.query(
            "UPDATE _vt.schema_migrations SET completed_timestamp = NULL"
            " WHERE migration_status = 'running'"
        )
        await steps(collector(pool, clock_of(mariadb), "drop"), database)
    assert tables(mariadb, database) == ["_a", "_c", "_d"]


async def test_a_life_cycle_of_drop_alone_drops_at_once(mariadb: RealServer, database: str) -> None:
    make_table(mariadb, database, "t", "_t_del", rows=10)
    async with pool_of(mariadb) as pool:
        await finished(mariadb, pool, database, artifacts="_t_del,", age_seconds=0)
        settings = GCSettings(retain_artifacts_seconds=0, lifecycle=parse_lifecycle("drop"))
        gc = GarbageCollector(
            store=Store(pool, tablet="a"), pool=pool, settings=settings, clock=clock_of(mariadb)
        )
        await steps(gc, database)
    assert tables(mariadb, database) == ["t"]


async def test_tables_that_no_row_of_ours_names_are_left_alone(
    mariadb: RealServer, database: str
) -> None:
    clock = clock_of(mariadb)
    past = parse_gc_table_name("_vt_hld_00000000000000010000000000000000_20200101000000_")
    assert past is not None
    foreign = [
        "_vt_HOLD_6ace8bcef73211ea87e9f875a4d24e90_20200915120410",
        gc_table_name(TableGCState.DROP, "0" * 15 + "1" + "f" * 16, past.due),
        "_t_old",
    ]
    make_table(mariadb, database, *foreign)
    async with pool_of(mariadb) as pool:
        await finished(mariadb, pool, database, artifacts="_T_OLD,")
        await steps(collector(pool, clock, "drop"), database)
    assert set(tables(mariadb, database)) == set(foreign)


async def test_tables_of_the_older_name_form_move_on_when_a_row_names_them(
    mariadb: RealServer, database: str
) -> None:
    old_form = f"_vt_HOLD_{1:016x}{'a' * 16}_20200915120410"
    make_table(mariadb, database, old_form)
    async with pool_of(mariadb) as pool:
        await finished(mariadb, pool, database, artifacts=f"{old_form},")
        await steps(collector(pool, clock_of(mariadb), "hold,drop"), database)
    assert tables(mariadb, database) == []


async def test_a_trigger_goes_before_the_table_that_it_writes_into(
    any_server: RealServer, database: str
) -> None:
    make_table(any_server, database, "t", "_t_new", "other")
    for name, target in (("pt_osc_x_ins", "_t_new"), ("users_own", "other")):
        any_server.query(
            f"CREATE TRIGGER `{database}`.`{name}` AFTER "
            f"{'INSERT' if target == '_t_new' else 'DELETE'} ON `{database}`.`t` FOR EACH ROW "
            f"INSERT INTO `{database}`.`{target}` VALUES "
            f"({'NEW' if target == '_t_new' else 'OLD'}.id)"
        )
    async with pool_of(any_server) as pool:
        await finished(any_server, pool, database, artifacts="_t_new,", status="failed")
        await steps(collector(pool, clock_of(any_server), "drop"), database)
    any_server.query(f"INSERT INTO `{database}`.t VALUES (1)")
    triggers = [row[0] for row in any_server.query(f"SHOW TRIGGERS IN `{database}`")]
    assert triggers == ["users_own"]
    assert tables(any_server, database) == ["other", "t"]


async def test_the_purge_waits_while_replicas_lag(mariadb: RealServer, database: str) -> None:
    make_table(mariadb, database, "_t_del", rows=120)
    answers = iter([True, False, False])
    async with pool_of(mariadb) as pool:
        await finished(mariadb, pool, database, artifacts="_t_del,")
        gc = collector(
            pool, clock_of(mariadb), "purge,drop", may_purge=lambda: next(answers, False)
        )
        assert await gc.step({database})
        (name,) = tables(mariadb, database)
        assert mariadb.scalar(f"SELECT COUNT(*) FROM `{database}`.`{name}`") == 70
        assert await gc.step({database})
        assert states(mariadb, database) == [TableGCState.PURGE]


async def test_one_table_that_fails_does_not_stop_the_others(
    mariadb: RealServer, database: str
) -> None:
    make_table(mariadb, database, "_a", "_b")
    async with pool_of(mariadb) as pool:
        await finished(mariadb, pool, "no_such_schema", artifacts="_a,")
        await finished(mariadb, pool, database, artifacts="_b,")
        mariadb.query("UPDATE _vt.schema_migrations SET log_path = 'x'")
        await steps(collector(pool, clock_of(mariadb), "drop"), database)
    assert tables(mariadb, database) == ["_a"]


async def test_logs_and_directories_are_pruned_but_not_those_in_use(
    mariadb: RealServer, database: str
) -> None:
    pruned: list[Collection[str]] = []

    async def prune(directories: Collection[str]) -> None:
        pruned.append(directories)

    async with pool_of(mariadb) as pool:
        await finished(mariadb, pool, database, artifacts="", status="running")
        mariadb.query("UPDATE _vt.schema_migrations SET run_nonce = 'n', run_directory = '/run/x'")
        await collector(pool, clock_of(mariadb), prune=prune).step({database})
    assert pruned == [frozenset({"/run/x"})]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hold,purge,evac,drop", set(TableGCState)),
        ("", {TableGCState.DROP}),
        (" Evac;HOLD ", {TableGCState.EVAC, TableGCState.HOLD, TableGCState.DROP}),
    ],
)
def test_a_life_cycle_is_a_list_of_stations(text: str, expected: set[TableGCState]) -> None:
    assert parse_lifecycle(text) == expected


def test_an_unknown_station_is_refused_and_missing_ones_are_left_out() -> None:
    with pytest.raises(TabletdError, match="unknown station 'burn'"):
        parse_lifecycle("hold,burn")
    lifecycle = parse_lifecycle("hold,evac")
    assert next_state(TableGCState.HOLD, lifecycle) is TableGCState.EVAC
    assert next_state(TableGCState.EVAC, lifecycle) is TableGCState.DROP
    assert next_state(TableGCState.DROP, lifecycle) is None


async def test_a_view_is_dropped_when_its_retention_is_over(
    any_server: RealServer, database: str
) -> None:
    clock = clock_of(any_server)
    async with pool_of(any_server) as pool:
        await finished(any_server, pool, database, artifacts="old_view,")
        any_server.query(f"CREATE VIEW `{database}`.old_view AS SELECT 1 AS one")
        await steps(collector(pool, clock), database)
    assert tables(any_server, database) == []
    assert any_server.records("SELECT * FROM _vt.schema_migrations")[0]["artifacts"] == ""


async def test_what_a_cleanup_asks_for_does_not_wait_for_the_date_in_its_name(
    any_server: RealServer, database: str
) -> None:
    clock = clock_of(any_server)
    held = gc_table_name(TableGCState.HOLD, f"{1:016x}{'ab' * 8}", datetime.now(UTC) + WEEK)
    make_table(any_server, database, held)
    async with pool_of(any_server) as pool:
        await finished(any_server, pool, database, artifacts=held, age_seconds=5)
        await steps(collector(pool, clock), database)
        assert tables(any_server, database) == [held]
        any_server.query("UPDATE _vt.schema_migrations SET retain_artifacts_seconds = -1")
        await steps(collector(pool, clock), database)
    assert states(any_server, database) == [TableGCState.EVAC]


async def test_a_life_cycle_without_holding_keeps_what_a_migration_asked_to_keep(
    mariadb: RealServer, database: str
) -> None:
    clock = clock_of(mariadb)
    held = gc_table_name(TableGCState.HOLD, f"{1:016x}{'ab' * 8}", datetime.now(UTC) + WEEK)
    make_table(mariadb, database, held)
    async with pool_of(mariadb) as pool:
        await finished(mariadb, pool, database, artifacts=held, age_seconds=5)
        await steps(collector(pool, clock, "drop"), database)
        assert tables(mariadb, database) == [held]
        clock.advance(WEEK.total_seconds() + 1)
        await steps(collector(pool, clock, "drop"), database)
    assert tables(mariadb, database) == []


async def test_triggers_of_a_dropped_table_do_not_act_on_rows_that_are_purged(
    any_server: RealServer, database: str
) -> None:
    clock = clock_of(any_server)
    make_table(any_server, database, "t", "old", rows=3)
    any_server.query(
        f"CREATE TRIGGER `{database}`.tr AFTER DELETE ON `{database}`.old"
        f" FOR EACH ROW DELETE FROM `{database}`.t WHERE id = OLD.id"
    )
    async with pool_of(any_server) as pool:
        await finished(any_server, pool, database, artifacts="old,")
        await steps(collector(pool, clock), database)
    assert states(any_server, database) == [TableGCState.EVAC]
    assert any_server.scalar(f"SELECT COUNT(*) FROM `{database}`.t") == 3
