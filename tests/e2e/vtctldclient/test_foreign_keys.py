"""Tables with foreign keys, by Vitess's own client."""

from __future__ import annotations

from typing import Final

from tabletd.executor.names import create_uuid
from tests.e2e.vtctldclient.conftest import Fleet
from tests.support.two_shards import KEYSPACE
from tests.support.vtctldclient import VtctldClient, apply_arguments

ALLOWED: Final = "--unsafe-allow-foreign-keys"


class Family:
    """A parent table and a child, on both shards."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        name = create_uuid()[:8]
        self.parent, self.child = f"p_{name}", f"c_{name}"
        fleet.shards.script(
            f"CREATE TABLE {self.parent} (id int PRIMARY KEY)",
            f"CREATE TABLE {self.child} (id int PRIMARY KEY, parent int, other int, "
            f"KEY by_other (other), FOREIGN KEY (parent) REFERENCES {self.parent} (id))",
            f"INSERT INTO {self.parent} VALUES (1)",
            f"INSERT INTO {self.child} VALUES (1, 1, 1)",
        )

    def references(self) -> list[int]:
        """Return how many foreign keys the child has on each shard."""
        sql = (
            "SELECT COUNT(*) FROM information_schema.key_column_usage WHERE table_schema = %s "
            "AND table_name = %s AND referenced_table_name = %s"
        )
        names = (KEYSPACE, self.child, self.parent)
        return [int(str(one.scalar(sql, names))) for one in self.fleet.shards.servers.values()]

    def drop(self) -> None:
        """Drop both."""
        self.fleet.shards.script(f"DROP TABLE {self.child}", f"DROP TABLE {self.parent}")


def test_a_parent_is_not_altered_by_a_tool_unless_that_is_allowed(
    fleet: Fleet, client: VtctldClient
) -> None:
    family = Family(fleet)
    alter = f"ALTER TABLE {family.parent} ADD COLUMN c int"
    rows = client.wait(client.submit(alter, fleet.tool), "FAILED")
    assert all(f"by foreign keys of {KEYSPACE}.{family.child}" in row["message"] for row in rows)
    assert fleet.shards.columns(family.parent) == [{"id"}] * 2
    if fleet.tool == "pt-osc":
        client.wait(client.submit(alter, f"pt-osc {ALLOWED}"), "COMPLETE")
        assert fleet.shards.columns(family.parent) == [{"id", "c"}] * 2
        assert family.references() == [1, 1]
    family.drop()


def test_a_child_keeps_its_keys_or_is_not_altered(fleet: Fleet, client: VtctldClient) -> None:
    family = Family(fleet)
    alter = f"ALTER TABLE {family.child} MODIFY COLUMN other bigint"
    uuid = client.submit(alter, fleet.tool)
    if fleet.tool == "pt-osc":
        client.wait(uuid, "COMPLETE")
        assert family.references() == [1, 1]
    else:
        rows = client.wait(uuid, "FAILED")
        assert all("which gh-ost would drop" in row["message"] for row in rows)
        assert family.references() == [1, 1]
        rows = client.wait(client.submit(alter, f"gh-ost {ALLOWED}"), "COMPLETE")
        assert all("are dropped" in row["message"] for row in rows)
        assert family.references() == [0, 0]
    family.drop()


def test_a_foreign_key_is_added_where_that_is_allowed(fleet: Fleet, client: VtctldClient) -> None:
    family = Family(fleet)
    alter = (
        f"ALTER TABLE {family.child} DROP KEY by_other, "
        f"ADD CONSTRAINT f_{family.child} FOREIGN KEY (other) REFERENCES {family.parent} (id)"
    )
    answer = client.refused(*apply_arguments(alter, strategy=fleet.tool))
    assert ALLOWED in answer
    assert family.references() == [1, 1]
    client.wait(client.submit(alter, f"{fleet.tool} {ALLOWED}"), "COMPLETE")
    # gh-ost drops those that were there before.
    assert family.references() == ([2, 2] if fleet.tool == "pt-osc" else [1, 1])
    family.drop()


def test_a_table_with_foreign_keys_is_dropped_at_once(fleet: Fleet, client: VtctldClient) -> None:
    family = Family(fleet)
    rows = client.wait(
        client.submit(f"DROP TABLE {family.child}", f"{fleet.tool} --retain-artifacts=1h"),
        "COMPLETE",
    )
    assert all("foreign keys" in row["special_plan"] for row in rows)
    fleet.shards.script(f"DROP TABLE {family.parent}")
