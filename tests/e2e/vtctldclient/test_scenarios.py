"""What Vitess tested of its gh-ost strategy, on two shards, by Vitess's own client 0.21.

The numbers in the names are those of the fifteen cases that Vitess went through until its gh-ost
and pt-osc strategies ended; both tools go through all of them here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tabletd_client import sync
from tests.e2e.vtctldclient.conftest import Fleet
from tests.support.two_shards import KEYSPACE, SHARDS
from tests.support.vtctldclient import VtctldClient, on_each_shard
from tests.support.waiting import eventually_blocking

ROWS: Final = 9
NO_KEY: Final = {
    "gh-ost": "no PRIMARY nor UNIQUE key found",
    "pt-osc": "neither a primary key nor a unique key",
}
NEVER_COPIES: Final = {
    "gh-ost": "gh-ost --max-load=Threads_running=1",
    "pt-osc": "pt-osc --max-load=Threads_running=1",
}


def _logs(fleet: Fleet, uuid: str) -> list[str]:
    """Return the log of a migration on each shard, which `vtctldclient` has no command for."""
    with sync.connect(fleet.shards.daemons[SHARDS[0]].grpc) as reader:
        return [log.text for log in reader.logs(KEYSPACE, uuid)]


def _tables(fleet: Fleet, pattern: str) -> list[list[str]]:
    sql = (
        "SELECT table_name FROM information_schema.tables "
        "WHERE table_schema = %s AND table_name LIKE %s"
    )
    return [
        [str(name) for (name,) in server.query(sql, (KEYSPACE, pattern))]
        for server in fleet.shards.servers.values()
    ]


def _kept(fleet: Fleet, rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return those of the migrations' artifacts that exist, on each shard."""
    artifacts = {row["shard"]: row["artifacts"].split(",") for row in rows}
    return [
        [name for name in artifacts[shard] if name in names]
        for shard, names in zip(SHARDS, _tables(fleet, "%"), strict=True)
    ]


def _is_over(client: VtctldClient, uuid: str) -> None:
    """See that a complete migration can be neither cancelled nor begun again."""
    assert client.verb("cancel", uuid) == on_each_shard(0)
    assert client.verb("retry", uuid) == on_each_shard(0)


def test_1_a_direct_change_is_no_migration(fleet: Fleet, client: VtctldClient) -> None:
    table = fleet.table()
    assert client.apply(f"ALTER TABLE {table} ADD COLUMN direct int") == []
    assert fleet.shards.columns(table) == [{"id", "filled", "direct"}] * 2


@pytest.mark.parametrize("ending", ["", ";"], ids=["plain", "with a semicolon"])
def test_2_and_3_a_change_by_the_tool_completes(
    fleet: Fleet, client: VtctldClient, ending: str
) -> None:
    table = fleet.table()
    uuid = client.submit(f"ALTER TABLE {table} ADD COLUMN online int{ending}", fleet.tool)
    rows = client.wait(uuid, "COMPLETE")
    assert fleet.shards.columns(table) == [{"id", "filled", "online"}] * 2
    assert sum(int(row["rows_copied"]) for row in rows) == ROWS * len(SHARDS)
    _is_over(client, uuid)
    assert all(fleet.tool in log for log in _logs(fleet, uuid))


def test_4_a_postponed_completion_waits_for_its_word(fleet: Fleet, client: VtctldClient) -> None:
    table = fleet.table()
    uuid = client.submit(
        f"ALTER TABLE {table} ADD COLUMN later int", f"{fleet.tool} -postpone-completion"
    )
    client.wait_until_ready(uuid)
    assert client.statuses(uuid) == ["RUNNING"] * 2
    assert fleet.shards.columns(table) == [{"id", "filled"}] * 2
    assert client.verb("complete", uuid) == on_each_shard(1)
    client.wait(uuid, "COMPLETE")
    assert fleet.shards.columns(table) == [{"id", "filled", "later"}] * 2
    _is_over(client, uuid)


def test_5_an_option_of_the_tool_holds_the_copy_until_the_migration_is_cancelled(
    fleet: Fleet, client: VtctldClient
) -> None:
    uuid = client.submit(
        f"ALTER TABLE {fleet.table()} ADD COLUMN never int", NEVER_COPIES[fleet.tool]
    )
    client.wait(uuid, "RUNNING")
    assert client.verb("cancel", uuid) == on_each_shard(1)
    rows = client.wait(uuid, "CANCELLED")
    assert all(row["cancelled_at"] for row in rows)
    assert client.verb("cancel", uuid) == on_each_shard(0)


def test_6_a_change_without_a_key_to_copy_by_fails_and_fails_again(
    fleet: Fleet, client: VtctldClient
) -> None:
    table = fleet.table()
    uuid = client.submit(f"ALTER TABLE {table} DROP PRIMARY KEY", fleet.tool)
    rows = client.wait(uuid, "FAILED")
    assert all(row["message"] for row in rows)
    assert client.verb("cancel", uuid) == on_each_shard(0)
    assert client.verb("retry", uuid) == on_each_shard(1)
    client.wait(uuid, "FAILED")


def test_7_cancel_all_affects_nothing_where_nothing_is_pending(client: VtctldClient) -> None:
    assert client.verb("cancel", "all") == on_each_shard(0)


def test_8_cancel_all_ends_all_that_is_pending(fleet: Fleet, client: VtctldClient) -> None:
    uuids = [
        client.submit(
            f"ALTER TABLE {fleet.table()} ADD COLUMN never int", f"{fleet.tool} --postpone-launch"
        )
        for _ in range(3)
    ]
    uuids.append(
        client.submit(f"ALTER TABLE {fleet.table()} ADD COLUMN never int", NEVER_COPIES[fleet.tool])
    )
    client.wait(uuids[-1], "RUNNING")
    assert client.verb("cancel", "ALL") == on_each_shard(4)
    for uuid in uuids:
        client.wait(uuid, "CANCELLED")


def test_9_and_10_a_drop_and_a_create_complete(fleet: Fleet, client: VtctldClient) -> None:
    table = fleet.table()
    dropped = client.submit(f"DROP TABLE {table}", fleet.tool)
    client.wait(dropped, "COMPLETE")
    assert _tables(fleet, table) == [[], []]
    created = client.submit(f"CREATE TABLE {table} (id int PRIMARY KEY)", fleet.tool)
    rows = client.wait(created, "COMPLETE")
    assert _tables(fleet, table) == [[table]] * 2
    assert [row["ddl_action"] for row in rows] == ["create"] * 2
    _is_over(client, dropped)
    _is_over(client, created)


def test_11_and_12_a_dropped_table_is_kept_and_a_missing_one_may_be_missing(
    fleet: Fleet, client: VtctldClient
) -> None:
    table = fleet.table()
    strategy = f"{fleet.tool} --retain-artifacts=1h"
    first = client.submit(f"DROP TABLE IF EXISTS {table}", strategy)
    rows = client.wait(first, "COMPLETE")
    assert _tables(fleet, table) == [[], []]
    assert [len(names) for names in _kept(fleet, rows)] == [1, 1]
    second = client.submit(f"DROP TABLE IF EXISTS {table}", strategy)
    rows = client.wait(second, "COMPLETE")
    assert _kept(fleet, rows) == [[], []]


def test_13_a_drop_of_a_missing_table_fails_and_can_be_tried_again(
    fleet: Fleet, client: VtctldClient
) -> None:
    uuid = client.submit("DROP TABLE no_such_table", fleet.tool)
    rows = client.wait(uuid, "FAILED")
    assert all("no_such_table" in row["message"] for row in rows)
    assert client.verb("cancel", uuid) == on_each_shard(0)
    assert client.verb("retry", uuid) == on_each_shard(1)
    client.wait(uuid, "FAILED")


def test_14_and_15_a_table_without_a_key_is_created_but_not_altered(
    fleet: Fleet, client: VtctldClient
) -> None:
    table = f"{fleet.table()}_keyless"
    created = client.submit(f"CREATE TABLE {table} (id int)", fleet.tool)
    client.wait(created, "COMPLETE")
    altered = client.submit(f"ALTER TABLE {table} ADD COLUMN more int", fleet.tool)
    rows = client.wait(altered, "FAILED")
    for row in rows:
        assert NO_KEY[fleet.tool] in row["message"]


STRATEGY: Final = {"gh-ost": "GHOST", "pt-osc": "PTOSC"}


def test_a_migration_is_printed_as_vitess_prints_it(fleet: Fleet, client: VtctldClient) -> None:
    table = fleet.table()
    statement = f"ALTER TABLE {table} ADD COLUMN seen int"
    uuid = client.submit(statement, fleet.tool, context="release 1")
    rows = client.wait(uuid, "COMPLETE")
    for row, shard in zip(rows, SHARDS, strict=True):
        _is_rendered(row)
        _holds(
            row,
            {
                "uuid": uuid,
                "keyspace": KEYSPACE,
                "shard": shard,
                "schema": KEYSPACE,
                "table": table,
                "migration_statement": statement,
                "strategy": STRATEGY[fleet.tool],
                "status": "COMPLETE",
                "migration_context": "release 1",
                "ddl_action": "alter",
                "progress": 100,
                "retries": "0",
                "is_view": False,
                "cancelled_at": None,
                "postpone_completion": False,
            },
        )
        assert row["tablet"]["cell"] == "zone1"
        assert row["stage"].startswith(fleet.tool)
    table_rows = sorted(client.show_table(uuid), key=lambda row: row["shard"])
    for cells, row in zip(table_rows, rows, strict=True):
        _holds(
            cells,
            {
                "migration_uuid": uuid,
                "mysql_table": table,
                "status": "complete",
                "strategy": fleet.tool,
                "tablet": f"zone1-{row['tablet']['uid']:010d}",
                "cancelled_timestamp": "",
                "progress": "100",
                "migration_statement": statement,
                "migration_context": "release 1",
            },
        )
        assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d.*", cells["completed_timestamp"])


def _holds(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    assert {name: row[name] for name in wanted} == wanted


def _is_rendered(row: dict[str, Any]) -> None:
    """See that numbers of 64 bits are strings and times have their two parts."""
    for name in ("rows_copied", "table_rows", "eta_seconds", "retries", "id"):
        if name in row:
            assert isinstance(row[name], str), name
            int(row[name])
    for name in ("requested_at", "added_at", "ready_at", "started_at", "completed_at"):
        assert int(row[name]["seconds"]) > 0, name
        assert "nanoseconds" in row[name]


def test_show_finds_by_context_status_and_age_in_either_order(
    fleet: Fleet, client: VtctldClient
) -> None:
    context = f"filters of {fleet.tool}"
    uuids = [
        client.submit(
            f"ALTER TABLE {fleet.table()} ADD COLUMN never int",
            f"{fleet.tool} --postpone-launch",
            context,
        )
        for _ in range(2)
    ]

    def seen(*arguments: str) -> list[tuple[str, str]]:
        return [(row["uuid"], row["shard"]) for row in client.show(*arguments)]

    ascending = seen(context)
    assert {*ascending} == {(uuid, shard) for uuid in uuids for shard in SHARDS}
    assert [uuid for uuid, _ in ascending] == [uuid for uuid in uuids for _ in SHARDS]
    assert seen(context, "--order", "desc") == ascending[::-1]
    assert seen(context, "--skip", "1", "--limit", "2") == ascending[1:3]
    assert {*seen("queued")} == {*ascending}
    assert {*ascending} <= {*seen("recent")}
    assert client.verb("launch", uuids[0]) == on_each_shard(1)
    client.wait(uuids[0], "COMPLETE")


def test_a_migration_is_throttled_and_goes_on(fleet: Fleet, client: VtctldClient) -> None:
    uuid = client.submit(
        f"ALTER TABLE {fleet.table()} ADD COLUMN slow int", f"{fleet.tool} --postpone-launch"
    )
    assert json.loads(client.run("OnlineDDL", "throttle", KEYSPACE, uuid)) == {}
    client.verb("launch", uuid)

    def is_held() -> bool:
        rows = client.show(uuid)
        return all(row["user_throttle_ratio"] == 1 and row["last_throttled_at"] for row in rows)

    eventually_blocking(is_held, what="the migration is held by the rule")
    assert json.loads(client.run("OnlineDDL", "unthrottle", KEYSPACE, uuid)) == {}
    client.wait(uuid, "COMPLETE")


def test_what_is_wrong_is_refused_with_its_reason(fleet: Fleet, client: VtctldClient) -> None:
    table = fleet.table()
    alter = f"ALTER TABLE {table} ADD COLUMN c int"
    refusals = {
        ("online", alter): "gh-ost",
        ("no-such-strategy", alter): "no-such-strategy",
        (f"{fleet.tool} --postpone-completon", alter): "postpone-completion",
        (fleet.tool, f"RENAME TABLE {table} TO other"): "RENAME",
        (fleet.tool, f"ALTER TABLE {table} ADD COLUMN c integr"): "integr",
        (fleet.tool, f"CREATE TABLE x_{table} (id int); {alter} nonsense"): "statement 2 of 2",
    }
    if fleet.tool == "pt-osc":
        refusals["gh-ost", alter] = "gh-ost cannot serve MariaDB"
    for (strategy, sql), reason in refusals.items():
        arguments = ("ApplySchema", "--ddl-strategy", strategy, "--sql", sql, KEYSPACE)
        assert reason in client.refused(*arguments)
    unknown = "00000000_0000_4000_8000_000000000000"
    assert "Migration not found" in client.refused("OnlineDDL", "cancel", KEYSPACE, unknown)
    assert client.verb("retry", unknown) == client.verb("complete", unknown) == on_each_shard(0)
    assert json.loads(client.run("OnlineDDL", "show", "--json", "no_such_keyspace")) == {
        "migrations": []
    }
