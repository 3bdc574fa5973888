"""The command against tablets in this process; what needs a terminal or signals is in e2e."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tabletd.errors import Reason, TabletdError
from tabletd_client.cli.application import application
from tabletd_pb import migrations_pb2, vttime_pb2
from tests.support.fake_fleet import OTHER_UUID, UUID, FakeFleet, state
from tests.support.tabletctl import run, run_json
from tests.support.waiting import eventually


async def _watched(fleet: FakeFleet) -> None:
    await eventually(lambda: all(fleet.tablets[uid].watchers for uid in (100, 200)))


async def test_apply_prints_one_uuid_a_line(fleet: FakeFleet) -> None:
    fleet.uuids = (UUID, OTHER_UUID)
    result = await run(fleet, "apply", "--strategy", "gh-ost", "alter table t add i int; alter ...")
    assert (result.exit_code, result.stdout) == (0, f"{UUID}\n{OTHER_UUID}\n")
    assert list(fleet.last("ApplySchema").sql) == ["alter table t add i int", "alter ..."]


async def test_apply_reads_stdin_and_files(fleet: FakeFleet, tmp_path: Any) -> None:
    await run(fleet, "apply", "-", stdin="-- first\nalter table t add i int;\n")
    assert list(fleet.last("ApplySchema").sql) == ["-- first\nalter table t add i int"]
    path = tmp_path / "change.sql"
    path.write_text("alter table u add j int;")
    await run(fleet, "apply", "--file", str(path))
    assert list(fleet.last("ApplySchema").sql) == ["alter table u add j int"]
    assert (await run(fleet, "apply", "--file", str(tmp_path / "none"))).exit_code == 2
    assert (await run(fleet, "apply")).exit_code == 2


async def test_apply_asks_before_something_is_taken_away(fleet: FakeFleet) -> None:
    result = await run(fleet, "apply", "drop table t")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert not fleet.calls
    assert (await run(fleet, "apply", "--yes", "drop table t")).exit_code == 0


async def test_apply_and_wait_ends_with_the_migrations_end(fleet: FakeFleet) -> None:
    fleet.tablets[100].put(state("COMPLETE"))
    fleet.tablets[200].put(state("RUNNING", shard="80-", stage="gh-ost: copying"))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(fleet, "apply", "--wait", "alter table t add i int"))
        await _watched(fleet)
        fleet.tablets[200].put(state("COMPLETE", shard="80-"))
    result = running.result()
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"submitted {UUID}"
    assert any(line.endswith(f"{UUID} 80- orders running: gh-ost: copying") for line in lines)
    assert any(line.endswith(f"{UUID} 80- orders complete") for line in lines)


async def test_apply_and_wait_says_why_it_failed(fleet: FakeFleet) -> None:
    fleet.tablets[100].put(state("FAILED", message="Duplicate column name 'i'", log_file="/x.log"))
    fleet.tablets[200].put(state("COMPLETE", shard="80-"))
    result = await run(fleet, "apply", "--wait", "alter table t add i int")
    assert result.exit_code == 1
    assert f"{UUID} -80 failed: Duplicate column name 'i'" in result.stderr
    assert f"tabletctl logs {UUID}" in result.stderr


async def test_apply_and_wait_gives_up_in_time_and_says_how_to_see_it_again(
    fleet: FakeFleet,
) -> None:
    fleet.tablets[100].put(state("RUNNING"))
    arguments = ("apply", "--wait", "--wait-timeout", "0.5s", "alter table t add i int")
    result = await run(fleet, *arguments)
    assert result.exit_code == 4
    assert f"tabletctl watch {UUID}" in result.stderr


async def test_show_lists_and_shows_in_full(fleet: FakeFleet) -> None:
    fleet.tablets[100].put(
        state("RUNNING", rows_copied=45, rows_estimated=100, progress_percent=45.0, stage="copying")
    )
    listed = await run(fleet, "show")
    assert listed.exit_code == 0
    head, row = listed.stdout.splitlines()
    assert head.split()[:3] == ["UUID", "SHARD", "TABLE"]
    assert row.split() == [
        *(UUID, "-80", "orders", "alter", "gh-ost", "running", "45.0%", "45/100", "rows"),
        "copying",
    ]
    full = await run(fleet, "show", UUID)
    assert "statement  alter table orders add column i int\n" in full.stdout


@pytest.mark.parametrize(
    ("word", "field", "value"),
    [
        ("running", "status", 5),
        ("RUNNING", "status", 5),
        ("release-7", "migration_context", "release-7"),
    ],
)
async def test_show_reads_a_word_as_vtctldclient_does(
    fleet: FakeFleet, word: str, field: str, value: object
) -> None:
    fleet.tablets[100].put(state("RUNNING"))
    await run(fleet, "show", word, "--order", "descending", "--limit", "2", "--skip", "1")
    request = fleet.last("GetSchemaMigrations")
    assert getattr(request, field) == value
    assert (request.order, request.limit, request.skip) == (2, 2, 1)
    await run(fleet, "show", UUID)
    assert fleet.last("GetSchemaMigrations").uuid == UUID


async def test_show_recent_is_a_week_or_what_is_said(fleet: FakeFleet) -> None:
    await run(fleet, "show", "recent")
    assert fleet.last("GetSchemaMigrations").recent.seconds == 7 * 86_400
    await run(fleet, "show", "--recent", "1h30m")
    assert fleet.last("GetSchemaMigrations").recent.seconds == 5400
    assert (await run(fleet, "show", "--recent", "soon")).exit_code == 2
    assert (await run(fleet, "show", "running", "--recent", "1h")).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "method"),
    [
        (("cancel", UUID, "--yes"), "CancelSchemaMigration"),
        (("retry", UUID), "RetrySchemaMigration"),
        (("complete", UUID), "CompleteSchemaMigration"),
        (("launch", UUID), "LaunchSchemaMigration"),
        (("cleanup", UUID, "-y"), "CleanupSchemaMigration"),
        (("force-cutover", UUID, "-y"), "ForceCutOverSchemaMigration"),
        (("postpone", UUID), "ApplySchema"),
        (("complete", UUID, "--shards=-80,80-"), "ApplySchema"),
    ],
)
async def test_a_command_says_on_what_it_had_an_effect(
    fleet: FakeFleet, arguments: tuple[str, ...], method: str
) -> None:
    result = await run(fleet, *arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == "done: 1 affected (-80: 1, 80-: 0)\n"
    assert fleet.last(method)
    fleet.affected = {"-80": 0, "80-": 0}
    fleet.tablets[100].put(state("FAILED"))
    nothing = "nothing to do (-80: 0, 80-: 0)"
    assert (await run(fleet, *arguments)).stdout == f"{nothing}: it is failed\n"
    fleet.tablets[200].put(state("QUEUED", shard="80-"))
    result = await run(fleet, *arguments)
    assert result.stdout == f"{nothing}: it is failed on -80, queued on 80-\n"


@pytest.mark.parametrize("verb", ["cancel", "cleanup", "force-cutover", "revert"])
async def test_what_destroys_needs_a_yes_without_a_terminal(fleet: FakeFleet, verb: str) -> None:
    result = await run(fleet, verb, UUID)
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert not fleet.calls


@pytest.mark.parametrize("verb", ["cancel", "cleanup", "force-cutover"])
async def test_nobody_is_asked_about_what_is_no_uuid(fleet: FakeFleet, verb: str) -> None:
    result = await run(fleet, verb, "zzz")
    assert result.exit_code == 2
    assert "'zzz' is no UUID" in result.stderr
    assert "--yes" not in result.stderr


async def test_throttling_says_how_much_and_how_long(fleet: FakeFleet) -> None:
    result = await run(fleet, "throttle", "all", "--ratio", "0.5", "--expire", "90s")
    assert result.stdout == "50% of the checks of all migrations refused for 1m30s\n"
    assert fleet.last("UpdateThrottlerConfig").throttled_app.ratio == 0.5
    fleet.tablets[100].put(state("RUNNING"))
    result = await run(fleet, "unthrottle", UUID)
    assert result.stdout == f"migration {UUID} no longer held back\n"
    assert (await run(fleet, "throttle", "all", "--expire", "later")).exit_code == 2
    assert (await run(fleet, "throttle", "all", "--ratio", "2")).exit_code == 2


async def test_watch_ends_with_those_that_were_named(fleet: FakeFleet) -> None:
    fleet.tablets[100].put(state("RUNNING"))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(fleet, "watch", UUID))
        await _watched(fleet)
        fleet.tablets[100].put(state("CANCELLED", message="cancelled by user request"))
    result = running.result()
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].endswith("cancelled: cancelled by user request")
    assert (await run(fleet, "watch", OTHER_UUID)).exit_code == 1


async def test_watch_prints_progress_now_and_then_and_news_at_once(fleet: FakeFleet) -> None:
    fleet.tablets[100].put(state("RUNNING"))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(fleet, "watch", UUID))
        await _watched(fleet)
        for rows in range(1, 50):
            fleet.tablets[100].put(state("RUNNING", rows_copied=rows, rows_estimated=50))
        fleet.tablets[100].put(state("RUNNING", stage="gh-ost: cut-over"))
        fleet.tablets[100].put(state("COMPLETE"))
    lines = running.result().stdout.splitlines()
    assert len(lines) == 3, lines
    assert "gh-ost: cut-over" in lines[1]


async def test_explain_says_what_would_happen_and_fails_when_refused(fleet: FakeFleet) -> None:
    plan = migrations_pb2.Plan(
        statement="alter table orders add i int",
        schema="commerce",
        table="orders",
        way=migrations_pb2.Plan.WAY_GH_OST,
        table_rows=1_200_000,
        data_bytes=5 * 2**30,
        estimated_seconds=3900,
        locks=[
            migrations_pb2.Lock(object="orders", blocks="writers", phase="cut-over", seconds_max=3)
        ],
        evidence=["binlog_format is ROW"],
    )
    fleet.tablets[100].plans = fleet.tablets[200].plans = [plan]
    result = await run(fleet, "explain", "--strategy", "gh-ost", "alter table orders add i int")
    assert result.exit_code == 0, result.output
    first = result.stdout.split("\n\n")[0].splitlines()
    assert first == [
        "shard      commerce/-80",
        "statement  alter table orders add i int",
        "way        gh-ost",
        "table      commerce.orders: about 1,200,000 rows, 5.0 GiB of data, 0 B of indexes",
        "time       about 1h05m",
        "locks      orders: writers wait cut-over, at most 3s",
        "evidence   binlog_format is ROW",
    ]
    plan.refusals.add(reason="PREFLIGHT_REFUSED", message="no key", hint="add one")
    result = await run(fleet, "explain", "alter table orders add i int")
    assert result.exit_code == 1
    assert "refused    no key (add one) [PREFLIGHT_REFUSED]\n" in result.stdout
    assert "more       tabletctl explain-error PREFLIGHT_REFUSED\n" in result.stdout
    plan.schema = plan.table = ""
    plan.table_rows = plan.data_bytes = 0
    assert "\ntable" not in (await run(fleet, "explain", "alter tabl orders")).stdout


async def test_tablets_are_a_table(fleet: FakeFleet) -> None:
    tablets = (await run(fleet, "tablets")).stdout.splitlines()
    assert tablets[1].split()[:4] == ["zone1-0000000100", "commerce", "-80", "primary"]


async def test_logs_name_the_shard_when_there_are_several(fleet: FakeFleet) -> None:
    fleet.tablets[100].log = "one\ntwo\n"
    fleet.tablets[200].log = "three\n"
    result = await run(fleet, "logs", UUID, "--tail", "1")
    assert result.stdout == "==> shard -80 <==\ntwo\n==> shard 80- <==\nthree\n"
    assert (await run(fleet, "logs", UUID, "--shard=-80")).stdout == "one\ntwo\n\n"
    assert (await run(fleet, "logs", UUID, "--shard", "x")).exit_code == 2


async def test_a_refusal_is_told_with_its_reason(fleet: FakeFleet) -> None:
    fleet.tablets[100].failing["RetrySchemaMigration"] = TabletdError(
        Reason.ILLEGAL_TRANSITION, "it is running", hint="cancel it first"
    )
    result = await run(fleet, "retry", UUID)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "tabletctl: it is running (cancel it first) [ILLEGAL_TRANSITION]\n"
        "what to do: tabletctl explain-error ILLEGAL_TRANSITION\n"
    )
    result = await run(fleet, "retry", UUID, "--json")
    assert json.loads(result.stderr)["error"]["reason"] == "ILLEGAL_TRANSITION"


async def test_a_uuid_that_is_none_is_wrong_usage(fleet: FakeFleet) -> None:
    assert (await run(fleet, "retry", "x")).exit_code == 2


async def test_a_server_that_does_not_answer_has_an_exit_code_of_its_own(fleet: FakeFleet) -> None:
    await fleet.tablets[100].stop()
    for arguments in (("show",), ("watch",), ("apply", "alter table t add i int"), ("lag",)):
        result = await run(fleet, *arguments)
        assert result.exit_code == 3, arguments
        assert "does not answer" in result.stderr


async def test_flags_count_before_and_after_the_command(fleet: FakeFleet) -> None:
    nowhere = "127.0.0.1:1"
    assert (await run(fleet, "--server", nowhere, "show")).exit_code == 3
    assert (await run(fleet, "show", "--server", nowhere)).exit_code == 3
    result = await run(fleet, "--server", nowhere, "--json", "show", "--server", fleet.address)
    assert (result.exit_code, result.stdout) == (0, "[]\n")


async def test_shells_are_offered_uuids_that_fit_the_command(fleet: FakeFleet) -> None:
    fleet.tablets[100].put(state("RUNNING"), state("FAILED", uuid=OTHER_UUID))

    async def offered(words: str) -> str:
        environment = {
            "TABLETCTL_SERVER": fleet.address,
            "_TABLETCTL_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        result = await asyncio.to_thread(
            CliRunner().invoke, application, [], env=environment, prog_name="tabletctl"
        )
        return result.stdout

    assert (await offered("tabletctl cancel ")).split() == ["all", UUID]
    assert (await offered("tabletctl retry ")).split() == [OTHER_UUID]
    assert (await offered("tabletctl show bbb")).split() == [OTHER_UUID]
    assert (await offered(f"tabletctl cancel --server {fleet.address} a")).split() == ["all", UUID]
    assert "force-cutover" in await offered("tabletctl f")
    await fleet.tablets[100].stop()
    assert (await offered("tabletctl retry ")).split() == []


async def test_what_is_printed_for_programs_is_what_is_documented(fleet: FakeFleet) -> None:
    started_at = vttime_pb2.Time(seconds=1_700_000_000, nanoseconds=250_000_000)
    told = state("RUNNING", started_at=started_at, artifacts=["_orders_gho"])
    fleet.tablets[100].put(told)
    (migration,) = await run_json(fleet, "show")
    assert migration["artifacts"] == ["_orders_gho"]
    submission = await run_json(fleet, "apply", "alter table t add i int")
    assert submission == {
        "keyspace": "commerce",
        "uuids": [UUID],
        "rows_affected_by_shard": {"-80": 1, "80-": 0},
        "migrations": None,
    }
    assert await run_json(fleet, "cancel", UUID, "--yes") == {
        "rows_affected_by_shard": {"-80": 1, "80-": 0},
        "total": 1,
    }
    assert await run_json(fleet, "throttle", UUID) == {
        "uuid": UUID,
        "ratio": 1.0,
        "expire_seconds": 3600.0,
    }
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(fleet, "watch", UUID, "--json"))
        await _watched(fleet)
        fleet.tablets[100].put(state("COMPLETE", started_at=started_at))
    events = [json.loads(line) for line in running.result().stdout.splitlines()]
    assert {event["event"] for event in events} == {"changed", "up-to-date"}
    first = next(event for event in events if event["event"] == "changed")["migration"]
    assert first["started_at"] == "2023-11-14T22:13:20.250Z"
    assert first["eta_state"] == "none"
