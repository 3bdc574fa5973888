"""Chunks that are compared at the same time: what is found, and how they end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from tabletd.errors import TabletdError
from tabletd.executor import ddl
from tabletd.executor.verify import VerifyOptions, open_comparison
from tabletd.executor.verify import comparison as comparison_module
from tabletd.mysql.pool import Pool
from tabletd.telemetry.vars import Registry
from tests.support.pools import pool_of, settings_of
from tests.support.servers import RealServer
from tests.support.two_tables import TwoTables, compare
from tests.support.waiting import eventually

_ROWS = 80
_COLUMNS = "id INT NOT NULL PRIMARY KEY, code VARCHAR(20) NOT NULL"


def chunks_of(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_ROWS_FIRST", "_ROWS_MIN", "_ROWS_MAX"):
        monkeypatch.setattr(comparison_module, name, rows)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks_of(5, monkeypatch)


def numbered(server: RealServer, database: str, alter: str, rows_count: int = _ROWS) -> TwoTables:
    """A table whose codes are numbers with zeros in front."""
    tables = TwoTables(server, database, _COLUMNS, alter)
    rows = ", ".join(f"({number}, '00{number}')" for number in range(1, rows_count + 1))
    tables.loosely(f"INSERT INTO t VALUES {rows}")
    tables.alter_copy()
    return tables


async def test_values_are_converted_in_many_chunks_and_what_differs_is_named(
    any_server: RealServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several batches each, whose locks on the scratch tables must not meet."""
    chunks_of(500, monkeypatch)
    tables = numbered(any_server, database, "MODIFY code INT NOT NULL", rows_count=4000)
    assert await compare(tables) == []
    tables.loosely(
        "DELETE FROM t_new WHERE id IN (3, 2052)",
        "UPDATE t_new SET code = 1 WHERE id = 1028",
        "UPDATE t SET code = 'none' WHERE id = 1541",
        "INSERT INTO t_new VALUES (9000, 1)",
    )
    lost, changed, refused, lost_too, surplus = map(str, await compare(tables))
    assert (lost, lost_too) == ("id = 3: lost", "id = 2052: lost")
    assert changed == "id = 1028: differs in code"
    assert "Incorrect integer value: 'none'" in refused
    assert surplus == "id = 9000: only in the new table"


@pytest.mark.parametrize(("load", "is_alone"), [(1.0, False), (0.99, True)])
async def test_below_full_load_one_connection_is_used(
    mariadb: RealServer, database: str, load: float, is_alone: bool
) -> None:
    """The pool has but one: somebody who asks for another one has to wait."""
    tables = numbered(mariadb, database, "ADD COLUMN extra INT")
    registry = Registry()
    pool = Pool(settings_of(mariadb), name="Narrow", size_max=1, registry=registry)
    await pool.open()
    statement, options = ddl.parse(tables.statement), VerifyOptions(load=load)
    opening = open_comparison(pool, tables.migration, statement, "t", "t_new", options)
    async with opening as comparison:
        assert sum([chunk.rows async for chunk in comparison.chunks()]) == _ROWS
    await pool.close()
    assert (registry.export()["NarrowWaitCount"] == 0) is is_alone


async def test_whoever_stops_early_leaves_no_snapshot(
    any_server: RealServer, database: str
) -> None:
    tables = numbered(any_server, database, "MODIFY code VARCHAR(40) NOT NULL")
    statement = ddl.parse(tables.statement)
    async with (
        pool_of(any_server) as pool,
        open_comparison(pool, tables.migration, statement, "t", "t_new") as comparison,
    ):
        async with aclosing(comparison.chunks()) as chunks:
            assert (await anext(chunks)).rows == 5
        await eventually(
            lambda: any_server.scalar("SELECT COUNT(*) FROM information_schema.innodb_trx") == 0,
            what="every snapshot is over",
        )


async def test_a_chunk_that_cannot_be_compared_is_told_in_its_turn(
    any_server: RealServer, database: str
) -> None:
    tables = numbered(any_server, database, "MODIFY code VARCHAR(40) NOT NULL")
    statement = ddl.parse(tables.statement)
    ends: list[int] = []
    async with (
        pool_of(any_server) as pool,
        open_comparison(pool, tables.migration, statement, "t", "t_new") as comparison,
        aclosing(comparison.chunks()) as chunks,
    ):

        async def take() -> None:
            async for chunk in chunks:
                assert chunk.last is not None
                ends.extend(chunk.last.values)
                # Beside the loop: the snapshots that it drives hold the table until they end.
                await asyncio.to_thread(tables.loosely, "DROP TABLE IF EXISTS t_new")

        with pytest.raises(TabletdError, match="t_new"):
            await take()
    assert ends == [5 * number for number in range(1, len(ends) + 1)]
    assert len(ends) < _ROWS / 5
