"""Somebody drops or alters what is in `_vt` while the queue is at work."""

from __future__ import annotations

from tabletd.executor.executor import ExecutorSettings
from tabletd.executor.names import create_uuid
from tabletd.executor.states import Status
from tabletd.executor.submit import NewMigration
from tests.support.engines import ExecutorInTest, completed, executor_on
from tests.support.servers import RealServer
from tests.support.waiting import eventually


async def submit(test: ExecutorInTest) -> str:
    uuid = create_uuid()
    await test.executor.submit(NewMigration(uuid, "ALTER TABLE t ADD c INT", "gh-ost"))
    return uuid


async def test_a_dropped_table_is_made_anew(mariadb: RealServer, database: str) -> None:
    settings = ExecutorSettings(check_interval_seconds=0.1)
    async with executor_on(mariadb, database, settings=settings, script=completed) as test:
        await test.until(await submit(test), Status.COMPLETE)
        mariadb.query("DROP DATABASE _vt")
        await eventually(lambda: mariadb.query("SHOW DATABASES LIKE '\\_vt'"))
        await eventually(lambda: mariadb.query("SHOW TABLES IN _vt LIKE 'schema_migrations'"))
        await test.until(await submit(test), Status.COMPLETE)


async def test_a_dropped_column_is_put_back_while_a_migration_runs(
    mariadb: RealServer, database: str
) -> None:
    async with executor_on(mariadb, database) as test:
        uuid = await submit(test)
        run = await test.engine.next_run()
        mariadb.query("ALTER TABLE _vt.schema_migrations DROP COLUMN stage")
        run.finish()
        assert "complete" in str((await test.until(uuid, Status.COMPLETE))["stage"])
