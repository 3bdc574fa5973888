from __future__ import annotations

import pytest

from tabletd.errors import ExecutorNotWritableTablet, MigrationNotFound, Reason, TabletdError
from tabletd.executor.executor import ExecutorSettings
from tabletd.executor.names import create_uuid
from tabletd.executor.states import Status
from tests.support.engines import ALIAS, ExecutorInTest, executor_on
from tests.support.servers import RealServer
from tests.support.waiting import eventually

V9 = (
    "INSERT IGNORE INTO _vt.schema_migrations (migration_uuid, keyspace, shard, mysql_schema, "
    "mysql_table, migration_statement, strategy, options, ddl_action, requested_timestamp, "
    "migration_context, migration_status) VALUES ('{uuid}', 'ks', '-80', 'elsewhere', '{table}', "
    "'{statement}', 'gh-ost', '--chunk-size=5', 'alter', FROM_UNIXTIME(1600000000), 'ctx', "
    "'queued')"
)
UPDATE = "UPDATE _vt.schema_migrations SET migration_status='{value}' WHERE {where}"
ALTER = "ALTER TABLE t ADD c INT"


def insert(uuid: str, statement: str = ALTER, table: str = "t") -> str:
    return V9.format(uuid=uuid, statement=statement, table=table)


async def update(test: ExecutorInTest, value: str, uuid: str | None = None, tail: str = "") -> int:
    where = f"mysql_schema='{test.database}'"
    if uuid is not None:
        where = f"migration_uuid='{uuid}' AND {where}"
    result = await test.executor.vexec(UPDATE.format(value=value, where=where + tail))
    assert not result.columns
    return result.rows_affected


async def test_the_v9_insert_queues_once_and_overwrites_shard_schema_and_tablet(
    any_server: RealServer, database: str
) -> None:
    uuid = create_uuid()
    async with executor_on(any_server, database) as test:
        first = await test.executor.vexec(insert(uuid))
        assert (first.rows_affected, first.insert_id > 0, first.columns) == (1, True, ())
        second = await test.executor.vexec(insert(uuid))
        assert second.rows_affected == 0
        row = test.row(uuid)
    assert row["shard"] == "0"
    assert row["mysql_schema"] == database
    assert row["tablet"] == ALIAS
    assert row["keyspace"] == "ks"
    assert row["migration_context"] == "ctx"
    assert row["options"] == "--chunk-size=5"
    assert row["ddl_action"] == "alter"
    assert str(row["requested_timestamp"]) == "2020-09-13 12:26:40"


async def test_the_v8_insert_derives_the_action(any_server: RealServer, database: str) -> None:
    uuid = create_uuid()
    query = (
        "INSERT IGNORE INTO _vt.schema_migrations (migration_uuid, keyspace, shard, mysql_schema, "
        "mysql_table, migration_statement, strategy, options, requested_timestamp, "
        f"migration_status) VALUES ('{uuid}', 'ks', '0', 'x', 't', 'CREATE INDEX i ON t (a)', "
        "'pt-osc', '', FROM_UNIXTIME('1600000000'), 'queued')"
    )
    async with executor_on(any_server, database) as test:
        assert (await test.executor.vexec(query)).rows_affected == 1
        assert test.row(uuid)["ddl_action"] == "alter"


async def test_a_select_gives_the_servers_own_text_and_counts_its_rows(
    any_server: RealServer, database: str
) -> None:
    uuid = create_uuid()
    async with executor_on(any_server, database, primary=True) as test:
        await test.executor.vexec(insert(uuid))
        result = await test.executor.vexec(
            "select migration_uuid, retries, cleanup_timestamp from _vt.schema_migrations "
            f"where migration_uuid like '%' and mysql_schema = '{database}'"
        )
    assert result.rows == [(uuid.encode(), b"0", None)]
    assert result.rows_affected == 1
    assert [column.name for column in result.columns] == [
        "migration_uuid",
        "retries",
        "cleanup_timestamp",
    ]


async def test_what_the_text_shows_writes_nothing(mariadb: RealServer, database: str) -> None:
    long_statement = "ALTER TABLE t COMMENT \\'" + "x" * 65_536 + "\\'"
    refused = {
        insert("not-a-uuid"): Reason.INVALID_REQUEST,
        insert(create_uuid(), "DROP DATABASE x"): Reason.UNSUPPORTED_DDL,
        insert(create_uuid(), "ALTER TABLE t ADD c INT; DROP TABLE t"): Reason.UNSUPPORTED_DDL,
        insert(create_uuid(), "ALTER TABLE mysql.user ADD c INT", "user"): Reason.INVALID_REQUEST,
        insert(create_uuid(), long_statement): Reason.INVALID_REQUEST,
        insert(create_uuid()).replace("--chunk-size=5", "--execute"): Reason.INVALID_REQUEST,
        insert(create_uuid()).replace("gh-ost", "online"): Reason.MIGRATION_REJECTED,
        insert(create_uuid()).replace("gh-ost", "other"): Reason.INVALID_REQUEST,
    }
    async with executor_on(mariadb, database) as test:
        for query, reason in refused.items():
            with pytest.raises(TabletdError) as caught:
                await test.executor.vexec(query)
            assert caught.value.reason is reason
        result = await test.executor.vexec("select count(*) from _vt.schema_migrations")
    assert result.rows == [(b"0",)]


async def test_cancel_in_each_state(any_server: RealServer, database: str) -> None:
    running, queued = create_uuid(), create_uuid()
    async with executor_on(any_server, database) as test:
        await test.executor.vexec(insert(running))
        run = await test.engine.next_run()
        await test.executor.vexec(insert(queued))
        assert await update(test, "cancel", queued) == 1
        assert test.row(queued)["migration_status"] == "cancelled"
        assert await update(test, "cancel", queued) == 0
        assert await update(test, "cancel", running) == 1
        row = test.row(running)
        assert row["migration_status"] == "cancelled"
        assert row["message"] == "CANCEL issued by user"
        assert row["cancelled_timestamp"] is not None
        assert row["completed_timestamp"] is not None
        assert run.stop.is_set()
        await eventually(lambda: test.row(running)["stage"] == "gh-ost: cancelled")
        with pytest.raises(MigrationNotFound, match="Migration not found"):
            await update(test, "cancel", create_uuid())
        with pytest.raises(TabletdError, match="Not an Online DDL UUID: x"):
            await update(test, "cancel", "x")
        with pytest.raises(TabletdError, match="Could not find value for column migration_uuid"):
            await update(test, "cancel")


async def test_cancel_all_covers_what_is_pending_in_the_schema(
    any_server: RealServer, database: str
) -> None:
    async with executor_on(any_server, database) as test:
        assert await update(test, "cancel-all") == 0
        uuids = [create_uuid() for _ in range(4)]
        for uuid in uuids:
            await test.executor.vexec(insert(uuid))
        await test.engine.next_run()
        with pytest.raises(TabletdError, match="Unexpetced UUID: "):
            await update(test, "cancel-all", uuids[0])
        where = "mysql_schema='another'"
        query = UPDATE.format(value="cancel-all", where=where)
        assert (await test.executor.vexec(query)).rows_affected == 0
        assert await update(test, "cancel-all") == 4
        assert {test.row(uuid)["migration_status"] for uuid in uuids} == {"cancelled"}
        assert test.row(uuids[0])["message"] == "CANCEL ALL issued by user"


async def test_retry_takes_failed_and_cancelled_migrations_only(
    any_server: RealServer, database: str
) -> None:
    uuid = create_uuid()
    async with executor_on(any_server, database) as test:
        await test.executor.vexec(insert(uuid))
        run = await test.engine.next_run()
        assert await update(test, "retry", uuid) == 0
        run.finish(Status.FAILED, "FATAL no PRIMARY nor UNIQUE key")
        row = await test.until(uuid, Status.FAILED)
        assert row["message"] == "FATAL no PRIMARY nor UNIQUE key"
        assert await update(test, "cancel", uuid) == 0
        assert await update(test, "retry", create_uuid()) == 0
        assert await update(test, "retry") == 1
        run = await test.engine.next_run(2)
        row = test.row(uuid)
        assert (row["retries"], row["migration_status"], row["message"]) == (1, "running", "")
        assert row["completed_timestamp"] is None
        run.finish()
        row = await test.until(uuid, Status.COMPLETE)
        assert (row["progress"], row["eta_seconds"]) == (100, 0)
        assert await update(test, "retry", uuid) == 0


async def test_an_update_for_another_shard_or_schema_does_nothing(
    mariadb: RealServer, database: str
) -> None:
    uuid = create_uuid()
    async with executor_on(mariadb, database) as test:
        await test.executor.vexec(insert(uuid))
        await test.engine.next_run()
        assert await update(test, "cancel", uuid, " AND shard='-80'") == 0
        where = f"migration_uuid='{uuid}' AND mysql_schema='another'"
        query = UPDATE.format(value="cancel", where=where)
        assert (await test.executor.vexec(query)).rows_affected == 0
        assert test.row(uuid)["migration_status"] == "running"
        assert await update(test, "cancel", uuid, " AND shard='0'") == 1


async def test_another_value_is_refused_with_vitess_text(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        with pytest.raises(TabletdError) as caught:
            await update(test, "complete", create_uuid())
    assert caught.value.message == (
        "Unexpected value for migration_status: complete. Supported values are: retry, cancel"
    )


async def test_a_replica_reads_and_refuses_to_write(mariadb: RealServer, database: str) -> None:
    async with executor_on(mariadb, database) as test:
        await test.executor.vexec("select count(*) from _vt.schema_migrations")
        await test.executor.make_non_primary()
        await test.executor.vexec("select count(*) from _vt.schema_migrations")
        with pytest.raises(ExecutorNotWritableTablet):
            await test.executor.vexec(insert(create_uuid()))
        with pytest.raises(ExecutorNotWritableTablet):
            await update(test, "cancel-all")


async def test_under_read_only_nothing_is_written_not_even_with_super(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        await test.executor.vexec("select count(*) from _vt.schema_migrations")
        before = mariadb.gtid_executed()
        mariadb.query("SET GLOBAL read_only = 1")
        with pytest.raises(TabletdError) as caught:
            await test.executor.vexec(insert(create_uuid()))
        assert caught.value.reason is Reason.READ_ONLY
        assert mariadb.gtid_executed() == before


async def test_a_schema_that_is_allowed_is_taken_from_the_statement(
    mariadb: RealServer, database: str
) -> None:
    other = mariadb.create_database()
    uuid = create_uuid()
    settings = ExecutorSettings(allowed_schemas=(other,))
    async with executor_on(mariadb, database, settings=settings) as test:
        await test.executor.vexec(insert(uuid, f"ALTER TABLE `{other}`.t ADD c INT"))
        assert test.row(uuid)["mysql_schema"] == other
        assert await update(test, "cancel", uuid) == 1


async def test_a_select_is_not_read_beyond_what_a_message_can_hold(
    any_server: RealServer, database: str
) -> None:
    uuid = create_uuid()
    statement = f"ALTER TABLE t ADD c INT COMMENT '{'x' * 60_000}'"
    select = "SELECT {columns} FROM _vt.schema_migrations"
    async with executor_on(any_server, database) as test:
        await test.executor.vexec(insert(uuid, statement.replace("'", "''")))
        wide = select.format(columns=", ".join(["migration_statement"] * 300))
        with pytest.raises(TabletdError, match="more than 16777216 bytes") as refusal:
            await test.executor.vexec(wide)
        assert refusal.value.reason is Reason.RESULT_TOO_LARGE
        answer = await test.executor.vexec(select.format(columns="migration_statement"))
        assert answer.rows == [(statement.encode(),)]


async def test_a_comment_behind_a_product_hides_no_other_table(
    any_server: RealServer, database: str
) -> None:
    any_server.query("CREATE TABLE secret (note TEXT)", database=database)
    query = (
        "select 1*/* from _vt.schema_migrations where (*/1, note "
        f"from {database}.secret where 1 in (1)"
    )
    # What would be read is no table of ours to the server.
    assert any_server.query(query) == []
    async with executor_on(any_server, database) as test:
        with pytest.raises(TabletdError, match="table not supported by vexec"):
            await test.executor.vexec(query)
