"""The account of a run, made on a real server and dropped again."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from tabletd.errors import Reason
from tabletd.executor.accounts import Account, create_account, drop_account, end_connections
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.flavor import server_info
from tabletd.mysql.session import Session
from tests.support.pools import pool_of, settings_of
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


@pytest.mark.parametrize("errno", [1094, 1095])
async def test_a_connection_that_ends_by_itself_is_no_error_and_is_waited_for(
    any_server: RealServer, monkeypatch: pytest.MonkeyPatch, errno: int
) -> None:
    """A server says 1095, that it is somebody else's, of one that has put its account down."""
    any_server.query("CREATE USER tabletd_0123abcd@'%' IDENTIFIED BY 'own'")
    kept, refused = Session.execute, list[str]()

    async def execute(self: Session, sql: str, *args: Any, **options: Any) -> Any:
        if sql.startswith("KILL") and not refused:
            refused.append(sql)
            raise MySQLError(Reason.INTERNAL, "it is on its way out", errno=errno)
        return await kept(self, sql, *args, **options)

    monkeypatch.setattr(Session, "execute", execute)
    with closing(any_server.connect(user="tabletd_0123abcd", password="own")) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            (number,) = cursor.fetchone() or (0,)
        await end_connections(settings_of(any_server, user="tabletd_0123abcd", password="own"), ())
        sql = "SELECT 1 FROM information_schema.processlist WHERE id = %s"
        assert any_server.query(sql, (number,)) == []
    assert refused == [f"KILL {number}"]
