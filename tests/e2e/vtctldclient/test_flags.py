"""The flags of a strategy and the statements that go with them, by Vitess's own client."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest

from tabletd.executor.names import create_uuid
from tests.e2e.vtctldclient.conftest import Fleet
from tests.integration.engines.holders import connected, number_of
from tests.support.two_shards import KEYSPACE, SHARDS
from tests.support.vtctldclient import VtctldClient, apply_arguments, on_each_shard
from tests.support.waiting import eventually_blocking

LOW, HIGH = SHARDS


def _control(client: VtctldClient, uuid: str, words: str) -> None:
    """Say something about a migration by SQL, which prints nothing."""
    assert client.apply(f"alter vitess_migration '{uuid}' {words}") == []


def _by_shard(client: VtctldClient, uuid: str) -> dict[str, str]:
    return {row["shard"]: row["status"] for row in client.show(uuid)}


def test_a_launch_may_be_postponed_and_given_to_one_shard_before_the_other(
    fleet: Fleet, client: VtctldClient
) -> None:
    table = f"t_{create_uuid()[:8]}"
    uuid = client.submit(
        f"CREATE TABLE {table} (id int PRIMARY KEY)", f"{fleet.tool} --postpone-launch"
    )
    _control(client, create_uuid(), "launch")
    _control(client, uuid, "launch vitess_shards '40-80,80-c0'")
    assert {row["status"] for row in client.show(uuid)} == {"QUEUED"}
    assert all("launch" in row["stage"] for row in client.show(uuid))
    _control(client, uuid, f"launch vitess_shards '{LOW}'")
    eventually_blocking(lambda: _by_shard(client, uuid) == {LOW: "COMPLETE", HIGH: "QUEUED"})
    assert client.verb("launch", "all") == {LOW: "0", HIGH: "1"}
    client.wait(uuid, "COMPLETE")
    assert fleet.shards.columns(table) == [{"id"}] * 2


def test_a_completion_may_be_postponed_late_and_given_to_one_shard_before_the_other(
    fleet: Fleet, client: VtctldClient
) -> None:
    table = fleet.table()
    uuid = client.submit(f"ALTER TABLE {table} ADD COLUMN c int", f"{fleet.tool} --postpone-launch")
    _control(client, uuid, "postpone complete")
    assert all(row["postpone_completion"] for row in client.show(uuid))
    client.verb("launch", uuid)
    client.wait_until_ready(uuid)
    _control(client, uuid, "complete vitess_shards '40-80'")
    assert {*_by_shard(client, uuid).values()} == {"RUNNING"}
    _control(client, uuid, f"complete vitess_shards '{HIGH}'")
    eventually_blocking(lambda: _by_shard(client, uuid) == {LOW: "RUNNING", HIGH: "COMPLETE"})
    assert client.verb("complete", "all") == {LOW: "1", HIGH: "0"}
    client.wait(uuid, "COMPLETE")


def test_a_cut_over_threshold_has_limits(fleet: Fleet, client: VtctldClient) -> None:
    uuid = client.submit(
        f"ALTER TABLE {fleet.table()} ADD COLUMN c int", f"{fleet.tool} --postpone-launch"
    )
    for threshold, reason in {
        "2s": "cut-over min value is 5s",
        "2m": "cut-over max value is 30s",
    }.items():
        words = f"alter vitess_migration '{uuid}' cutover_threshold '{threshold}'"
        assert reason in client.refused("ApplySchema", "--sql", words, KEYSPACE)
        strategy = f"{fleet.tool} --cut-over-threshold={threshold}"
        arguments = apply_arguments("CREATE TABLE never (id int)", strategy=strategy)
        assert reason in client.refused(*arguments)
    _control(client, uuid, "cutover_threshold '7s'")
    client.verb("launch", uuid)
    client.wait(uuid, "COMPLETE")


def test_migrations_complete_in_the_order_of_their_submission(
    fleet: Fleet, client: VtctldClient
) -> None:
    table = fleet.table()
    uuids = client.apply(
        f"ALTER TABLE {table} ADD COLUMN seen int",
        f"CREATE VIEW {table}_view AS SELECT seen FROM {table}",
        strategy=f"{fleet.tool} --in-order-completion --allow-concurrent",
        context=f"in order {fleet.tool}",
    )
    first, second = (client.wait(uuid, "COMPLETE") for uuid in uuids)
    for earlier, later in zip(first, second, strict=True):
        assert int(earlier["completed_at"]["seconds"]) <= int(later["completed_at"]["seconds"])


def test_in_order_those_behind_a_failed_one_of_their_context_fail(
    fleet: Fleet, client: VtctldClient
) -> None:
    table = f"t_{create_uuid()[:8]}"
    first, second = client.apply(
        "DROP TABLE no_such_table",
        f"CREATE TABLE {table} (id int PRIMARY KEY)",
        strategy=f"{fleet.tool} --in-order-completion",
        context=f"bails out {fleet.tool}",
    )
    client.wait(first, "FAILED")
    assert all(first in row["message"] for row in client.wait(second, "FAILED"))
    assert fleet.shards.columns(table) == [set(), set()]


def test_a_singleton_is_refused_while_anything_else_is_pending(
    fleet: Fleet, client: VtctldClient
) -> None:
    pending = client.submit(
        f"ALTER TABLE {fleet.table()} ADD COLUMN c int", f"{fleet.tool} --postpone-launch"
    )
    table = fleet.table()
    alter = apply_arguments(f"DROP TABLE {table}", strategy=f"{fleet.tool} --singleton")
    answer = client.refused(*alter)
    assert "singleton migration rejected: found pending migrations" in answer
    assert pending in answer
    assert len(client.show("queued")) == len(SHARDS)
    client.verb("cancel", pending)
    (uuid,) = client.run(*alter).split()
    client.wait(uuid, "COMPLETE")


def test_a_singleton_context_lets_its_own_context_in_alone(
    fleet: Fleet, client: VtctldClient
) -> None:
    strategy = f"{fleet.tool} --singleton-context --postpone-launch"
    alters = [f"ALTER TABLE {fleet.table()} ADD COLUMN c int" for _ in range(3)]
    uuids = client.apply(*alters[:2], strategy=strategy, context=f"one {fleet.tool}")
    assert len(uuids) == 2
    refused = client.refused(
        *apply_arguments(alters[2], strategy=strategy, context=f"another {fleet.tool}")
    )
    assert "singleton-context migration rejected" in refused
    client.submit(alters[2], strategy, f"one {fleet.tool}")
    assert client.verb("cancel", "all") == on_each_shard(3)


def test_a_singleton_table_lets_one_migration_of_a_table_in(
    fleet: Fleet, client: VtctldClient
) -> None:
    strategy = f"{fleet.tool} --singleton-table --postpone-launch"
    table, other = fleet.table(), fleet.table()
    client.submit(f"ALTER TABLE {table} ADD COLUMN c int", strategy)
    refused = client.refused(
        *apply_arguments(f"ALTER TABLE {table} ADD COLUMN d int", strategy=strategy)
    )
    assert "singleton-table migration rejected" in refused
    client.submit(f"ALTER TABLE {other} ADD COLUMN c int", strategy)


def test_the_second_of_two_waits_for_the_first(fleet: Fleet, client: VtctldClient) -> None:
    first = client.submit(
        f"ALTER TABLE {fleet.table()} ADD COLUMN c int", f"{fleet.tool} --postpone-completion"
    )
    client.wait_until_ready(first)
    second = client.submit(f"ALTER TABLE {fleet.table()} ADD COLUMN c int", fleet.tool)
    eventually_blocking(lambda: all(first in row["message"] for row in client.show(second)))
    assert {*_by_shard(client, second).values()} <= {"QUEUED", "READY"}
    concurrent = client.submit(
        f"ALTER TABLE {fleet.table()} ADD COLUMN c int", f"{fleet.tool} --allow-concurrent"
    )
    client.wait(concurrent, "COMPLETE")
    client.verb("complete", first)
    client.wait(second, "COMPLETE")


HOLDERS: Final[dict[str, tuple[str, ...]]] = {
    "a lock on a row": ("BEGIN", "UPDATE {} SET filled = 100 WHERE id = 1"),
    "a lock on the table": ("LOCK TABLES {} WRITE",),
}


@contextmanager
def _held(fleet: Fleet, table: str, how: str) -> Generator[Callable[[], int]]:
    """Hold a table on both shards; yields how many of the holders are still connected."""
    servers = fleet.shards.servers.values()
    with ExitStack() as holders:
        statements = [statement.format(table) for statement in HOLDERS[how]]
        numbers = [
            number_of(holders.enter_context(connected(server, KEYSPACE, *statements, user="root")))
            for server in servers
        ]

        def alive() -> int:
            sql = "SELECT 1 FROM information_schema.processlist WHERE id = %s"
            return sum(
                len(server.query(sql, (number,)))
                for server, number in zip(servers, numbers, strict=True)
            )

        yield alive


@pytest.fixture
def telling_fleet(fleet: Fleet) -> Iterator[Fleet]:
    """The fleet, whose servers tell who holds a table; MariaDB needs a plugin for that."""
    with ExitStack() as telling:
        for server in fleet.shards.servers.values():
            telling.enter_context(server.telling_lock_holders())
        yield fleet


@pytest.mark.parametrize("how", HOLDERS)
def test_a_forced_cut_over_ends_who_holds_the_table(
    telling_fleet: Fleet, client: VtctldClient, how: str
) -> None:
    fleet = telling_fleet
    table = fleet.table()
    uuid = client.submit(
        f"ALTER TABLE {table} ADD COLUMN c int", f"{fleet.tool} --postpone-completion"
    )
    client.wait_until_ready(uuid)
    with _held(fleet, table, how) as alive:
        client.verb("complete", uuid)
        eventually_blocking(
            lambda: all("FORCE_CUTOVER" in row["message"] for row in client.show(uuid))
        )
        assert alive() == len(SHARDS)
        assert client.verb("force-cutover", uuid) == on_each_shard(1)
        rows = client.wait(uuid, "COMPLETE")
        assert alive() == 0
    assert all("forced cut-over ended connection" in row["message"] for row in rows)
    assert fleet.shards.columns(table) == [{"id", "filled", "c"}] * 2


def test_the_same_submission_again_retries_what_failed(fleet: Fleet, client: VtctldClient) -> None:
    table = f"t_{create_uuid()[:8]}"
    uuid = create_uuid()
    again = [
        *apply_arguments(f"DROP TABLE {table}", strategy=fleet.tool, context=f"again {fleet.tool}"),
        "--uuid",
        uuid,
    ]
    assert client.run(*again).split() == [uuid]
    client.wait(uuid, "FAILED")
    fleet.shards.script(f"CREATE TABLE {table} (id int PRIMARY KEY)")
    assert client.run(*again).split() == [uuid]
    client.wait(uuid, "COMPLETE")
    assert client.run(*again).split() == [uuid]
    assert client.statuses(uuid) == ["COMPLETE"] * 2
    other = apply_arguments(f"DROP TABLE {table}", strategy=fleet.tool, context="not the same")
    assert "with different context" in client.refused(*other, "--uuid", uuid)


def test_what_is_kept_is_cleaned_up_for_one_and_for_all(fleet: Fleet, client: VtctldClient) -> None:
    strategy = f"{fleet.tool} --retain-artifacts=1h"
    first, second = (client.submit(f"DROP TABLE {fleet.table()}", strategy) for _ in range(2))
    for uuid in (first, second):
        assert all(row["artifacts"] for row in client.wait(uuid, "COMPLETE"))

    def is_clean(uuid: str) -> bool:
        return all(row["cleaned_up_at"] for row in client.show(uuid))

    assert client.verb("cleanup", first) == on_each_shard(1)
    eventually_blocking(lambda: is_clean(first), what="the first is cleaned up")
    assert not is_clean(second)
    client.verb("cleanup", "all")
    eventually_blocking(lambda: is_clean(second), what="the second is cleaned up")


def test_a_declaration_becomes_what_has_to_be_changed(fleet: Fleet, client: VtctldClient) -> None:
    table = f"t_{create_uuid()[:8]}"
    strategy = f"{fleet.tool} --declarative"
    create = f"CREATE TABLE {table} (id int PRIMARY KEY)"
    client.wait(client.submit(create, strategy), "COMPLETE")
    rows = client.wait(client.submit(create, strategy), "COMPLETE")
    assert all("no change" in row["message"] for row in rows)
    changed = client.submit(f"CREATE TABLE {table} (id int PRIMARY KEY, more int)", strategy)
    rows = client.wait(changed, "COMPLETE")
    assert [row["ddl_action"] for row in rows] == ["alter"] * 2
    assert fleet.shards.columns(table) == [{"id", "more"}] * 2
    altered = client.submit(f"ALTER TABLE {table} ADD COLUMN c int", strategy)
    rows = client.wait(altered, "FAILED")
    assert all("ALTER cannot run in declarative mode" in row["message"] for row in rows)
    client.wait(client.submit(f"DROP TABLE {table}", strategy), "COMPLETE")
    rows = client.wait(client.submit(f"DROP TABLE {table}", strategy), "COMPLETE")
    assert all("no change" in row["message"] for row in rows)


def test_an_instant_change_is_made_by_the_server_where_it_can(
    fleet: Fleet, client: VtctldClient
) -> None:
    table = fleet.table()
    uuid = client.submit(
        f"ALTER TABLE {table} ADD COLUMN c int", f"{fleet.tool} --prefer-instant-ddl"
    )
    rows = client.wait(uuid, "COMPLETE")
    assert fleet.shards.columns(table) == [{"id", "filled", "c"}] * 2
    is_instant = fleet.tool == "pt-osc"  # MySQL 5.7 knows no such change
    assert [bool(row["special_plan"]) for row in rows] == [is_instant] * 2


def test_the_strategy_mysql_leaves_all_to_the_server(fleet: Fleet, client: VtctldClient) -> None:
    table = fleet.table()
    alter = f"ALTER TABLE {table} ADD COLUMN c int"
    refused = client.refused(*apply_arguments(alter, strategy="mysql --postpone-completion"))
    assert "postpone-completion" in refused
    rows = client.wait(client.submit(alter, "mysql"), "COMPLETE")
    assert [row["strategy"] for row in rows] == ["MYSQL"] * 2
    assert fleet.shards.columns(table) == [{"id", "filled", "c"}] * 2


def test_what_only_shows_is_refused_in_a_schema_change(client: VtctldClient) -> None:
    assert client.refused("ApplySchema", "--sql", "show vitess_migrations", KEYSPACE)
