"""A release of Vitess's client that no longer names gh-ost and pt-osc still drives them."""

from __future__ import annotations

import json
from typing import Final

from tests.e2e.vtctldclient.conftest import Fleet
from tests.support.two_shards import KEYSPACE
from tests.support.vtctldclient import VtctldClient, on_each_shard
from tests.support.waiting import eventually_blocking

NUMBER: Final = {"gh-ost": 1, "pt-osc": 2}


def test_a_migration_is_submitted_throttled_completed_and_shown(
    fleet: Fleet, newer: VtctldClient
) -> None:
    table = fleet.table()
    uuid = newer.submit(
        f"ALTER TABLE {table} ADD COLUMN c int", f"{fleet.tool} --postpone-completion"
    )
    newer.wait_until_ready(uuid)
    assert json.loads(newer.run("OnlineDDL", "throttle", KEYSPACE, uuid)) == {}
    eventually_blocking(
        lambda: all(row["user_throttle_ratio"] == 1 for row in newer.show(uuid)), what="the rule"
    )
    assert json.loads(newer.run("OnlineDDL", "unthrottle", KEYSPACE, uuid)) == {}
    assert newer.verb("complete", uuid) == on_each_shard(1)
    rows = newer.wait(uuid, "COMPLETE")
    assert fleet.shards.columns(table) == [{"id", "filled", "c"}] * 2
    assert [row["strategy"] for row in rows] == [NUMBER[fleet.tool]] * 2
    printed = newer.show_table(uuid)
    assert [row["strategy"] for row in printed] == ["unknown"] * 2
    assert [row["status"] for row in printed] == ["complete"] * 2
    # What the number no longer says.
    assert all(row["stage"].startswith(fleet.tool) for row in printed)


def test_a_migration_is_cancelled_and_begun_again(fleet: Fleet, newer: VtctldClient) -> None:
    table = fleet.table()
    uuid = newer.submit(
        f"ALTER TABLE {table} ADD COLUMN c int", f"{fleet.tool} --postpone-completion"
    )
    newer.wait_until_ready(uuid)
    assert newer.verb("cancel", uuid) == on_each_shard(1)
    newer.wait(uuid, "CANCELLED")
    assert newer.verb("retry", uuid) == on_each_shard(1)
    newer.wait_until_ready(uuid)
    newer.verb("complete", uuid)
    rows = newer.wait(uuid, "COMPLETE")
    assert [row["retries"] for row in rows] == ["1"] * 2
    assert fleet.shards.columns(table) == [{"id", "filled", "c"}] * 2
