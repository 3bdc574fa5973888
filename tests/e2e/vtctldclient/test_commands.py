"""Every command of Vitess's client that docs/vtctldclient.md names, and one that is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.vtctldclient.conftest import Fleet
from tests.support.two_shards import KEYSPACE, SHARDS
from tests.support.vtctldclient import VtctldClient

PAGE: Final = Path(__file__).parents[3] / "docs" / "vtctldclient.md"
SHARD: Final = f"{KEYSPACE}/{SHARDS[0]}"
TABLET: Final = "zone1-100"

# What is printed begins so, or as JSON has this in it.
ANSWERS: Final[dict[tuple[str, ...], Any]] = {
    ("CheckThrottler", TABLET): {"Check"},
    ("ExecuteFetchAsApp", TABLET, "SELECT 1 AS one"): "+-----+",
    ("ExecuteFetchAsDBA", TABLET, "SELECT 1 AS one"): "+-----+",
    ("ExecuteMultiFetchAsDBA", TABLET, "SELECT 1 AS one; SELECT 2 AS two"): "+-----+",
    ("FindAllShardsInKeyspace", KEYSPACE): {"shards"},
    ("GetCellInfo", "zone1"): {"server_address"},
    ("GetCellInfoNames",): "zone1",
    ("GetCellsAliases",): "null",
    ("GetFullStatus", TABLET): {"server_uuid", "primary_status"},
    ("GetKeyspace", KEYSPACE): {"name", "keyspace"},
    ("GetKeyspaces",): "[",
    ("GetPermissions", TABLET): {"user_permissions", "db_permissions"},
    ("GetSchema", TABLET): {"database_schema", "table_definitions"},
    ("GetShard", SHARD): {"keyspace", "name", "shard"},
    ("GetSrvKeyspaces", KEYSPACE): {"zone1"},
    ("GetTablet", TABLET): {"alias", "hostname"},
    ("GetTablets",): "zone1-0000000100 shop -80 primary ",
    ("GetTabletVersion", TABLET): "",
    ("GetThrottlerStatus", TABLET): {"status"},
    ("PingTablet", TABLET): "",
    ("RefreshState", TABLET): "",
    ("ReloadSchema", TABLET): "",
    ("ReloadSchemaKeyspace", KEYSPACE): "",
    ("ReloadSchemaShard", SHARD): "",
    ("RunHealthCheck", TABLET): "",
    ("SetWritable", TABLET, "true"): "",
    ("ShardReplicationPositions", SHARD): "zone1-0000000100 ",
    ("UpdateThrottlerConfig", "--threshold", "2", KEYSPACE): "",
    ("UpdateThrottlerConfig", "--throttle-app", "gh-ost", KEYSPACE): "",
    ("UpdateThrottlerConfig", "--unthrottle-app", "gh-ost", KEYSPACE): "",
    ("Validate",): "",
    ("ValidateKeyspace", KEYSPACE): "",
    ("ValidateSchemaKeyspace", KEYSPACE): "",
    ("ValidateShard", SHARD): "",
    ("ValidateVersionKeyspace", KEYSPACE): "",
    ("ValidateVersionShard", SHARD): "",
}
# What 0.21 does not have yet.
ANSWERS_OF_NEWER: Final[dict[tuple[str, ...], str]] = {
    ("ValidatePermissionsKeyspace", KEYSPACE): "",
    ("ValidatePermissionsShard", SHARD): "",
    ("ValidateSchemaShard", SHARD): "",
}


@pytest.mark.parametrize("command", ANSWERS, ids=" ".join)
def test_a_command_is_answered(
    fleet: Fleet, client: VtctldClient, command: tuple[str, ...]
) -> None:
    printed = client.run(*command)
    wanted = ANSWERS[command]
    if isinstance(wanted, str):
        assert printed.startswith(wanted), printed
    else:
        assert wanted <= {*json.loads(printed)}, printed


@pytest.mark.parametrize("command", ANSWERS_OF_NEWER, ids=" ".join)
def test_a_command_of_the_newer_client_is_answered(
    fleet: Fleet, newer: VtctldClient, command: tuple[str, ...]
) -> None:
    assert newer.run(*command).startswith(ANSWERS_OF_NEWER[command])


def test_accounts_that_differ_are_said(fleet: Fleet, newer: VtctldClient) -> None:
    server = fleet.shards.servers[SHARDS[1]]
    server.query("CREATE USER stranger@localhost")
    try:
        answer = newer.refused("ValidatePermissionsKeyspace", KEYSPACE)
    finally:
        server.query("DROP USER stranger@localhost")
    assert "zone1-0000000200 has an extra user stranger@localhost" in answer


def test_the_page_names_what_is_tried_and_no_more() -> None:
    verbs = {"ApplySchema", "OnlineDDL", "LegacyVtctlCommand"}
    named = re.findall(r"^\| `([A-Z][a-z]\w+)", PAGE.read_text(), re.MULTILINE)
    assert {*named} == {command[0] for command in (*ANSWERS, *ANSWERS_OF_NEWER)} | verbs


def test_what_this_is_not_is_said(client: VtctldClient) -> None:
    answer = client.refused("PlannedReparentShard", SHARD)
    assert "Unimplemented" in answer


def test_commands_of_old_clients_pass_through(client: VtctldClient) -> None:
    words = ("LegacyVtctlCommand", "--", "OnlineDDL", KEYSPACE, "show", "recent")
    assert "Shard" in client.run(*words)
