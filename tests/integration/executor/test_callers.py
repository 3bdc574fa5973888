"""Who submitted a migration and who steered it last, in its row."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from tabletd.access.caller import Caller, enter
from tabletd.access.roles import Role
from tabletd.executor.names import create_uuid
from tabletd.executor.row_controls import RowControls
from tabletd.executor.states import Command
from tabletd.executor.store import Store
from tabletd.mysql.pool import Pool
from tabletd.mysql.sidecar import ensure_sidecar
from tests.support.pools import pool_of
from tests.support.servers import RealServer
from tests.support.submissions import submission


async def called_by(name: str, work: Awaitable[Any]) -> Any:
    """Do something as a call of somebody does it: in a task of its own."""

    async def call() -> Any:
        enter(Caller(Role.OPERATOR, user=name, peer="10.0.0.7:5000"))
        return await work

    return await asyncio.create_task(call())


async def callers(pool: Pool, uuid: str) -> tuple[str, str]:
    sql = "SELECT requested_by, changed_by FROM _vt.schema_migrations WHERE migration_uuid = %s"
    ((requested_by, changed_by),) = (await pool.execute(sql, (uuid,))).rows
    return requested_by, changed_by


async def test_the_row_has_who_submitted_and_who_steered_last(any_server: RealServer) -> None:
    async with pool_of(any_server) as pool:
        async with pool.session() as session:
            await ensure_sidecar(session)
        uuid, store = create_uuid(), Store(pool, tablet="zone1-0000000101")
        controls = RowControls(store)
        new = submission(uuid, statement="ALTER TABLE t FORCE")
        await called_by("olga", store.insert(new, shard="0"))
        olga, bob = "olga from 10.0.0.7:5000", "bob from 10.0.0.7:5000"
        assert await callers(pool, uuid) == (olga, "")
        assert await called_by("bob", controls.postpone_complete(uuid)) == 1
        assert await callers(pool, uuid) == (olga, bob)
        # What is as wanted already, is not changed by who wants it again.
        assert await called_by("eve", controls.postpone_complete(uuid)) == 0
        assert await called_by("eve", controls.cut_over_threshold(uuid, 0)) == 0
        # Nor by what the daemon does of itself.
        await store.transition(uuid, Command.SCHEDULE)
        assert await callers(pool, uuid) == (olga, bob)
        await called_by("ann", store.transition(uuid, Command.CANCEL))
        assert await callers(pool, uuid) == (olga, "ann from 10.0.0.7:5000")
