"""Vtctld's methods on keyspaces, shards and tablets, over tablets that answer as the test says."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from tabletd.errors import Reason, TabletdError
from tabletd_pb import logutil_pb2, query_pb2, replicationdata_pb2, topodata_pb2
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tabletd_pb import vtctldata_pb2 as pb
from tabletd_pb.vtctlservice_pb2_grpc import VtctldStub
from tests.support.fake_cluster import KEYSPACE, Answer, FakeCluster, FakeDaemon, fake_cluster
from tests.support.fakes_servicers import failure, grpc_bench
from tests.support.waiting import eventually


def alias(cell: str, uid: int) -> topodata_pb2.TabletAlias:
    return topodata_pb2.TabletAlias(cell=cell, uid=uid)


def affected(rows: int) -> query_pb2.QueryResult:
    return query_pb2.QueryResult(rows_affected=rows)


ALIAS = alias("zone1", 100)


@dataclass
class Bench:
    """A Vtctld and the tablets that it calls."""

    vtctld: VtctldStub
    cluster: FakeCluster


@asynccontextmanager
async def bench(*shards: str, replicas: int = 1) -> AsyncGenerator[Bench]:
    async with (
        fake_cluster(shards or ("-80", "80-"), replicas=replicas) as cluster,
        grpc_bench(topology=cluster.topology) as server,
    ):
        await eventually(
            lambda: all(
                not cluster.topology.health(daemon.place).error
                for daemon in cluster.daemons.values()
            )
        )
        yield Bench(VtctldStub(server.channel), cluster)


def schema(**tables: str) -> Answer:
    definition = tm.SchemaDefinition(
        database_schema="CREATE DATABASE",
        table_definitions=[
            tm.TableDefinition(name=name, schema=text, type="BASE TABLE", row_count=5)
            for name, text in tables.items()
        ],
    )
    return lambda _: tm.GetSchemaResponse(schema_definition=definition)


def fail(_: Any) -> Any:
    raise TabletdError(Reason.MYSQL_UNAVAILABLE, "the server is down")


async def test_keyspaces_shards_and_cells_are_those_of_the_topology() -> None:
    async with bench() as b:
        keyspaces = await b.vtctld.GetKeyspaces(pb.GetKeyspacesRequest())
        assert [one.name for one in keyspaces.keyspaces] == [KEYSPACE]
        shards = await b.vtctld.FindAllShardsInKeyspace(
            pb.FindAllShardsInKeyspaceRequest(keyspace=KEYSPACE)
        )
        assert set(shards.shards) == {"-80", "80-"}
        one = await b.vtctld.GetShard(pb.GetShardRequest(keyspace=KEYSPACE, shard_name="80-"))
        assert one.shard == shards.shards["80-"]
        assert one.shard.shard.primary_alias.uid == 200
        assert one.shard.shard.key_range == topodata_pb2.KeyRange(start=b"\x80")
        assert one.shard.shard.is_primary_serving
        assert one.shard.shard.primary_term_start_time.seconds == 1_700_000_000
        names = await b.vtctld.GetCellInfoNames(pb.GetCellInfoNamesRequest())
        assert list(names.names) == ["zone1"]
        cell = await b.vtctld.GetCellInfo(pb.GetCellInfoRequest(cell="zone1"))
        assert cell.cell_info.root == "test"
        assert not (await b.vtctld.GetCellsAliases(pb.GetCellsAliasesRequest())).aliases
        seen = await b.vtctld.GetSrvKeyspaces(pb.GetSrvKeyspacesRequest(keyspace=KEYSPACE))
        partition = seen.srv_keyspaces["zone1"].partitions[0]
        assert [one.name for one in partition.shard_references] == ["-80", "80-"]


async def test_what_does_not_exist_is_not_found() -> None:
    async with bench() as b:
        for call in (
            b.vtctld.GetKeyspace(pb.GetKeyspaceRequest(keyspace="x")),
            b.vtctld.GetShard(pb.GetShardRequest(keyspace=KEYSPACE, shard_name="0")),
            b.vtctld.FindAllShardsInKeyspace(pb.FindAllShardsInKeyspaceRequest(keyspace="x")),
            b.vtctld.GetCellInfo(pb.GetCellInfoRequest(cell="x")),
            b.vtctld.GetTablet(pb.GetTabletRequest(tablet_alias=alias("zone1", 9))),
            b.vtctld.GetTablets(pb.GetTabletsRequest(keyspace="x")),
            b.vtctld.PingTablet(pb.PingTabletRequest(tablet_alias=alias("x", 100))),
        ):
            error = await failure(call)
            assert error.code() is grpc.StatusCode.NOT_FOUND, error
        error = await failure(b.vtctld.PingTablet(pb.PingTabletRequest()))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_tablets_are_listed_by_alias_with_roles_and_ports() -> None:
    async with bench() as b:
        answer = await b.vtctld.GetTablets(pb.GetTabletsRequest())
        found = [(one.alias.uid, one.shard, one.type) for one in answer.tablets]
        assert found == [
            (100, "-80", topodata_pb2.PRIMARY),
            (101, "-80", topodata_pb2.REPLICA),
            (200, "80-", topodata_pb2.PRIMARY),
            (201, "80-", topodata_pb2.REPLICA),
        ]
        first = answer.tablets[0]
        daemon = b.cluster.primary("-80")
        assert first.port_map == {"grpc": daemon.place.grpc_port, "vt": 15100}
        assert first.primary_term_start_time.seconds == 1_700_000_000
        assert not answer.tablets[1].HasField("primary_term_start_time")
        single = await b.vtctld.GetTablet(pb.GetTabletRequest(tablet_alias=ALIAS))
        assert single.tablet == first


@pytest.mark.parametrize(
    ("request_", "uids"),
    [
        (pb.GetTabletsRequest(keyspace=KEYSPACE, shard="80-"), [200, 201]),
        (pb.GetTabletsRequest(tablet_type=topodata_pb2.REPLICA), [101, 201]),
        (pb.GetTabletsRequest(cells=["zone1"], keyspace=KEYSPACE), [100, 101, 200, 201]),
        (pb.GetTabletsRequest(cells=["zone9"]), []),
        (pb.GetTabletsRequest(tablet_aliases=[ALIAS]), [100]),
        (pb.GetTabletsRequest(tablet_aliases=[ALIAS, alias("z", 1)]), [100]),
    ],
)
async def test_tablets_are_chosen_by_what_is_asked(
    request_: pb.GetTabletsRequest, uids: list[int]
) -> None:
    async with bench() as b:
        answer = await b.vtctld.GetTablets(request_)
        assert [one.alias.uid for one in answer.tablets] == uids


async def test_of_two_primaries_the_earlier_is_shown_as_unknown() -> None:
    async with bench("0") as b:
        old, new = b.cluster.daemons.values()
        new.become(topodata_pb2.PRIMARY, term_start_seconds=1_700_000_100)
        await eventually(lambda: b.cluster.topology.primary(KEYSPACE, "0") == new.place)
        answer = await b.vtctld.GetTablets(pb.GetTabletsRequest())
        types = {one.alias.uid: one.type for one in answer.tablets}
        assert types == {
            old.place.uid: topodata_pb2.UNKNOWN,
            new.place.uid: topodata_pb2.PRIMARY,
        }


async def test_calls_reach_the_tablet_that_they_name() -> None:
    async with bench() as b:
        daemon = b.cluster.primary("-80")
        daemon.answers |= {
            "Ping": lambda request: tm.PingResponse(payload=request.payload),
            "RunHealthCheck": lambda _: tm.RunHealthCheckResponse(),
            "RefreshState": lambda _: tm.RefreshStateResponse(),
            "ReloadSchema": lambda _: tm.ReloadSchemaResponse(),
            "SetReadOnly": lambda _: tm.SetReadOnlyResponse(),
            "SetReadWrite": lambda _: tm.SetReadWriteResponse(),
        }
        await b.vtctld.PingTablet(pb.PingTabletRequest(tablet_alias=ALIAS))
        await b.vtctld.RunHealthCheck(pb.RunHealthCheckRequest(tablet_alias=ALIAS))
        await b.vtctld.RefreshState(pb.RefreshStateRequest(tablet_alias=ALIAS))
        await b.vtctld.ReloadSchema(pb.ReloadSchemaRequest(tablet_alias=ALIAS))
        await b.vtctld.SetWritable(pb.SetWritableRequest(tablet_alias=ALIAS, writable=False))
        await b.vtctld.SetWritable(pb.SetWritableRequest(tablet_alias=ALIAS, writable=True))
        assert [name for name, _ in daemon.asked] == [
            "Ping",
            "RunHealthCheck",
            "RefreshState",
            "ReloadSchema",
            "SetReadOnly",
            "SetReadWrite",
        ]
        assert not b.cluster.primary("80-").asked


async def test_fetches_keep_their_options() -> None:
    async with bench() as b:
        daemon = b.cluster.primary("-80")
        daemon.answers |= {
            "ExecuteFetchAsDba": lambda _: tm.ExecuteFetchAsDbaResponse(result=affected(1)),
            "ExecuteMultiFetchAsDba": lambda _: tm.ExecuteMultiFetchAsDbaResponse(
                results=[affected(1), affected(2)]
            ),
            "ExecuteFetchAsApp": lambda _: tm.ExecuteFetchAsAppResponse(result=affected(4)),
        }
        dba = await b.vtctld.ExecuteFetchAsDBA(
            pb.ExecuteFetchAsDBARequest(
                tablet_alias=ALIAS, query="q", max_rows=7, disable_binlogs=True, reload_schema=True
            )
        )
        multi = await b.vtctld.ExecuteMultiFetchAsDBA(
            pb.ExecuteMultiFetchAsDBARequest(tablet_alias=ALIAS, sql="a;b", max_rows=8)
        )
        app = await b.vtctld.ExecuteFetchAsApp(
            pb.ExecuteFetchAsAppRequest(tablet_alias=ALIAS, query="q", max_rows=9)
        )
        assert dba.result.rows_affected == 1
        assert [one.rows_affected for one in multi.results] == [1, 2]
        assert app.result.rows_affected == 4
        first, second, third = (request for _, request in daemon.asked)
        assert first == tm.ExecuteFetchAsDbaRequest(
            query=b"q", max_rows=7, disable_binlogs=True, reload_schema=True
        )
        assert second == tm.ExecuteMultiFetchAsDbaRequest(sql=b"a;b", max_rows=8)
        assert third == tm.ExecuteFetchAsAppRequest(query=b"q", max_rows=9)


async def test_a_schema_is_cut_down_to_names_or_sizes() -> None:
    async with bench() as b:
        b.cluster.answer("GetSchema", schema(t="CREATE TABLE t"))

        async def tables(*, names_only: bool = False, sizes_only: bool = False) -> Any:
            request = pb.GetSchemaRequest(
                tablet_alias=ALIAS, table_names_only=names_only, table_sizes_only=sizes_only
            )
            return (await b.vtctld.GetSchema(request)).schema

        whole = await tables()
        assert whole.database_schema
        assert whole.table_definitions[0].schema == "CREATE TABLE t"
        names = await tables(names_only=True)
        assert names.table_definitions[0] == tm.TableDefinition(name="t")
        sizes = await tables(sizes_only=True)
        assert sizes.table_definitions[0] == tm.TableDefinition(
            name="t", type="BASE TABLE", row_count=5
        )


async def test_a_reload_says_of_each_tablet_how_it_went() -> None:
    async with bench() as b:
        b.cluster.answer("ReloadSchema", lambda _: tm.ReloadSchemaResponse())
        b.cluster.daemons["zone1-0000000201"].answers["ReloadSchema"] = fail
        answer = await b.vtctld.ReloadSchemaKeyspace(
            pb.ReloadSchemaKeyspaceRequest(keyspace=KEYSPACE)
        )
        assert [(one.level, one.value) for one in answer.events] == [
            (logutil_pb2.INFO, "zone1-0000000101: schema reloaded"),
            (logutil_pb2.WARNING, "zone1-0000000201: the server is down"),
        ]
        shard = await b.vtctld.ReloadSchemaShard(
            pb.ReloadSchemaShardRequest(
                keyspace=KEYSPACE, shard="-80", include_primary=True, wait_position="p"
            )
        )
        assert len(shard.events) == 2
        assert b.cluster.primary("-80").asked == [
            ("ReloadSchema", tm.ReloadSchemaRequest(wait_position="p"))
        ]


async def test_positions_of_a_shard_are_those_of_its_primary_and_replicas() -> None:
    async with bench() as b:
        b.cluster.answer("PrimaryPosition", lambda _: tm.PrimaryPositionResponse(position="p"))
        b.cluster.answer(
            "ReplicationStatus",
            lambda _: tm.ReplicationStatusResponse(
                status=replicationdata_pb2.Status(position="r", replication_lag_seconds=3)
            ),
        )
        answer = await b.vtctld.ShardReplicationPositions(
            pb.ShardReplicationPositionsRequest(keyspace=KEYSPACE, shard="80-")
        )
        positions = {name: one.position for name, one in answer.replication_statuses.items()}
        assert positions == {"zone1-0000000200": "p", "zone1-0000000201": "r"}
        assert answer.tablet_map["zone1-0000000201"].type == topodata_pb2.REPLICA


async def test_a_healthy_keyspace_has_nothing_wrong() -> None:
    async with bench() as b:
        b.cluster.answer("Ping", lambda _: tm.PingResponse())
        b.cluster.answer("GetSchema", schema(t="CREATE TABLE t"))
        everything = await b.vtctld.Validate(pb.ValidateRequest(ping_tablets=True))
        assert not everything.results
        assert set(everything.results_by_keyspace[KEYSPACE].results_by_shard) == {"-80", "80-"}
        schemas = await b.vtctld.ValidateSchemaKeyspace(
            pb.ValidateSchemaKeyspaceRequest(keyspace=KEYSPACE)
        )
        assert not schemas.results
        assert set(schemas.results_by_shard) == {"-80", "80-"}


async def test_what_is_wrong_is_said_by_shard() -> None:
    async with bench() as b:
        b.cluster.answer("Ping", lambda _: tm.PingResponse())
        daemon: FakeDaemon = b.cluster.primary("80-")
        daemon.answers["Ping"] = fail
        daemon.become(topodata_pb2.REPLICA)
        await eventually(lambda: b.cluster.topology.primary(KEYSPACE, "80-") is None)
        answer = await b.vtctld.ValidateKeyspace(
            pb.ValidateKeyspaceRequest(keyspace=KEYSPACE, ping_tablets=True)
        )
        assert not answer.results_by_shard["-80"].results
        assert list(answer.results_by_shard["80-"].results) == [
            "no primary in shard shop/80-",
            "zone1-0000000200: ping failed: the server is down",
        ]
        shard = await b.vtctld.ValidateShard(
            pb.ValidateShardRequest(keyspace=KEYSPACE, shard="80-")
        )
        assert list(shard.results) == ["no primary in shard shop/80-"]


async def test_different_schemas_are_found_on_any_tablet() -> None:
    async with bench() as b:
        b.cluster.answer("GetSchema", schema(t="CREATE TABLE t", u="CREATE TABLE u"))
        b.cluster.daemons["zone1-0000000101"].answers["GetSchema"] = schema(
            t="CREATE TABLE t (c)", u="CREATE TABLE u"
        )
        b.cluster.primary("80-").answers["GetSchema"] = schema(t="CREATE TABLE t", x="X")
        answer = await b.vtctld.ValidateSchemaKeyspace(
            pb.ValidateSchemaKeyspaceRequest(keyspace=KEYSPACE)
        )
        (low,) = answer.results_by_shard["-80"].results
        assert low.startswith("schemas differ on table t:\nzone1-0000000100: CREATE TABLE t")
        assert list(answer.results_by_shard["80-"].results) == [
            "zone1-0000000100 has an extra table named u",
            "zone1-0000000200 has an extra table named x",
        ]


async def test_a_version_that_cannot_be_asked_for_is_said() -> None:
    async with bench("0", replicas=0) as b:
        error = await failure(b.vtctld.GetVersion(pb.GetVersionRequest(tablet_alias=ALIAS)))
        assert "zone1-0000000100 does not tell its version at 127.0.0.1:15100" in str(
            error.details()
        )
        answer = await b.vtctld.ValidateVersionShard(
            pb.ValidateVersionShardRequest(keyspace=KEYSPACE, shard="0")
        )
        assert "does not tell its version" in answer.results[0]


def accounts(*users: tm.UserPermission, on: str = "shop") -> Answer:
    permissions = tm.Permissions(
        user_permissions=users,
        db_permissions=[tm.DbPermission(host="%", db=on, user="app", privileges={"Select": "Y"})],
    )
    return lambda _: tm.GetPermissionsResponse(permissions=permissions)


def account(user: str, checksum: int = 1, **privileges: str) -> tm.UserPermission:
    return tm.UserPermission(
        host="%", user=user, password_checksum=checksum, privileges={"Select": "Y", **privileges}
    )


async def test_accounts_are_alike_whatever_runs_and_however_passwords_are_hashed() -> None:
    async with bench() as b:
        salted = {"plugin": "caching_sha2_password"}
        b.cluster.answer("GetPermissions", accounts(account("app"), account("ops", 1, **salted)))
        b.cluster.primary("80-").answers["GetPermissions"] = accounts(
            account("app"), account("ops", 2, **salted), account("tabletd_0a1b2c3d")
        )
        await b.vtctld.ValidatePermissionsKeyspace(
            pb.ValidatePermissionsKeyspaceRequest(keyspace=KEYSPACE)
        )


async def test_accounts_that_differ_are_named_as_an_error() -> None:
    async with bench() as b:
        b.cluster.answer("GetPermissions", accounts(account("app"), account("ops")))
        b.cluster.primary("80-").answers["GetPermissions"] = accounts(
            account("app", 2, Select="N"), account("more"), on="other"
        )
        request = pb.ValidatePermissionsKeyspaceRequest(keyspace=KEYSPACE)
        error = await failure(b.vtctld.ValidatePermissionsKeyspace(request))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        for problem in (
            "zone1-0000000100 has an extra user ops@%",
            "zone1-0000000200 has an extra user more@%",
            "zone1-0000000200 has an extra right of app@% on other",
            "zone1-0000000200 differs from zone1-0000000100 in user app@%: Select, password",
        ):
            assert problem in str(error.details())
        low = pb.ValidatePermissionsKeyspaceRequest(keyspace=KEYSPACE, shards=["-80"])
        await b.vtctld.ValidatePermissionsKeyspace(low)


async def test_without_routing_rules_no_table_is_missing_in_them() -> None:
    async with bench() as b:
        b.cluster.answer("GetSchema", schema(t="CREATE TABLE t"))
        request = pb.ValidateVSchemaRequest(keyspace=KEYSPACE)
        answer = await b.vtctld.ValidateVSchema(request)
        assert not answer.results
        assert set(answer.results_by_shard) == {"-80", "80-"}
        b.cluster.primary("80-").answers["GetSchema"] = fail
        answer = await b.vtctld.ValidateVSchema(request)
        assert list(answer.results) == ["zone1-0000000200: the server is down"]
        assert list(answer.results_by_shard["80-"].results) == list(answer.results)
