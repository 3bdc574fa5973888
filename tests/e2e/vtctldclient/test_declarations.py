"""Views that are declared, and zero dates, by Vitess's own client."""

from __future__ import annotations

from typing import Final

import pytest

from tabletd.executor.names import create_uuid
from tests.e2e.vtctldclient.conftest import Fleet
from tests.support.two_shards import KEYSPACE
from tests.support.vtctldclient import VtctldClient

ZERO: Final = "0000-00-00 00:00:00"


def test_a_declared_view_becomes_what_has_to_be_changed(fleet: Fleet, client: VtctldClient) -> None:
    table = fleet.table()
    view = f"{table}_view"
    strategy = f"{fleet.tool} --declarative --retain-artifacts=1h"
    create = f"CREATE VIEW {view} AS SELECT id FROM {table}"
    client.wait(client.submit(create, strategy), "COMPLETE")
    assert fleet.shards.columns(view) == [{"id"}] * 2
    rows = client.wait(client.submit(create, strategy), "COMPLETE")
    assert all("no change" in row["message"] for row in rows)
    changed = client.submit(f"CREATE VIEW {view} AS SELECT id, filled FROM {table}", strategy)
    rows = client.wait(changed, "COMPLETE")
    assert [(row["ddl_action"], row["is_view"]) for row in rows] == [("alter", True)] * 2
    assert fleet.shards.columns(view) == [{"id", "filled"}] * 2
    client.wait(client.submit(f"REVERT VITESS_MIGRATION '{changed}'", f"{fleet.tool}"), "COMPLETE")
    assert fleet.shards.columns(view) == [{"id"}] * 2
    client.wait(client.submit(f"DROP VIEW {view}", strategy), "COMPLETE")
    assert fleet.shards.columns(view) == [set(), set()]
    rows = client.wait(client.submit(f"DROP VIEW {view}", strategy), "COMPLETE")
    assert all("no change" in row["message"] for row in rows)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("CREATE OR REPLACE VIEW {} AS SELECT 1", "OR REPLACE does not work in declarative mode"),
        ("ALTER VIEW {} AS SELECT 1", "ALTER cannot run in declarative mode"),
        ("DROP VIEW IF EXISTS {}", "IF EXISTS does not work in declarative mode"),
    ],
)
def test_what_says_how_to_get_there_is_no_declaration_of_a_view(
    fleet: Fleet, client: VtctldClient, statement: str, text: str
) -> None:
    sql = statement.format(f"v_{create_uuid()[:8]}")
    rows = client.wait(client.submit(sql, f"{fleet.tool} --declarative"), "FAILED")
    assert all(text in row["message"] for row in rows)


def _zero_dated(fleet: Fleet, *, with_row: bool = False) -> str:
    """Return the CREATE TABLE of a new table that has a zero date, with a row where asked for."""
    name = f"z_{create_uuid()[:8]}"
    create = f"CREATE TABLE {name} (id int PRIMARY KEY, made datetime NOT NULL DEFAULT '{ZERO}')"
    if with_row:
        fleet.shards.script(
            "SET SESSION sql_mode = ''", create, f"INSERT INTO {name} VALUES (1, '{ZERO}')"
        )
    return create


def _name(create: str) -> str:
    return create.split()[2]


def test_a_zero_date_is_created_where_that_is_allowed(fleet: Fleet, client: VtctldClient) -> None:
    create = _zero_dated(fleet)
    rows = client.wait(client.submit(create, fleet.tool), "FAILED")
    assert all("Invalid default value" in row["message"] for row in rows)
    for strategy in (
        f"{fleet.tool} --allow-zero-in-date",
        f"{fleet.tool} --allow-zero-in-date --declarative",
        "direct --allow-zero-in-date",
    ):
        create = _zero_dated(fleet)
        for uuid in client.apply(create, strategy=strategy):
            client.wait(uuid, "COMPLETE")
        assert fleet.shards.columns(_name(create)) == [{"id", "made"}] * 2


def test_zero_dates_are_copied_where_that_is_allowed(fleet: Fleet, client: VtctldClient) -> None:
    table = _name(_zero_dated(fleet, with_row=True))
    alter = f"ALTER TABLE {table} ADD COLUMN c int"
    client.wait(client.submit(alter, f"{fleet.tool} --allow-zero-in-date"), "COMPLETE")
    made = f"SELECT CAST(made AS CHAR) FROM {table}"
    for server in fleet.shards.servers.values():
        assert server.query(made, database=KEYSPACE) == [(ZERO,)]


def test_zero_dates_among_the_migrations_are_shown_as_none(
    fleet: Fleet, client: VtctldClient
) -> None:
    uuid = client.submit(f"DROP TABLE {fleet.table()}", fleet.tool)
    client.wait(uuid, "COMPLETE")
    for server in fleet.shards.servers.values():
        server.script(
            "SET SESSION sql_mode = ''",
            f"UPDATE _vt.schema_migrations SET ready_timestamp = '{ZERO}', "
            f"started_timestamp = '{ZERO}' WHERE migration_uuid = '{uuid}'",
        )
    for row in client.show(uuid):
        assert (row["ready_at"], row["started_at"]) == (None, None)
        assert row["completed_at"]
    assert [row["started_timestamp"] for row in client.show_table(uuid)] == ["", ""]
