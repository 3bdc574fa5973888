"""The lease of a real server: who has it, how it goes on to the next one, what it keeps out."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tabletd.errors import LeaseNotHeld, NotWritable, Reason
from tabletd.lease import Lease, write
from tabletd.mysql.pool import Pool
from tabletd.telemetry.vars import Registry
from tests.conftest import StartServer
from tests.support.lease import (
    DURATION_SECONDS,
    Stopwatch,
    dead_holder,
    holder_of,
    lease_of,
)
from tests.support.pools import pool_of
from tests.support.servers import Pair, RealServer
from tests.support.waiting import eventually

ONE, OTHER = holder_of(1), holder_of(2)
MARK = "INSERT INTO marks.t (note) SELECT %s FROM DUAL WHERE 1 = 1"


def leases(server: RealServer) -> list[tuple[object, ...]]:
    return server.query("SELECT tablet, epoch, nonce <> '' FROM _vt.lease ORDER BY server")


def renewals(server: RealServer) -> int:
    return int(str(server.scalar("SELECT renewals FROM _vt.lease")))


def has_no_end(server: RealServer) -> bool:
    return bool(server.scalar("SELECT expires_at > '9999-01-01' FROM _vt.lease"))


def binary_log(server: RealServer) -> tuple[object, ...]:
    """Return file and position of the end of the binary log."""
    return server.query("SHOW MASTER STATUS")[0][:2]


def make_marks(server: RealServer) -> None:
    server.script(
        "CREATE DATABASE marks",
        "CREATE TABLE marks.t (id INT AUTO_INCREMENT PRIMARY KEY, note VARCHAR(20))",
    )


def marks(server: RealServer) -> list[str]:
    return [str(note) for (note,) in server.query("SELECT note FROM marks.t ORDER BY id")]


async def mark(pool: Pool, note: str, lease: Lease) -> None:
    async with pool.session(writable=True) as session:
        await write(session, MARK, (note,), lease)


async def test_the_first_daemon_makes_the_table_and_takes_the_lease(any_server: RealServer) -> None:
    async with lease_of(any_server, ONE) as lease:
        with pytest.raises(LeaseNotHeld):
            lease.check()
        await lease.make_primary()
        assert lease.is_held
        assert lease.check().epoch == 1
        assert leases(any_server) == [(ONE.tablet, 1, 1)]


async def test_a_second_daemon_waits_and_knows_for_whom(any_server: RealServer) -> None:
    async with lease_of(any_server, ONE) as first, lease_of(any_server, OTHER) as second:
        await first.make_primary()
        await second.make_primary()
        assert first.is_held
        assert not second.is_held
        with pytest.raises(LeaseNotHeld, match="another daemon acts for this server") as refused:
            second.check()
        assert refused.value.reason is Reason.LEASE_HELD
        assert refused.value.facts["address"] == ONE.address
        assert second.state() == f"held by {ONE}"
        assert leases(any_server) == [(ONE.tablet, 1, 1)]


async def test_a_lease_that_is_given_back_is_taken_at_once(any_server: RealServer) -> None:
    async with lease_of(any_server, ONE) as first, lease_of(any_server, OTHER) as second:
        await first.make_primary()
        await first.close()
        assert not first.is_held
        assert leases(any_server) == [(ONE.tablet, 1, 0)]
        await second.make_primary()
        assert second.check().epoch == 2


async def test_the_lease_of_a_dead_process_of_this_machine_is_taken_at_once(
    any_server: RealServer,
) -> None:
    async with lease_of(any_server, dead_holder()) as first, lease_of(any_server, ONE) as second:
        await first.make_primary()
        await second.make_primary()
        assert second.check().epoch == 2


async def test_a_daemon_takes_its_own_lease_again_under_a_new_epoch(any_server: RealServer) -> None:
    watch = Stopwatch()
    async with lease_of(any_server, ONE, now=watch) as lease:
        await lease.make_primary()
        former = lease.check()
        watch.seconds += DURATION_SECONDS
        assert not lease.is_held
        await lease.make_primary()
        assert lease.check().epoch == former.epoch + 1
        assert lease.check().nonce != former.nonce


async def test_a_renewed_lease_outlasts_its_length_and_a_silent_one_is_taken_over(
    any_server: RealServer,
) -> None:
    async with (
        lease_of(any_server, ONE, duration_seconds=2.0) as first,
        lease_of(any_server, OTHER, duration_seconds=2.0) as second,
        asyncio.TaskGroup() as tasks,
    ):
        await first.make_primary()
        first_run = tasks.create_task(first.run())
        second_run = tasks.create_task(second.run())
        await second.make_primary()
        await eventually(lambda: renewals(any_server) >= 6)
        assert first.is_held
        assert not second.is_held

        first_run.cancel()
        await eventually(lambda: second.is_held, what="the lease is taken over")
        assert not first.is_held
        assert second.check().epoch == 2
        second_run.cancel()


async def test_a_holder_with_nothing_to_do_writes_nothing_until_it_has(
    any_server: RealServer,
) -> None:
    registry, work = Registry(), [True]
    async with (
        lease_of(any_server, ONE, in_use=lambda: bool(work), registry=registry) as lease,
        asyncio.TaskGroup() as tasks,
    ):
        await lease.make_primary()
        running = tasks.create_task(lease.run())

        def renewed() -> int:
            return int(str(registry.export()["LeaseRenewals"]))

        busy = renewals(any_server)
        await eventually(lambda: renewals(any_server) > busy, what="work has it renewed")
        work.clear()
        await eventually(lambda: has_no_end(any_server), what="nothing is left to do")
        position, written = binary_log(any_server), renewals(any_server)
        enough = renewed() + 4
        await eventually(lambda: renewed() >= enough)
        assert (binary_log(any_server), renewals(any_server)) == (position, written)
        assert lease.is_held
        work.append(True)
        await eventually(lambda: renewals(any_server) > written, what="work has it renewed")
        assert not has_no_end(any_server)
        assert lease.check().epoch == 1
        running.cancel()


async def test_a_holder_with_nothing_to_do_answers_who_waits_and_is_followed_when_it_hangs(
    any_server: RealServer,
) -> None:
    async with (
        lease_of(any_server, ONE, in_use=lambda: False) as first,
        lease_of(any_server, OTHER) as second,
        asyncio.TaskGroup() as tasks,
    ):
        await first.make_primary()
        first_run = tasks.create_task(first.run())
        await eventually(lambda: has_no_end(any_server), what="nothing is left to do")
        second_run = tasks.create_task(second.run())
        await second.make_primary()
        assert second.state() == f"held by {ONE}"
        answered = renewals(any_server) + 2
        await eventually(lambda: renewals(any_server) >= answered, what="it answers each call")
        assert first.is_held
        assert not second.is_held

        first_run.cancel()
        await eventually(lambda: second.is_held, what="the lease is taken over")
        assert not first.is_held
        assert second.check().epoch == 2
        second_run.cancel()


async def test_a_holder_that_wakes_after_it_was_called_in_finds_another_one(
    any_server: RealServer,
) -> None:
    make_marks(any_server)
    stopped, watch = Stopwatch(), Stopwatch()
    async with (
        pool_of(any_server) as pool,
        lease_of(any_server, ONE, now=stopped, in_use=lambda: False) as first,
        lease_of(any_server, OTHER, now=watch) as second,
        asyncio.TaskGroup() as tasks,
    ):
        await first.make_primary()
        running = tasks.create_task(first.run())
        await eventually(lambda: has_no_end(any_server), what="nothing is left to do")
        running.cancel()
        watch.seconds += 100 * DURATION_SECONDS
        await second.make_primary()
        assert not second.is_held, "it is only called in"
        assert not has_no_end(any_server)
        await second.make_primary()
        assert not second.is_held
        watch.seconds += DURATION_SECONDS
        await second.make_primary()
        assert second.is_held
        assert first.is_held, "by its own clock, which stands"
        with pytest.raises(LeaseNotHeld):
            await mark(pool, "late", first)
        await first.make_primary()
        assert not first.is_held
    assert marks(any_server) == []


async def test_a_write_of_a_daemon_that_was_superseded_does_nothing(any_server: RealServer) -> None:
    make_marks(any_server)
    stopped = Stopwatch()
    async with (
        pool_of(any_server) as pool,
        lease_of(any_server, ONE, now=stopped) as first,
        lease_of(any_server, OTHER) as second,
    ):
        await first.make_primary()
        lost: list[bool] = []
        first.on_lost = lambda: lost.append(True)
        await mark(pool, "before", first)
        any_server.script("UPDATE _vt.lease SET nonce = ''")
        await second.make_primary()
        assert first.is_held, "by its own clock, which stands"
        with pytest.raises(LeaseNotHeld):
            await mark(pool, "late", first)
        assert not first.is_held
        await first.make_primary()
        assert lost == [True]
        assert not first.is_held
        await mark(pool, "after", second)
    assert marks(any_server) == ["before", "after"]


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "READ COMMITTED"])
async def test_who_takes_the_lease_waits_for_a_write_of_its_holder_that_is_under_way(
    any_server: RealServer, isolation: str
) -> None:
    make_marks(any_server)
    async with pool_of(any_server) as pool, lease_of(any_server, ONE) as lease:
        await lease.make_primary()
        async with pool.session(writable=True) as session:
            await session.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}")
            await session.execute("START TRANSACTION")
            await write(session, MARK, ("under way",), lease)
            with pytest.raises(Exception, match="Lock wait timeout exceeded"):
                await asyncio.to_thread(
                    any_server.script,
                    "SET SESSION innodb_lock_wait_timeout = 1",
                    "UPDATE _vt.lease SET epoch = epoch + 1",
                )
            await session.execute("COMMIT")


async def test_nothing_is_taken_from_a_server_that_is_read_only(any_server: RealServer) -> None:
    async with lease_of(any_server, ONE) as lease:
        await lease.make_primary()
        await lease.close()
        any_server.script("SET GLOBAL read_only = 1")
        try:
            before = any_server.gtid_executed()
            await lease.make_primary()
            assert not lease.is_held
            with pytest.raises(LeaseNotHeld, match="read_only"):
                lease.check()
            assert any_server.gtid_executed() == before
        finally:
            any_server.script("SET GLOBAL read_only = 0")
        await lease.make_primary()
        assert lease.is_held


@pytest.mark.parametrize("damage", ["DROP DATABASE _vt", "DELETE FROM _vt.lease"])
async def test_a_holder_whose_row_is_gone_puts_it_back_and_lets_go_of_nothing(
    any_server: RealServer, damage: str
) -> None:
    make_marks(any_server)
    async with (
        pool_of(any_server) as pool,
        lease_of(any_server, ONE) as lease,
        lease_of(any_server, OTHER) as other,
        asyncio.TaskGroup() as tasks,
    ):
        await lease.make_primary()
        lost: list[bool] = []
        lease.on_lost = lambda: lost.append(True)
        former = lease.check()
        any_server.script(damage)
        running = tasks.create_task(lease.run())
        await eventually(lambda: lease.is_held and lease.check().epoch > former.epoch)
        await mark(pool, "goes on", lease)
        await other.make_primary()
        assert not other.is_held
        assert lost == []
        running.cancel()
    assert marks(any_server) == ["goes on"]


async def test_a_dropped_schema_is_made_anew_and_old_epochs_count_no_more(
    any_server: RealServer,
) -> None:
    make_marks(any_server)
    async with (
        pool_of(any_server) as pool,
        lease_of(any_server, ONE) as first,
        lease_of(any_server, OTHER) as second,
    ):
        await first.make_primary()
        any_server.script("DROP DATABASE _vt")
        await second.make_primary()
        assert second.check().epoch == first.check().epoch == 1
        with pytest.raises(LeaseNotHeld):
            await mark(pool, "late", first)
        await mark(pool, "after", second)
        assert marks(any_server) == ["after"]
        with suppress(LeaseNotHeld):
            await first.make_primary()
        assert not first.is_held


@pytest.fixture(params=["mariadb", "mysql-5.7"])
def statement_server(request: pytest.FixtureRequest, start_server: StartServer) -> RealServer:
    return start_server(request.param, options=("--binlog-format=STATEMENT",))


async def test_writes_are_fenced_without_a_warning_where_replicas_get_statements(
    statement_server: RealServer,
) -> None:
    server = statement_server
    make_marks(server)
    stopped = Stopwatch()
    async with (
        pool_of(server) as pool,
        lease_of(server, ONE, now=stopped) as first,
        lease_of(server, OTHER) as second,
    ):
        await first.make_primary()
        async with pool.session(writable=True) as session:
            await write(session, MARK, ("before",), first)
            assert (await session.execute("SHOW WARNINGS")).rows == []
        server.script("UPDATE _vt.lease SET nonce = ''")
        await second.make_primary()
        with pytest.raises(LeaseNotHeld):
            await mark(pool, "late", first)
        await mark(pool, "after", second)
    assert marks(server) == ["before", "after"]
    assert "unsafe" not in server.server.log_tail(200).lower()


async def test_each_server_of_a_pair_has_a_lease_of_its_own(any_pair: Pair) -> None:
    """The row of the primary comes over by replication, and is nobody's on the replica."""
    async with (
        lease_of(any_pair.primary, ONE) as first,
        lease_of(any_pair.replica, OTHER) as second,
    ):
        await first.make_primary()
        any_pair.catch_up()
        await second.make_primary()
        assert not second.is_held, "a replica is read-only"
        any_pair.replica.script("SET GLOBAL read_only = 0")
        await second.make_primary()
        assert second.is_held
        assert second.check().epoch == 1
        assert {row[0] for row in leases(any_pair.replica)} == {ONE.tablet, OTHER.tablet}


async def test_a_daemon_that_was_stopped_between_two_statements_does_not_send_the_second(
    any_server: RealServer,
) -> None:
    make_marks(any_server)
    watch = Stopwatch()
    async with lease_of(any_server, ONE, now=watch) as lease, pool_of(any_server) as pool:
        pool.guard = lease.check
        await lease.make_primary()

        async def write_two() -> None:
            async with pool.session(writable=True) as session, session.transaction():
                await session.execute("INSERT INTO marks.t (note) VALUES ('before')")
                watch.seconds += DURATION_SECONDS
                await session.execute("INSERT INTO marks.t (note) VALUES ('late')")

        with pytest.raises(LeaseNotHeld):
            await write_two()
        await pool.execute("SELECT 1")
    assert marks(any_server) == [], "the transaction went with its connection"


async def test_a_pool_that_is_guarded_lends_nothing_for_writing(any_server: RealServer) -> None:
    async with lease_of(any_server, ONE) as lease, pool_of(any_server) as pool:
        pool.guard = lease.check
        await pool.execute("SELECT 1")
        with pytest.raises(LeaseNotHeld):
            await pool.execute("SELECT 1", writable=True)
        await lease.make_primary()
        await pool.execute("SELECT 1", writable=True)
        any_server.script("SET GLOBAL read_only = 1")
        try:
            with pytest.raises(NotWritable):
                await pool.execute("SELECT 1", writable=True)
        finally:
            any_server.script("SET GLOBAL read_only = 0")
