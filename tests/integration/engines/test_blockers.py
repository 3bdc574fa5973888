"""Who keeps a table from being swapped is found, ended where that is allowed, and named."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from pymysql import MySQLError
from pymysql.connections import Connection

from tabletd.executor.engines.blockers import Blocker, Endings, end_blocker, find_blockage
from tabletd.mysql.session import Session
from tests.conftest import StartServer
from tests.integration.engines.holders import HOLDERS, connected, number_of
from tests.support.pools import pool_of
from tests.support.servers import RealServer
from tests.support.waiting import eventually, eventually_blocking

DOUBLING = "INSERT INTO orders SELECT id + (SELECT MAX(id) FROM orders), note FROM orders"
WAITING = "SELECT id FROM information_schema.processlist WHERE user = %s AND state LIKE %s"


@pytest.fixture
async def telling_server(any_server: RealServer, database: str) -> AsyncIterator[RealServer]:
    """A server that tells who holds metadata locks, with a table and two accounts."""
    server = any_server
    with server.telling_lock_holders():
        prepare(server, database)
        yield server


def prepare(server: RealServer, database: str) -> None:
    server.script(
        "CREATE TABLE orders (id INT PRIMARY KEY, note INT)",
        "INSERT INTO orders VALUES (1, 1), (2, 2)",
        "CREATE TABLE other (id INT PRIMARY KEY)",
        "INSERT INTO other VALUES (1)",
        "CREATE USER app@localhost",
        "GRANT ALL ON *.* TO app@localhost",
        "CREATE USER mover@localhost",
        "GRANT ALL ON *.* TO mover@localhost",
        "CREATE USER modest@'127.0.0.1'",
        "GRANT PROCESS, SELECT ON *.* TO modest@'127.0.0.1'",
        database=database,
    )


@contextmanager
def waiting_swap(server: RealServer, database: str) -> Generator[None]:
    """Let the migration's account wait for the table's lock; its connection is ended here."""
    with closing(server.connect(database, user="mover")) as connection:

        def swap() -> None:
            with suppress(MySQLError):
                connection.cursor().execute(
                    "RENAME TABLE orders TO orders_away, orders_away TO orders"
                )

        thread = threading.Thread(target=swap)
        thread.start()
        try:
            yield
        finally:
            for (number,) in server.query(WAITING, ("mover", "%")):
                server.query(f"KILL {number}")
            thread.join(60)


async def is_waiting(server: RealServer, user: str = "mover") -> bool:
    return bool(server.query(WAITING, (user, "Waiting for table metadata lock")))


@dataclass(frozen=True)
class Ending:
    """Who was found, by what became of them."""

    ended: tuple[Blocker, ...]
    spared: tuple[Blocker, ...]
    unseen: str


async def end(server: RealServer, database: str, user: str = "root") -> Ending | None:
    """End whom a swap of `mover` waits for; None when it does not wait."""
    async with pool_of(server, user=user) as pool, pool.session() as session:
        return await end_in(session, database)


async def end_in(session: Session, database: str) -> Ending | None:
    blockage = await find_blockage(session, database, "orders", "mover")
    if blockage is None:
        return None
    results = {one: await end_blocker(session, one) for one in blockage.blockers}
    ended = tuple(one for one, is_ended in results.items() if is_ended)
    spared = tuple(one for one, is_ended in results.items() if not is_ended)
    return Ending(ended, spared, blockage.unseen)


@pytest.mark.parametrize("how", HOLDERS)
async def test_a_holder_is_ended_and_named(
    telling_server: RealServer, database: str, how: str
) -> None:
    server = telling_server
    with (
        connected(server, database, *HOLDERS[how]) as holder,
        connected(server, database, "BEGIN", "SELECT * FROM other") as bystander,
        waiting_swap(server, database),
    ):
        await eventually(lambda: is_waiting(server))
        # One session for all: MySQL 5.7 gives the file descriptor of a connection that is being
        # ended to the next one that comes, and the ended one may then wait for that one's words.
        async with pool_of(server) as pool, pool.session() as session:
            ending = await end_in(session, database)
            assert ending is not None

            assert [blocker.id for blocker in ending.ended] == [number_of(holder)]
            assert str(ending.ended[0]).startswith(f"{number_of(holder)} (app@localhost, ")
            assert (ending.spared, ending.unseen) == ((), "")
            await eventually(lambda: has_gone_on(session, database))
        bystander.ping(reconnect=False)


async def has_gone_on(session: Session, database: str) -> bool:
    return await end_in(session, database) is None


async def test_who_was_ended_and_is_not_gone_is_named_until_the_server_has_let_go(
    telling_server: RealServer, database: str
) -> None:
    server = telling_server
    with (
        connected(server, database, "BEGIN", *[DOUBLING] * 16) as holder,
        waiting_swap(server, database),
    ):
        await eventually(lambda: is_waiting(server))
        endings = Endings()
        named: list[str] = []
        async with pool_of(server) as pool, pool.session() as session:
            while blockage := await find_blockage(session, database, "orders", "mover"):
                await endings.end(session, blockage.blockers)
                named.append(endings.delay)
            await endings.end(session, ())
    name = f"connection {number_of(holder)} ("
    assert named[0] == ""
    assert any(words.startswith(f"the server has not let go of {name}") for words in named)
    assert list(endings.ended) == [number_of(holder)]
    assert endings.delay == ""


@pytest.mark.slow
async def test_mysql_8_tells_who_holds_a_row(start_server: StartServer) -> None:
    server = await asyncio.to_thread(start_server, "mysql-8.0")
    database = server.create_database()
    prepare(server, database)
    with (
        connected(server, database, *HOLDERS["a lock on a row"]) as holder,
        waiting_swap(server, database),
    ):
        await eventually(lambda: is_waiting(server))
        ending = await end(server, database)
        assert ending is not None
        assert [blocker.id for blocker in ending.ended] == [number_of(holder)]
        assert "FOR UPDATE" in str(ending.ended[0])


async def test_nobody_is_ended_while_nothing_waits(
    telling_server: RealServer, database: str
) -> None:
    with connected(telling_server, database, "LOCK TABLES orders READ") as holder:
        assert await end(telling_server, database) is None
        holder.ping(reconnect=False)


async def test_who_waits_behind_the_swap_is_not_ended(
    telling_server: RealServer, database: str
) -> None:
    server = telling_server
    with (
        connected(server, database, "LOCK TABLES orders READ") as holder,
        waiting_swap(server, database),
        closing(server.connect(database, user="app")) as writer,
    ):
        await eventually(lambda: is_waiting(server))
        thread = threading.Thread(
            target=lambda: writer.cursor().execute("UPDATE orders SET note = 7 WHERE id = 1")
        )
        thread.start()
        await eventually(lambda: is_waiting(server, "app"))
        ending = await end(server, database)
        assert ending is not None
        thread.join(60)

        assert [blocker.id for blocker in ending.ended] == [number_of(holder)]
        assert server.scalar("SELECT note FROM orders WHERE id = 1", database=database) == 7


async def test_an_account_that_may_not_end_others_says_whom_it_spared(
    telling_server: RealServer, database: str
) -> None:
    server = telling_server
    with (
        connected(server, database, "LOCK TABLES orders READ") as holder,
        waiting_swap(server, database),
    ):
        await eventually(lambda: is_waiting(server))
        ending = await end(server, database, user="modest")
        assert ending is not None
        assert ending.ended == ()
        assert [blocker.id for blocker in ending.spared] == [number_of(holder)]
        holder.ping(reconnect=False)


async def test_a_server_that_does_not_tell_gives_the_running_statement_only(
    any_server: RealServer, database: str
) -> None:
    server = any_server
    prepare(server, database)
    if not server.is_mariadb:
        server.query(
            "UPDATE performance_schema.setup_instruments SET ENABLED = 'NO' "
            "WHERE NAME = 'wait/lock/metadata/sql/mdl'"
        )
    with (
        connected(server, database, "LOCK TABLES orders READ") as silent,
        running(
            server, database, f"SELECT SLEEP(30) FROM `orders` WHERE note <> '{'x' * 5000}'"
        ) as reader,
        running(server, database, "SELECT SLEEP(30), 'orders' /* orders */ FROM other AS o"),
        waiting_swap(server, database),
    ):
        await eventually(lambda: is_waiting(server))
        ending = await end(server, database)
        assert ending is not None
        assert [blocker.id for blocker in ending.ended] == [number_of(reader)]
        assert ": SELECT SLEEP(30) FROM `orders`" in str(ending.ended[0])
        assert str(ending.ended[0]).endswith("...)")
        assert "does not tell who holds the table's lock" in ending.unseen
        silent.ping(reconnect=False)


async def test_an_account_that_sees_no_locks_says_what_it_lacks(
    mysql57: RealServer, database: str
) -> None:
    prepare(mysql57, database)
    mysql57.script(
        "CREATE USER blind@'127.0.0.1'",
        "GRANT PROCESS ON *.* TO blind@'127.0.0.1'",
    )
    with (
        connected(mysql57, database, "LOCK TABLES orders READ") as holder,
        waiting_swap(mysql57, database),
    ):
        await eventually(lambda: is_waiting(mysql57))
        ending = await end(mysql57, database, user="blind")
        assert ending is not None
        assert ending.ended == ()
        assert "GRANT SELECT ON performance_schema.*" in ending.unseen
        holder.ping(reconnect=False)


@contextmanager
def running(server: RealServer, database: str, statement: str) -> Generator[Connection[Any]]:
    """Run something long until the test or the server ends it."""
    with closing(server.connect(database, user="app")) as connection:

        def run() -> None:
            with suppress(MySQLError):
                connection.cursor().execute(statement)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            eventually_blocking(
                lambda: server.query(
                    "SELECT id FROM information_schema.processlist WHERE info = %s", (statement,)
                )
            )
            yield connection
        finally:
            with suppress(MySQLError):
                server.query(f"KILL {number_of(connection)}")
            thread.join(60)
