from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

import tabletd_client
from tabletd.errors import Reason, TabletdError
from tabletd_client import (
    Affected,
    Client,
    EtaState,
    Lock,
    Order,
    PasswordCredentials,
    Refusal,
    Status,
    TabletdClientError,
    TlsOptions,
    Way,
)
from tabletd_pb import migrations_pb2, vtctldata_pb2, vttime_pb2
from tests.support.fake_fleet import (
    ONE_SHARD,
    OTHER_UUID,
    UUID,
    FakeFleet,
    fake_fleet,
    own_certificate,
    state,
)

COMMERCE = "commerce"


async def test_a_submission_names_its_migrations(fleet: FakeFleet, client: Client) -> None:
    submission = await client.apply(
        COMMERCE, "alter table t add i int", strategy="gh-ost --postpone-launch", context="c"
    )
    assert submission.uuids == (UUID,)
    assert submission.rows_affected_by_shard == {"-80": 1, "80-": 0}
    request = fleet.last("ApplySchema")
    assert (request.keyspace, list(request.sql), request.ddl_strategy) == (
        COMMERCE,
        ["alter table t add i int"],
        "gh-ost --postpone-launch",
    )
    assert request.migration_context == "c"


@pytest.mark.parametrize(
    ("verb", "method"),
    [
        ("cancel", "CancelSchemaMigration"),
        ("retry", "RetrySchemaMigration"),
        ("launch", "LaunchSchemaMigration"),
        ("complete", "CompleteSchemaMigration"),
        ("cleanup", "CleanupSchemaMigration"),
        ("force_cutover", "ForceCutOverSchemaMigration"),
    ],
)
async def test_a_command_says_on_how_many_rows_of_each_shard_it_had_an_effect(
    fleet: FakeFleet, client: Client, verb: str, method: str
) -> None:
    affected: Affected = await getattr(client, verb)(COMMERCE, UUID.upper())
    assert affected == Affected({"-80": 1, "80-": 0})
    assert affected.total == 1
    request = fleet.last(method)
    assert (request.keyspace, request.uuid) == (COMMERCE, UUID)


async def test_all_is_sent_in_its_own_word(fleet: FakeFleet, client: Client) -> None:
    await client.cancel(COMMERCE, "ALL")
    assert fleet.last("CancelSchemaMigration").uuid == "all"


@pytest.mark.parametrize("text", ["", "x", "all'", "aaaaaaaa-1111-11f0-8de9-0242ac110002"])
async def test_what_is_no_uuid_is_refused_before_it_is_sent(
    fleet: FakeFleet, client: Client, text: str
) -> None:
    with pytest.raises(TabletdClientError, match="is no UUID") as caught:
        await client.cancel(COMMERCE, text)
    assert caught.value.reason == "INVALID_REQUEST"
    assert not fleet.calls


async def test_what_has_no_method_is_sent_as_a_statement(fleet: FakeFleet, client: Client) -> None:
    assert (await client.postpone(COMMERCE, UUID)).total == 1
    await client.postpone(COMMERCE, "all")
    await client.complete(COMMERCE, UUID, shards=["-80"])
    await client.launch(COMMERCE, UUID, shards=["-80", "80-"])
    await client.revert(COMMERCE, UUID)
    statements = [request.sql[0] for _, request in fleet.calls]  # type: ignore[attr-defined]
    assert statements == [
        f"ALTER VITESS_MIGRATION '{UUID}' POSTPONE COMPLETE",
        "ALTER VITESS_MIGRATION POSTPONE COMPLETE ALL",
        f"ALTER VITESS_MIGRATION '{UUID}' COMPLETE VITESS_SHARDS '-80'",
        f"ALTER VITESS_MIGRATION '{UUID}' LAUNCH VITESS_SHARDS '-80,80-'",
        f"REVERT VITESS_MIGRATION '{UUID}'",
    ]


async def test_a_shard_name_cannot_end_the_statement(client: Client) -> None:
    with pytest.raises(TabletdClientError, match="is no name of a shard"):
        await client.complete(COMMERCE, UUID, shards=["-80' x '"])


async def test_throttling_sets_a_rule_that_expires(fleet: FakeFleet, client: Client) -> None:
    await client.throttle(COMMERCE, UUID, ratio=0.5, expire=timedelta(minutes=10))
    rule = fleet.last("UpdateThrottlerConfig").throttled_app
    assert (rule.name, rule.ratio) == (UUID, 0.5)
    assert rule.expires_at.seconds == pytest.approx(time.time() + 600, abs=30)
    await client.unthrottle(COMMERCE, "all")
    rule = fleet.last("UpdateThrottlerConfig").throttled_app
    assert rule.name == "online-ddl"
    # Present, and in the past: that is what takes the rule away.
    assert rule.HasField("expires_at")
    assert rule.expires_at == vttime_pb2.Time()


async def test_a_list_is_asked_for_as_it_was_wanted(fleet: FakeFleet, client: Client) -> None:
    fleet.tablets[100].put(state("RUNNING", artifacts=["_a_gho", "_b_ghc"], progress_percent=50))
    found = await client.show(
        COMMERCE,
        status=Status.RUNNING,
        recent=timedelta(days=7),
        order=Order.DESCENDING,
        limit=3,
        skip=1,
    )
    request = fleet.last("GetSchemaMigrations")
    assert request.status == vtctldata_pb2.SchemaMigration.RUNNING
    assert request.recent.seconds == 7 * 86_400
    assert (request.order, request.limit, request.skip) == (vtctldata_pb2.DESCENDING, 3, 1)
    (migration,) = found
    assert (migration.status, migration.strategy, migration.shard) == (
        Status.RUNNING,
        "gh-ost",
        "-80",
    )
    assert migration.artifacts == ("_a_gho", "_b_ghc")
    assert (migration.progress_percent, migration.eta_seconds) == (50.0, None)


@pytest.mark.parametrize(("status", "component"), [("RUNNING", "gh-ost"), ("FAILED", "")])
async def test_a_listed_migration_says_what_is_held_back_and_when_it_last_was(
    fleet: FakeFleet, client: Client, status: str, component: str
) -> None:
    moment = vttime_pb2.Time(seconds=1_700_000_000)
    fleet.tablets[100].put(state(status, component_throttled="gh-ost", last_throttled_at=moment))
    (migration,) = await client.show(COMMERCE, uuid=UUID)
    assert (migration.throttle_reason, migration.component_throttled) == ("", component)
    assert migration.last_throttled_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


async def test_a_watched_migration_has_the_values_that_were_told(
    fleet: FakeFleet, client: Client
) -> None:
    fleet.tablets[100].put(
        state(
            eta_state=migrations_pb2.MigrationState.ETA_STATE_READY,
            eta_seconds=12,
            waiting_since=vttime_pb2.Time(seconds=1_700_000_000, nanoseconds=500_000_000),
            throttle_reason="lag",
            component_throttled="gh-ost",
            last_throttled_at=vttime_pb2.Time(seconds=1_700_000_000),
            backlog=3,
        )
    )
    async with client.watch(COMMERCE) as events:
        changed = await anext(events)
    assert isinstance(changed, tabletd_client.Changed)
    migration = changed.migration
    assert (migration.eta_state, migration.eta_seconds) == (EtaState.READY, 12)
    assert migration.waiting_since == datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC)
    assert (migration.throttle_reason, migration.backlog) == ("lag", 3)
    assert migration.component_throttled == "gh-ost"
    assert migration.last_throttled_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert migration.started_at is None


async def test_tablets_are_told_with_where_they_are(fleet: FakeFleet, client: Client) -> None:
    tablets = await client.tablets(COMMERCE)
    assert [(one.alias, one.shard, one.type) for one in tablets] == [
        ("zone1-0000000100", "-80", "primary"),
        ("zone1-0000000101", "-80", "replica"),
        ("zone1-0000000200", "80-", "primary"),
        ("zone1-0000000201", "80-", "replica"),
    ]
    assert tablets[0].grpc_address == fleet.address
    assert await client.keyspaces() == [COMMERCE]
    assert await client.shards(COMMERCE) == ["-80", "80-"]


async def test_the_lag_of_a_tablet_that_does_not_know_it_is_not_told_as_zero(
    fleet: FakeFleet, client: Client
) -> None:
    fleet.tablets[101].lag_seconds = 4
    fleet.tablets[201].health_error = "no heartbeat for 9 s"
    await fleet.tablets[200].stop()
    lags = {lag.alias[-3:]: lag for lag in await client.lag()}
    assert (lags["100"].lag_seconds, lags["100"].serving) == (0, True)
    assert (lags["101"].lag_seconds, lags["101"].error) == (4, "")
    assert (lags["201"].lag_seconds, lags["201"].error) == (None, "no heartbeat for 9 s")
    assert (lags["200"].lag_seconds, lags["200"].serving) == (None, None)
    assert "does not answer" in lags["200"].error


async def test_a_plan_is_asked_of_every_shard(fleet: FakeFleet, client: Client) -> None:
    fleet.tablets[100].plans = [
        migrations_pb2.Plan(
            statement="drop table t",
            way=migrations_pb2.Plan.WAY_REFUSED,
            refusals=[migrations_pb2.Refusal(reason="TABLE_NOT_FOUND", message="no t", hint="?")],
            locks=[migrations_pb2.Lock(object="t", blocks="writers", phase="swap", seconds_max=-1)],
            estimated_seconds=-1,
            evidence=["asked the server"],
        )
    ]
    fleet.tablets[200].plans = [
        migrations_pb2.Plan(way=migrations_pb2.Plan.WAY_RENAME, estimated_seconds=0)
    ]
    refused, renamed = await client.explain(COMMERCE, "drop table t", strategy="mysql")
    assert (refused.shard, refused.way, refused.estimated_seconds) == ("-80", Way.REFUSED, None)
    assert refused.refusals == (Refusal("TABLE_NOT_FOUND", "no t", "?"),)
    assert refused.locks == (Lock("t", "writers", "swap", None),)
    assert refused.evidence == ("asked the server",)
    assert (renamed.shard, renamed.way, renamed.estimated_seconds) == ("80-", Way.RENAME, 0)


async def test_logs_come_from_the_primary_of_each_shard(fleet: FakeFleet, client: Client) -> None:
    fleet.tablets[100].log = "copied 9 rows\n"
    fleet.tablets[200].log = "copied 7 rows\n"
    logs = await client.logs(COMMERCE, UUID)
    assert [(log.shard, log.text) for log in logs] == [
        ("-80", "copied 9 rows\n"),
        ("80-", "copied 7 rows\n"),
    ]
    assert fleet.last("Execute").query.sql == f"SHOW VITESS_MIGRATION '{UUID}' LOGS"


async def test_the_servers_reason_and_facts_reach_the_caller(
    fleet: FakeFleet, client: Client
) -> None:
    fleet.tablets[100].failing["CancelSchemaMigration"] = TabletdError(
        Reason.MIGRATION_NOT_FOUND, "no such", hint="look", migration_uuid=OTHER_UUID
    )
    with pytest.raises(TabletdClientError) as caught:
        await client.cancel(COMMERCE, OTHER_UUID)
    error = caught.value
    assert error.reason == tabletd_client.Reason.MIGRATION_NOT_FOUND
    assert (error.code, error.message) == ("NOT_FOUND", "no such (look)")
    assert error.facts == {"migration_uuid": OTHER_UUID}
    assert not error.not_reachable


async def test_a_server_that_gives_no_reason_gets_one_by_its_code(
    fleet: FakeFleet, client: Client
) -> None:
    fleet.tablets[100].failing["CancelSchemaMigration"] = grpc.StatusCode.FAILED_PRECONDITION
    with pytest.raises(TabletdClientError) as caught:
        await client.cancel(COMMERCE, UUID)
    assert caught.value.reason == "MIGRATION_REJECTED"
    assert caught.value.code == "FAILED_PRECONDITION"


async def test_a_server_that_is_not_there_is_told_at_once(fleet: FakeFleet) -> None:
    address = fleet.address
    await fleet.tablets[100].stop()
    async with (
        asyncio.timeout(60),
        tabletd_client.connect(address, timeout_seconds=3600) as client,
    ):
        with pytest.raises(TabletdClientError, match="does not answer") as caught:
            await client.show(COMMERCE)
    assert caught.value.reason == "NOT_REACHABLE"
    assert caught.value.not_reachable


async def test_a_server_that_hangs_is_given_up_in_time() -> None:
    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hung.wait()
        writer.close()

    hung = asyncio.Event()
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with tabletd_client.connect(f"127.0.0.1:{port}", timeout_seconds=0.3) as client:
            with pytest.raises(TabletdClientError) as caught:
                await client.show(COMMERCE)
        hung.set()
    assert caught.value.reason in ("TIMEOUT", "NOT_REACHABLE")


async def test_other_tablets_are_asked_when_the_first_is_gone(
    fleet: FakeFleet, client: Client
) -> None:
    await client.tablets()
    await fleet.tablets[100].stop()
    fleet.tablets[101].kind = "PRIMARY"
    fleet.tablets[101].log = "from the new one"
    logs = await client.logs(COMMERCE, UUID)
    assert logs[0].text == "from the new one"


async def test_a_tablet_that_is_alone_is_reached_where_it_answered() -> None:
    async with fake_fleet(ONE_SHARD) as fleet:
        fleet.tablets[100].log = "here"
        fleet.tablets[100].told_host = "tablet.of.another.network"
        async with tabletd_client.connect(fleet.address) as client:
            assert [log.text for log in await client.logs(COMMERCE, UUID)] == ["here"]


async def test_a_keyspace_that_is_not_there_is_the_servers_to_refuse(
    fleet: FakeFleet, client: Client
) -> None:
    fleet.tablets[100].failing["GetTablets"] = TabletdError(
        Reason.TOPOLOGY_NOT_FOUND, "there is no keyspace nowhere"
    )
    with pytest.raises(TabletdClientError, match="no keyspace nowhere") as caught:
        await client.shards("nowhere")
    assert caught.value.reason == "TOPOLOGY_NOT_FOUND"


async def test_tls_and_credentials_are_used_for_every_tablet(tmp_path: Path) -> None:
    key, certificate = own_certificate(tmp_path, "tablet.example")
    server = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    tls = TlsOptions(ca=certificate.read_bytes(), server_name="tablet.example")
    who = PasswordCredentials("ada", "secret")
    assert "secret" not in repr(who)
    async with fake_fleet(credentials=server) as fleet:
        fleet.tablets[200].log = "over there"
        async with tabletd_client.connect(fleet.address, tls=tls, credentials=who) as client:
            assert (await client.logs(COMMERCE, UUID))[1].text == "over there"
        assert all(sent["username"] == "ada" for sent in fleet.metadata)
        assert all(sent["password"] == "secret" for sent in fleet.metadata)


def test_the_client_knows_every_reason_of_the_server() -> None:
    assert {reason.value for reason in Reason} <= {reason.value for reason in tabletd_client.Reason}
