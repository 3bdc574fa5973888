"""What a REVERT brings back, chains included, by Vitess's own client."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tabletd.executor.names import create_uuid
from tests.e2e.vtctldclient.conftest import Fleet
from tests.support.two_shards import KEYSPACE
from tests.support.vtctldclient import VtctldClient, on_each_shard

KEPT: Final = "--retain-artifacts=1h"


class Reverts:
    """Submits changes that are kept, and reverts them."""

    def __init__(self, fleet: Fleet, client: VtctldClient) -> None:
        self.fleet = fleet
        self.client = client
        self.strategy = f"{fleet.tool} {KEPT}"

    def done(self, sql: str) -> str:
        """Submit a statement and wait until it is complete; return its uuid."""
        uuid = self.client.submit(sql, self.strategy)
        self.client.wait(uuid, "COMPLETE")
        return uuid

    def revert(self, uuid: str) -> str:
        """Revert a migration; return the uuid of the REVERT."""
        reverting = self.done(f"revert vitess_migration '{uuid}'")
        assert all(row["reverted_uuid"] == uuid for row in self.client.show(reverting))
        return reverting

    def refused(self, uuid: str) -> list[str]:
        """See that a REVERT fails; return its messages."""
        reverting = self.client.submit(f"revert vitess_migration '{uuid}'", self.strategy)
        return [row["message"] for row in self.client.wait(reverting, "FAILED")]

    def seen(self, sql: str) -> list[list[tuple[Any, ...]]]:
        """Return the rows of a query on each shard."""
        servers = self.fleet.shards.servers.values()
        return [[*server.query(sql, database=KEYSPACE)] for server in servers]

    def columns(self, table: str) -> set[str]:
        """Return a table's columns, which are the same on both shards."""
        low, high = self.fleet.shards.columns(table)
        assert low == high
        return low


@pytest.fixture
def reverts(fleet: Fleet, client: VtctldClient) -> Reverts:
    return Reverts(fleet, client)


def test_a_create_is_reverted_and_its_revert_too(reverts: Reverts) -> None:
    table = f"t_{create_uuid()[:8]}"
    created = reverts.done(f"CREATE TABLE {table} (id int PRIMARY KEY)")
    gone = reverts.revert(created)
    assert reverts.columns(table) == set()
    back = reverts.revert(gone)
    assert reverts.columns(table) == {"id"}
    reverts.revert(back)
    assert reverts.columns(table) == set()


def test_a_dropped_table_comes_back_with_its_rows(reverts: Reverts) -> None:
    table = reverts.fleet.table()
    dropped = reverts.done(f"DROP TABLE {table}")
    assert reverts.columns(table) == set()
    back = reverts.revert(dropped)
    assert reverts.seen(f"SELECT COUNT(*) FROM {table}") == [[(9,)]] * 2
    again = reverts.revert(back)
    assert reverts.columns(table) == set()
    reverts.revert(again)
    assert reverts.seen(f"SELECT COUNT(*) FROM {table}") == [[(9,)]] * 2


def test_a_drop_of_a_missing_table_is_reverted_to_no_effect(reverts: Reverts) -> None:
    dropped = reverts.done("DROP TABLE IF EXISTS no_such_table")
    reverts.revert(dropped)
    assert reverts.columns("no_such_table") == set()


def test_a_chain_of_changes_of_a_view_is_gone_back_step_by_step(reverts: Reverts) -> None:
    table = reverts.fleet.table()
    view = f"{table}_view"
    created = reverts.done(f"CREATE VIEW {view} AS SELECT id FROM {table}")
    replaced = reverts.done(f"CREATE OR REPLACE VIEW {view} AS SELECT filled FROM {table}")
    assert reverts.columns(view) == {"filled"}
    back = reverts.revert(replaced)
    assert reverts.columns(view) == {"id"}
    forth = reverts.revert(back)
    assert reverts.columns(view) == {"filled"}
    altered = reverts.done(f"ALTER VIEW {view} AS SELECT id, filled FROM {table}")
    assert reverts.columns(view) == {"id", "filled"}
    reverts.revert(altered)
    assert reverts.columns(view) == {"filled"}
    dropped = reverts.done(f"DROP VIEW {view}")
    assert reverts.columns(view) == set()
    reverts.revert(dropped)
    assert reverts.columns(view) == {"filled"}
    for older in (created, forth):
        assert all("is not the last migration" in text for text in reverts.refused(older))


def test_a_change_by_a_tool_cannot_be_reverted_and_says_why(reverts: Reverts) -> None:
    altered = reverts.done(f"ALTER TABLE {reverts.fleet.table()} ADD COLUMN c int")
    for text in reverts.refused(altered):
        assert f"an ALTER TABLE by {reverts.fleet.tool}" in text
        assert "submit the ALTER TABLE that undoes it" in text


def test_what_failed_cannot_be_reverted(reverts: Reverts) -> None:
    failed = reverts.client.submit("DROP TABLE no_such_table", reverts.strategy)
    reverts.client.wait(failed, "FAILED")
    for text in reverts.refused(failed):
        assert "can only revert a migration in a 'complete' state" in text


def test_postponed_reverts_wait_beside_each_other_and_beside_other_changes(
    reverts: Reverts,
) -> None:
    client, fleet = reverts.client, reverts.fleet
    tables = [fleet.table() for _ in range(2)]
    dropped = [reverts.done(f"DROP TABLE {table}") for table in tables]
    postponed = f"{fleet.tool} --postpone-completion"
    waiting = [
        client.submit(f"revert vitess_migration '{uuid}'", f"{postponed} --allow-concurrent")
        for uuid in dropped
    ]
    for uuid in waiting:
        client.wait_until_ready(uuid)
        assert all("completion is postponed" in row["message"] for row in client.show(uuid))
    others = [fleet.table() for _ in range(3)]
    for table in others:
        reverts.done(f"DROP TABLE {table}")
    for uuid, table in zip(reversed(waiting), reversed(tables), strict=True):
        assert client.verb("complete", uuid) == on_each_shard(1)
        client.wait(uuid, "COMPLETE")
        assert reverts.columns(table) == {"id", "filled"}


def test_a_revert_need_not_wait_for_drops_that_wait(reverts: Reverts) -> None:
    client, fleet = reverts.client, reverts.fleet
    table = fleet.table()
    dropped = reverts.done(f"DROP TABLE {table}")
    postponed = f"{fleet.tool} --postpone-completion --allow-concurrent"
    drops = [client.submit(f"DROP TABLE {fleet.table()}", postponed) for _ in range(3)]
    for uuid in drops:
        client.wait_until_ready(uuid)
    reverts.revert(dropped)
    assert reverts.columns(table) == {"id", "filled"}
    assert client.verb("complete", "all") == on_each_shard(3)
    for uuid in drops:
        client.wait(uuid, "COMPLETE")
