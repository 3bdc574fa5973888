"""What the command says to a name that is not there, and to one that is written wrongly."""

from __future__ import annotations

import json

import pytest

from tabletd.errors import MigrationNotFound, Reason, TabletdError
from tests.support.fake_fleet import OTHER_UUID, UUID, FakeFleet, state
from tests.support.tabletctl import run, run_json

NEAR = UUID.replace("0242ac110002", "0242ac110003")
MEANT = f"did you mean {UUID}?"


@pytest.fixture
def running(fleet: FakeFleet) -> FakeFleet:
    fleet.tablets[100].put(state("RUNNING"), state("FAILED", uuid=OTHER_UUID))
    fleet.affected = {"-80": 0, "80-": 0}
    return fleet


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", NEAR),
        ("watch", NEAR),
        ("cancel", NEAR, "--yes"),
        ("retry", NEAR),
        ("complete", NEAR),
        ("launch", NEAR, "--shards=-80"),
        ("postpone", NEAR),
        ("force-cutover", NEAR, "--yes"),
        ("cleanup", NEAR, "--yes"),
        ("throttle", NEAR),
        ("unthrottle", NEAR),
        ("revert", NEAR, "--yes"),
    ],
)
async def test_a_migration_that_is_not_there_is_told_with_the_near_one(
    running: FakeFleet, arguments: tuple[str, ...]
) -> None:
    result = await run(running, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"Migration not found: {NEAR} in commerce; {MEANT}" in result.stderr
    told = await run(running, *arguments, "--json")
    assert json.loads(told.stderr)["error"]["reason"] == "MIGRATION_NOT_FOUND"
    assert not {"RevertSchemaMigration", "UpdateThrottlerConfig"} & {
        name for name, _ in running.calls
    }


@pytest.mark.parametrize("arguments", [("cancel", NEAR, "--yes"), ("logs", NEAR)])
async def test_a_migration_that_the_server_does_not_find_is_told_with_the_near_one(
    running: FakeFleet, arguments: tuple[str, ...]
) -> None:
    for tablet in running.tablets.values():
        for method in ("CancelSchemaMigration", "Execute"):
            tablet.failing[method] = MigrationNotFound(NEAR)
    result = await run(running, *arguments)
    assert (result.exit_code, MEANT in result.stderr) == (1, True), result.stderr


async def test_nothing_is_offered_in_place_of_a_migration_that_is_far_off(
    running: FakeFleet,
) -> None:
    result = await run(running, "show", "12345678_9abc_4def_8123_456789abcdef")
    assert "did you mean" not in result.stderr


async def test_a_uuid_in_another_form_is_told_in_ours(running: FakeFleet) -> None:
    for written in (UUID.replace("_", "-"), UUID.upper().replace("_", "-")):
        for verb in ("show", "watch", "retry"):
            result = await run(running, verb, written)
            assert (result.exit_code, MEANT in result.stderr) == (2, True), result.stderr


async def test_a_context_that_is_not_there_is_told_with_the_near_ones(running: FakeFleet) -> None:
    result = await run(running, "show", "relase-7")
    assert (result.exit_code, "did you mean release-7?" in result.stdout) == (0, True)
    assert await run_json(running, "show", "relase-7") == []
    result = await run(running, "show", "runing")
    assert "did you mean the status running?" in result.stdout
    result = await run(running, "watch", "--context", "relase-7")
    assert (result.exit_code, "did you mean release-7?" in result.stderr) == (1, True)


async def test_a_keyspace_that_is_not_there_is_refused_where_a_list_would_be_empty(
    running: FakeFleet,
) -> None:
    for uid in running.tablets:
        running.tablets[uid].states.clear()
        running.tablets[uid].failing["GetTablets"] = TabletdError(
            Reason.TOPOLOGY_NOT_FOUND, "there is no keyspace 'comerce'", hint="known: commerce"
        )
    for arguments in (("show",), ("show", UUID), ("show", "running"), ("lag",), ("tablets",)):
        result = await run(running, "--keyspace", "comerce", *arguments)
        assert (result.exit_code, result.stdout) == (1, ""), arguments
        assert "(known: commerce) [TOPOLOGY_NOT_FOUND]" in result.stderr


async def test_wrong_usage_is_told_as_json_where_that_was_asked_for(fleet: FakeFleet) -> None:
    for arguments in (
        ("show", "--recent", "soon"),
        ("cancel", UUID),
        ("apply",),
        ("throttle", UUID, "--expire", "x"),
    ):
        result = await run(fleet, *arguments, "--json")
        assert (result.exit_code, result.stdout) == (2, "")
        error = json.loads(result.stderr)["error"]
        assert (error["reason"], error["code"]) == ("INVALID_REQUEST", "")


async def test_a_server_that_is_no_tabletd_is_told_as_such(fleet: FakeFleet) -> None:
    import grpc

    fleet.tablets[100].failing["GetKeyspaces"] = grpc.StatusCode.UNIMPLEMENTED
    result = await run(fleet, "show")
    assert result.exit_code == 1
    assert f"what answers at {fleet.address} is no tabletd" in result.stderr
    assert "[INCOMPATIBLE_SERVER]" in result.stderr


@pytest.mark.parametrize("address", ["localhost", "http://127.0.0.1:15100", ":16100", "host:"])
async def test_an_address_that_is_none_is_wrong_usage(fleet: FakeFleet, address: str) -> None:
    result = await run(fleet, "--server", address, "show")
    assert result.exit_code == 2
    assert f"--server: {address!r} is not HOST:PORT" in result.stderr


async def test_a_command_or_a_shard_that_is_none_is_told_with_what_there_is(
    running: FakeFleet,
) -> None:
    assert "did you mean cancel?" in (await run(running, "cancle", UUID)).stderr
    result = await run(running, "complete", UUID, "--shards=-40")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no shard '-40', only -80, 80-" in result.stderr
    assert (await run(running, "launch", "all", "--shards=-80")).exit_code == 2


async def test_a_certificate_that_is_none_is_wrong_usage(fleet: FakeFleet) -> None:
    result = await run(fleet, "--tls-ca", __file__, "show")
    assert (result.exit_code, "is no PEM file" in result.stderr) == (2, True)
