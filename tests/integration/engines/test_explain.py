from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.engines.build import build_inspectors
from tabletd.executor.explain import NOT_KNOWN, Explainer, Explanation, Way
from tabletd.executor.migration import Strategy
from tabletd.executor.names import TableGCState, create_gc_uuid, create_uuid, gc_table_name
from tabletd.executor.submit import NewMigration
from tests.integration.engines.rig import Rig
from tests.support.engines import ExecutorInTest, executor_on

ADD = "ALTER TABLE orders ADD COLUMN c INT"
BY_COPY = "ALTER TABLE orders MODIFY COLUMN amount BIGINT"


@asynccontextmanager
async def explaining(
    rig: Rig, *, primary: bool = True
) -> AsyncGenerator[tuple[Explainer, ExecutorInTest]]:
    rig.server.query(
        "CREATE TABLE orders (id INT PRIMARY KEY, amount INT, note VARCHAR(20))",
        database=rig.schema,
    )
    rig.server.query("INSERT INTO orders VALUES (1, 1, 'a'), (2, 2, 'b')", database=rig.schema)
    async with executor_on(rig.server, rig.schema, primary=primary) as test:
        yield (
            Explainer(
                pool=rig.pool,
                queue=test.executor,
                inspectors=build_inspectors(rig.pool, rig.settings),
                online=None,
            ),
            test,
        )


def tables(rig: Rig) -> list[str]:
    return [str(name) for (name,) in rig.server.query("SHOW TABLES", database=rig.schema)]


async def one(explainer: Explainer, statement: str, strategy: str = "mysql") -> Explanation:
    (found,) = await explainer.explain(statement, strategy, "")
    return found


def reasons(found: Explanation) -> list[Reason]:
    return [error.reason for error in found.refusals]


async def test_a_copy_by_a_tool(tool_and_rig: tuple[Strategy, Rig]) -> None:
    strategy, rig = tool_and_rig
    async with explaining(rig) as (explainer, _):
        found = await one(explainer, BY_COPY, strategy)
    assert found.refusals == []
    assert found.way.value == strategy.value
    assert (found.schema, found.table, found.ddl_action) == (rig.schema, "orders", "alter")
    assert found.table_rows == 2
    assert found.data_bytes > 0
    assert found.estimated_seconds > 0
    assert {lock.blocks for lock in found.locks} == {"readers and writers"}
    assert all(0 < lock.seconds_max <= 10 for lock in found.locks)
    assert found.waits == []
    assert "on an empty copy of the table the server made the change by: copy" in found.evidence
    # Nothing was done: the table is as it was, and the copy is gone.
    assert tables(rig) == ["orders"]
    assert rig.server.query("SELECT COUNT(*) FROM _vt.schema_migrations") == [(0,)]


async def test_a_change_that_the_server_makes_instantly(mariadb_rig: Rig) -> None:
    async with explaining(mariadb_rig) as (explainer, _):
        direct = await one(explainer, ADD)
        preferred = await one(explainer, ADD, "pt-osc --prefer-instant-ddl")
        by_tool = await one(explainer, ADD, "pt-osc")
    assert (direct.way, direct.estimated_seconds) == (Way.INSTANT, 0)
    assert preferred.way is Way.INSTANT
    assert by_tool.way is Way.PT_OSC
    assert "with --prefer-instant-ddl no row would be copied" in by_tool.evidence


async def test_a_change_that_the_server_makes_while_others_write(mysql_rig: Rig) -> None:
    async with explaining(mysql_rig) as (explainer, _):
        online = await one(explainer, ADD)
        offline = await one(explainer, BY_COPY)
    assert online.way is Way.SERVER
    assert "writers" not in {lock.blocks for lock in online.locks}
    assert offline.way is Way.SERVER
    assert "writers" in {lock.blocks for lock in offline.locks}


async def test_what_the_server_would_refuse(tool_and_rig: tuple[Strategy, Rig]) -> None:
    strategy, rig = tool_and_rig
    async with explaining(rig) as (explainer, _):
        found = await one(explainer, "ALTER TABLE orders ADD COLUMN amount INT", strategy)
        assert found.way is Way.REFUSED
        assert "amount" in str(found.refusals[0])
        assert (found.estimated_seconds, found.locks) == (NOT_KNOWN, [])
        missing = await one(explainer, "ALTER TABLE nothing ADD COLUMN c INT", strategy)
        assert reasons(missing) == [Reason.TABLE_NOT_FOUND]
    assert tables(rig) == ["orders"]


async def test_all_that_the_tool_would_refuse_is_told_at_once(mysql_rig: Rig) -> None:
    async with explaining(mysql_rig) as (explainer, _):
        mysql_rig.server.query("ALTER TABLE orders DROP PRIMARY KEY", database=mysql_rig.schema)
        mysql_rig.server.query(
            "CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW SET @a = 1",
            database=mysql_rig.schema,
        )
        found = await one(explainer, ADD, "gh-ost")
    assert found.way is Way.REFUSED
    assert len(found.refusals) == 2
    assert set(reasons(found)) == {Reason.PREFLIGHT_REFUSED}


@pytest.mark.parametrize(
    ("statement", "strategy", "reason"),
    [
        (ADD, "nonsense", Reason.INVALID_REQUEST),
        (ADD, "online", Reason.MIGRATION_REJECTED),
        ("SELECT 1", "mysql", Reason.UNSUPPORTED_DDL),
        ("RENAME TABLE orders TO o", "mysql", Reason.UNSUPPORTED_DDL),
    ],
)
async def test_what_the_text_alone_shows_to_be_impossible(
    mariadb_rig: Rig, statement: str, strategy: str, reason: Reason
) -> None:
    async with explaining(mariadb_rig) as (explainer, _):
        found = await one(explainer, statement, strategy)
    assert (found.way, reasons(found)) == (Way.REFUSED, [reason])


async def test_drops_and_creates(mariadb_rig: Rig) -> None:
    async with explaining(mariadb_rig) as (explainer, _):
        plans = await explainer.explain("DROP TABLE IF EXISTS orders, nothing", "mysql", "")
        assert [(plan.table, plan.way) for plan in plans] == [
            ("orders", Way.RENAME),
            ("nothing", Way.NO_CHANGE),
        ]
        created = await one(explainer, "CREATE TABLE t (id INT PRIMARY KEY)")
        assert (created.way, created.locks) == (Way.SERVER, [])
    assert tables(mariadb_rig) == ["orders"]


async def test_what_is_pending_is_what_it_would_wait_for(mariadb_rig: Rig) -> None:
    async with explaining(mariadb_rig) as (explainer, test):
        uuid = create_uuid()
        await test.executor.submit(NewMigration(uuid, ADD, "gh-ost"))
        await test.engine.next_run()
        found = await one(explainer, BY_COPY, "pt-osc")
        assert found.way is Way.PT_OSC
        assert found.waits[0].startswith(f"Migration {uuid} changes the same table")
        alone = await one(explainer, BY_COPY, "pt-osc --singleton")
        assert reasons(alone) == [Reason.MIGRATION_REJECTED]


@pytest.mark.parametrize(("by_hand", "way"), [(False, Way.PT_OSC), (True, Way.REFUSED)])
async def test_triggers_are_in_the_way_unless_they_are_of_a_migration_that_ends_before(
    mariadb_rig: Rig, *, by_hand: bool, way: Way
) -> None:
    async with explaining(mariadb_rig) as (explainer, test):
        uuid = create_uuid()
        await test.executor.submit(NewMigration(uuid, ADD, "gh-ost"))
        await test.engine.next_run()
        new_table = "_orders_new" if by_hand else f"_{uuid}_20261124000000_new"
        mariadb_rig.server.query(
            "CREATE TRIGGER pt_osc_x_orders_ins AFTER INSERT ON orders FOR EACH ROW"
            f" REPLACE INTO {new_table} (id) VALUES (NEW.id)",
            database=mariadb_rig.schema,
        )
        found = await one(explainer, BY_COPY, "pt-osc")
    assert found.way is way
    assert len(found.refusals) == int(by_hand)
    assert found.waits[0].startswith(f"Migration {uuid} changes the same table")


async def test_measured_rates_are_the_evidence_of_an_estimate(mariadb_rig: Rig) -> None:
    async with explaining(mariadb_rig) as (explainer, test):
        uuid = create_uuid()
        await test.executor.submit(NewMigration(uuid, BY_COPY, "pt-osc", "--postpone-launch"))
        rows = " UNION ALL ".join(f"SELECT {n}" for n in range(10))
        mariadb_rig.server.query(
            f"INSERT INTO orders SELECT 10 + a.n + 10 * b.n + 100 * c.n + 1000 * d.n, 1, '' FROM"
            f" (SELECT 0 n UNION {rows}) a, (SELECT 0 n UNION {rows}) b,"
            f" (SELECT 0 n UNION {rows}) c, (SELECT 0 n UNION SELECT 1) d",
            database=mariadb_rig.schema,
        )
        mariadb_rig.server.query("ANALYZE TABLE orders", database=mariadb_rig.schema)
        assert (await one(explainer, BY_COPY, "pt-osc")).estimated_seconds == NOT_KNOWN
        mariadb_rig.server.query(
            "UPDATE _vt.schema_migrations SET migration_status = 'complete', rows_copied = 20000,"
            " started_timestamp = NOW() - INTERVAL 100 SECOND, completed_timestamp = NOW(6)"
        )
        found = await one(explainer, BY_COPY, "pt-osc")
    assert 5 <= found.estimated_seconds <= 15
    assert any("pt-osc copied 200 rows a second in the last 1" in text for text in found.evidence)


async def test_a_tablet_that_is_no_primary_explains_nothing(mariadb_rig: Rig) -> None:
    async with explaining(mariadb_rig, primary=False) as (explainer, _):
        with pytest.raises(TabletdError) as error:
            await one(explainer, ADD)
    assert error.value.reason is Reason.NOT_PRIMARY


async def test_a_revert_is_explained_as_the_renames_that_it_would_be(mariadb_rig: Rig) -> None:
    server, schema = mariadb_rig.server, mariadb_rig.schema
    async with explaining(mariadb_rig) as (explainer, test):
        dropped, altered = create_uuid(), create_uuid()
        for uuid, sql in ((dropped, "DROP TABLE orders"), (altered, "ALTER TABLE t ADD c INT")):
            await test.executor.submit(NewMigration(uuid, sql, "mysql", "--postpone-launch"))
        pending = await one(explainer, f"REVERT VITESS_MIGRATION '{dropped}'")
        kept = gc_table_name(TableGCState.HOLD, create_gc_uuid(1), datetime.now(UTC))
        server.query(f"RENAME TABLE orders TO {kept}", database=schema)
        server.query(
            "UPDATE _vt.schema_migrations SET migration_status = 'complete', artifacts = %s,"
            " completed_timestamp = NOW(6)",
            (f"{kept},",),
        )
        found = await one(explainer, f"/* x */ revert vitess_migration '{dropped}';", "pt-osc")
        of_alter = await one(explainer, f"REVERT VITESS_MIGRATION '{altered}'")
        of_none = await one(explainer, f"REVERT VITESS_MIGRATION '{create_uuid()}'")
        assert tables(mariadb_rig) == [kept]
    assert "can only revert a migration in a 'complete' state" in str(pending.refusals[0])
    assert (found.way, found.refusals, found.estimated_seconds) == (Way.RENAME, [], 0)
    assert (found.schema, found.table, found.ddl_action) == (schema, "orders", "create")
    assert found.evidence[-1] == "what was kept of it gets its name back"
    assert "an ALTER TABLE by the server itself" in str(of_alter.refusals[0])
    assert reasons(of_none) == [Reason.MIGRATION_NOT_FOUND]
    assert of_none.way is Way.REFUSED


async def test_what_is_declared_is_compared_at_the_start_only(mariadb_rig: Rig) -> None:
    async with explaining(mariadb_rig) as (explainer, _):
        found = await one(explainer, "CREATE TABLE orders (id INT)", "mysql --declarative")
    assert (found.way, found.refusals) == (Way.UNKNOWN, [])
    assert "--declarative" in found.evidence[-1]
