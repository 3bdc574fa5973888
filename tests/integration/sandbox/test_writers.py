from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.sandbox.workload import Workload, load, verify_table
from tests.conftest import StartServer
from tests.support.servers import RealServer
from tests.support.waiting import eventually


@pytest.fixture
async def pool(any_server: RealServer) -> AsyncIterator[Pool]:
    pool = _pool(any_server)
    await pool.open()
    yield pool
    await pool.close()


def _pool(server: RealServer) -> Pool:
    settings = MySQLSettings(host=server.host, port=server.port, user="root", password="")
    return Pool(settings, name="Writers", size_max=8)


async def test_a_loaded_table_equals_its_book_before_and_after_writers(
    pool: Pool, database: str
) -> None:
    book = await load(pool, database, "orders", 12_345)
    before = await verify_table(pool, database, "orders", book)
    assert before.holds, str(before)
    assert before.rows == 12_345

    workload = Workload(pool, database, "orders", book, writers=8, transactions_per_second=2_000)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(workload.run(stop))
        await eventually(lambda: workload.counts.committed > 400)
        stop.set()
    after = await verify_table(pool, database, "orders", book)
    assert after.holds, str(after)
    assert workload.counts.rolled_back > 10
    assert after.checksum != before.checksum


async def test_a_row_changed_behind_the_writers_back_is_found(pool: Pool, database: str) -> None:
    book = await load(pool, database, "orders", 300)
    await pool.execute(f"UPDATE `{database}`.orders SET amount = amount + 1 WHERE id = 77")
    await pool.execute(f"DELETE FROM `{database}`.orders WHERE id = 78")
    verdict = await verify_table(pool, database, "orders", book)
    assert (verdict.differing, verdict.missing) == ((77,), (78,))


async def test_commits_that_a_crash_left_unanswered_count_either_way(
    start_server: StartServer,
) -> None:
    safe = ("--innodb-flush-log-at-trx-commit=1",)
    server = await asyncio.to_thread(start_server, options=safe)
    database = server.create_database()
    pool = _pool(server)
    await pool.open()
    book = await load(pool, database, "orders", 500)
    workload = Workload(pool, database, "orders", book, writers=8, transactions_per_second=5_000)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(workload.run(stop))
        await eventually(lambda: workload.counts.committed > 100)
        await asyncio.to_thread(server.kill)
        refused = await eventually(lambda: workload.counts.refused)
        await asyncio.to_thread(server.restart)
        committed = workload.counts.committed
        await eventually(lambda: workload.counts.committed > committed + 50)
        stop.set()
    verdict = await verify_table(pool, database, "orders", book)
    assert verdict.holds, str(verdict)
    assert refused > 0
    await pool.close()
