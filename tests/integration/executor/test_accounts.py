"""The account of a run, made on a real server and dropped again."""

from __future__ import annotations

import pytest

from tabletd.executor.accounts import Account, create_account, drop_account
from tabletd.mysql.flavor import server_info
from tests.support.pools import pool_of
from tests.support.servers import RealServer


@pytest.mark.parametrize("host", ["127.0.0.1", "%", "127.%"])
async def test_a_runs_account_may_come_from_where_it_is_said_to(
    any_server: RealServer, database: str, host: str
) -> None:
    account = Account("tabletd_0123abcd", host, "p%s-'\\aZ7")
    grants = (f"SELECT ON `{database}`.*",)
    async with pool_of(any_server) as pool, pool.session(writable=True) as session:
        await create_account(session, await server_info(session), account, grants)
        async with pool_of(any_server, user=account.user, password=account.password) as its_own:
            assert (await its_own.execute("SELECT 1")).scalar() == 1
        await drop_account(session, account)
    assert any_server.query("SELECT 1 FROM mysql.user WHERE user = %s", (account.user,)) == []
