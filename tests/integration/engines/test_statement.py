"""A statement of a migration, and how it is ended on the server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tabletd.errors import TabletdError
from tabletd.executor.controls import LiveControls
from tabletd.executor.engines.forcing import Forcing
from tabletd.executor.engines.statement import execute_until_stopped
from tabletd.executor.migration import Migration, Strategy
from tabletd.mysql.pool import Pool
from tabletd.mysql.result import ResultSet
from tests.support.pools import pool_of, settings_of
from tests.support.servers import RealServer

MIGRATION = Migration(1, "u", "ks", "0", "shop", "orders", "", Strategy.DIRECT)


class TooEarly(Pool):
    """Its first statement comes to the server before anything is there that it could end."""

    lost = 0

    async def execute(
        self, sql: str | bytes, params: Sequence[Any] | None = None, **options: Any
    ) -> ResultSet:
        if not self.lost:
            self.lost += 1
            return ResultSet()
        return await super().execute(sql, params, **options)


async def _stopped(pool: Pool, killers: Pool, sql: str) -> TabletdError | None:
    """Run a statement that is to stop from its first moment on."""
    stop = asyncio.Event()
    stop.set()
    forcing = Forcing(killers, MIGRATION, LiveControls())
    async with asyncio.timeout(60), pool.session() as session:
        return await execute_until_stopped(killers, session, sql, "nonce", stop, forcing)


async def test_a_statement_that_was_not_there_yet_is_ended_by_the_next_try(
    any_server: RealServer,
) -> None:
    killers = TooEarly(settings_of(any_server), name="Killers")
    await killers.open()
    try:
        async with pool_of(any_server) as pool:
            await _stopped(pool, killers, "DO BENCHMARK(100000000000, MD5('x'))")  # hours
    finally:
        await killers.close()
    assert killers.lost == 1


async def test_a_statement_that_cannot_be_ended_is_waited_for(any_server: RealServer) -> None:
    closed = Pool(settings_of(any_server), name="Closed")
    async with pool_of(any_server) as pool:
        assert await _stopped(pool, closed, "DO SLEEP(1)") is None
