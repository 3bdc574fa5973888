"""One vtctld drives the schema of two shards, through the daemons beside two real servers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import grpc.aio
import pytest

from tabletd import __version__
from tabletd.executor.names import create_uuid
from tabletd.sandbox.releases import ReleaseName, find_release
from tabletd_pb import topodata_pb2
from tabletd_pb import vtctldata_pb2 as pb
from tabletd_pb.vtctlservice_pb2_grpc import VtctlStub
from tests.support.servers import RealServer
from tests.support.two_shards import KEYSPACE, SHARDS, Client, TwoShards
from tests.support.waiting import eventually

HIGH = topodata_pb2.TabletAlias(cell="zone1", uid=200)


@pytest.fixture(scope="module")
def shards(
    mariadb_server: RealServer, servers_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoShards]:
    second = RealServer(find_release(ReleaseName.MARIADB), servers_directory / "second-shard")
    try:
        two = TwoShards((mariadb_server, second), tmp_path_factory.mktemp("shards"))
        try:
            yield two
        finally:
            two.stop()
    finally:
        second.stop()


@pytest.fixture
async def client(shards: TwoShards) -> AsyncIterator[Client]:
    async with grpc.aio.insecure_channel(shards.daemons["-80"].grpc) as channel:
        yield Client(channel)


@pytest.fixture
def table(shards: TwoShards) -> str:
    """A table of nine rows on both shards."""
    name = f"t_{create_uuid()[:8]}"
    values = ", ".join(f"({number})" for number in range(9))
    shards.script(
        f"CREATE TABLE {name} (id int PRIMARY KEY)", f"INSERT INTO {name} VALUES {values}"
    )
    return name


async def test_a_direct_change_is_made_at_once_on_both_shards(
    client: Client, shards: TwoShards, table: str
) -> None:
    assert await client.apply(f"ALTER TABLE {table} ADD COLUMN made_direct int") == []
    assert shards.columns(table) == [{"id", "made_direct"}] * 2


@pytest.mark.parametrize("strategy", ["pt-osc", "mysql"])
async def test_a_migration_completes_on_both_shards(
    client: Client, shards: TwoShards, table: str, strategy: str
) -> None:
    (uuid,) = await client.apply(
        f"ALTER TABLE {table} ADD COLUMN made_online int",
        strategy=strategy,
        migration_context="release-1",
    )
    rows = await client.completed(uuid)
    assert shards.columns(table) == [{"id", "made_online"}] * 2
    assert [row.shard for row in rows] == list(SHARDS)
    assert [row.tablet.uid for row in rows] == [100, 200]
    for row in rows:
        assert row.migration_context == "release-1"
        assert row.migration_statement == f"ALTER TABLE {table} ADD COLUMN made_online int"
        assert (row.progress, row.table, row.ddl_action) == (100, table, "alter")
        assert row.added_at.seconds <= row.started_at.seconds <= row.completed_at.seconds
        assert row.stage.startswith(strategy) or strategy == "mysql"
    over = pb.CancelSchemaMigrationRequest(keyspace=KEYSPACE, uuid=uuid)
    answer = await client.stub.CancelSchemaMigration(over)
    assert answer.rows_affected_by_shard == dict.fromkeys(SHARDS, 0)


async def test_the_same_uuid_and_context_again_is_the_same_migration(
    client: Client, table: str
) -> None:
    uuid = create_uuid()

    async def submit(context: str) -> list[str]:
        return await client.apply(
            f"ALTER TABLE {table} ADD COLUMN once int",
            strategy="mysql --postpone-launch",
            uuid_list=[uuid],
            migration_context=context,
        )

    assert await submit("release-2") == [uuid]
    assert await submit("release-2") == [uuid]
    assert len(await client.migrations(uuid=uuid)) == 2
    with pytest.raises(grpc.aio.AioRpcError, match="with different context") as caught:
        await submit("another")
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    launch = pb.LaunchSchemaMigrationRequest(keyspace=KEYSPACE, uuid=uuid.upper())
    answer = await client.stub.LaunchSchemaMigration(launch)
    assert answer.rows_affected_by_shard == dict.fromkeys(SHARDS, 1)
    await client.completed(uuid)


async def test_all_pending_migrations_are_cancelled_on_both_shards(
    client: Client, table: str
) -> None:
    uuids = await client.apply(
        *(f"ALTER TABLE {table} ADD COLUMN c{number} int" for number in range(3)),
        strategy="mysql --postpone-launch",
        migration_context="release-3",
    )
    everything = pb.CancelSchemaMigrationRequest(keyspace=KEYSPACE, uuid="ALL")
    answer = await client.stub.CancelSchemaMigration(everything)
    assert answer.rows_affected_by_shard == dict.fromkeys(SHARDS, 3)
    rows = await client.migrations(
        migration_context="release-3", order=pb.DESCENDING, limit=4, skip=1
    )
    assert [(row.uuid, row.shard) for row in rows] == [
        (uuids[2], "-80"),
        (uuids[1], "80-"),
        (uuids[1], "-80"),
        (uuids[0], "80-"),
    ]
    assert {row.status for row in rows} == {pb.SchemaMigration.CANCELLED}
    assert all(row.cancelled_at.seconds for row in rows)
    cancelled = await client.migrations(status=pb.SchemaMigration.CANCELLED)
    assert {row.uuid for row in cancelled} >= set(uuids)


async def test_an_unknown_migration_cannot_be_cancelled_but_retried_to_no_effect(
    client: Client,
) -> None:
    uuid = create_uuid()
    with pytest.raises(grpc.aio.AioRpcError, match=r"(?i)migration not found") as caught:
        await client.stub.CancelSchemaMigration(
            pb.CancelSchemaMigrationRequest(keyspace=KEYSPACE, uuid=uuid)
        )
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    retry = pb.RetrySchemaMigrationRequest(keyspace=KEYSPACE, uuid=uuid)
    answer = await client.stub.RetrySchemaMigration(retry)
    assert answer.rows_affected_by_shard == dict.fromkeys(SHARDS, 0)


async def test_a_rule_of_the_throttler_is_kept_by_every_shard_and_taken_away(
    client: Client,
) -> None:
    async def rules() -> dict[str, float]:
        answer = await client.stub.GetKeyspace(pb.GetKeyspaceRequest(keyspace=KEYSPACE))
        config = answer.keyspace.keyspace.throttler_config
        return {name: rule.ratio for name, rule in config.throttled_apps.items()}

    async def check() -> str:
        request = pb.CheckThrottlerRequest(tablet_alias=HIGH, app_name="online-ddl")
        answer = await client.stub.CheckThrottler(request)
        return str(answer.Check.summary)

    await client.apply("alter vitess_migration throttle all expire '1h'")
    assert await rules() == {"online-ddl": 1.0}
    assert "denied" in await check()
    await client.apply("ALTER VITESS_MIGRATION UNTHROTTLE ALL;")
    assert await rules() == {}
    assert "denied" not in await check()


async def test_the_whole_is_seen_and_found_in_order(client: Client, table: str) -> None:
    tablets = (await client.stub.GetTablets(pb.GetTabletsRequest())).tablets
    assert [(one.alias.uid, one.type) for one in tablets] == [
        (100, topodata_pb2.PRIMARY),
        (200, topodata_pb2.PRIMARY),
    ]
    checked = await client.stub.Validate(pb.ValidateRequest(ping_tablets=True))
    assert not checked.results
    schemas = await client.stub.ValidateSchemaKeyspace(
        pb.ValidateSchemaKeyspaceRequest(keyspace=KEYSPACE)
    )
    assert not schemas.results
    version = await client.stub.GetVersion(pb.GetVersionRequest(tablet_alias=HIGH))
    assert version.version == __version__
    status = await client.stub.GetFullStatus(pb.GetFullStatusRequest(tablet_alias=HIGH))
    assert "MariaDB" in status.status.version
    accounts = await client.stub.GetPermissions(pb.GetPermissionsRequest(tablet_alias=HIGH))
    assert "root" in {one.user for one in accounts.permissions.user_permissions}
    schema = await client.stub.GetSchema(
        pb.GetSchemaRequest(tablet_alias=HIGH, tables=[table], table_names_only=True)
    )
    assert [one.name for one in schema.schema.table_definitions] == [table]


async def test_old_clients_submit_and_look_by_words(client: Client, shards: TwoShards) -> None:
    async with grpc.aio.insecure_channel(shards.daemons["80-"].grpc) as channel:

        async def run(*args: str) -> str:
            request = pb.ExecuteVtctlCommandRequest(args=args)
            answers = VtctlStub(channel).ExecuteVtctlCommand(request)
            return "".join([answer.event.value async for answer in answers])

        sql = "CREATE TABLE by_words (id int PRIMARY KEY)"
        uuid = (await run("ApplySchema", "-ddl_strategy=mysql", f"-sql={sql}", KEYSPACE)).strip()
        await client.completed(uuid)
        assert (await run("OnlineDDL", KEYSPACE, "show", uuid)).count("complete ") == len(SHARDS)


async def test_another_list_of_tablets_is_taken_at_sighup(
    client: Client, shards: TwoShards
) -> None:
    async def uids() -> list[int]:
        answer = await client.stub.GetTablets(pb.GetTabletsRequest())
        return [tablet.alias.uid for tablet in answer.tablets]

    async def are(wanted: list[int]) -> bool:
        return await uids() == wanted

    before = shards.topology.read_text()
    more = '\n[[tablets]]\nalias = "zone1-300"\nkeyspace = "users"\ngrpc_port = 1\n'
    for text, wanted in ((before + more, [100, 200, 300]), (before, [100, 200])):
        shards.topology.write_text(text)
        shards.daemons["-80"].identity.signal(signal.SIGHUP)
        await eventually(partial(are, wanted))
    shards.topology.write_text("no TOML")
    shards.daemons["-80"].identity.signal(signal.SIGHUP)
    log = shards.daemons["-80"].log
    await eventually(lambda: "the topology is unchanged" in log.read_text())
    assert await uids() == [100, 200]
    shards.topology.write_text(before)


async def test_a_daemon_that_is_down_is_named_and_found_again(
    client: Client, shards: TwoShards
) -> None:
    await asyncio.to_thread(shards.daemons["80-"].kill)
    with pytest.raises(grpc.aio.AioRpcError, match="80-: no primary of shop/80- is known") as down:
        await client.migrations()
    assert down.value.code() is grpc.StatusCode.UNAVAILABLE
    await asyncio.to_thread(shards.restart, "80-")

    async def answers() -> bool:
        try:
            return bool(await client.migrations(status=pb.SchemaMigration.COMPLETE))
        except grpc.aio.AioRpcError:
            return False

    await eventually(answers, what="the shard is found again")
