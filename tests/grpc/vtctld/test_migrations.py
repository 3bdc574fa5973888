"""Vtctld's methods on migrations, over tablets that answer as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from tabletd.errors import MigrationNotFound, Reason, TabletdError
from tabletd.executor.directives import read_directives
from tabletd.vtctld.schema_migration import Cells
from tabletd_pb import query_pb2, throttling_pb2, topodata_pb2
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tabletd_pb import vtctldata_pb2 as pb
from tabletd_pb.vtctlservice_pb2_grpc import VtctldStub
from tests.support.fake_cluster import KEYSPACE, FakeCluster, FakeDaemon, fake_cluster
from tests.support.fakes_servicers import error_info, failure, grpc_bench
from tests.support.migration_rows import UUID, column_names, row
from tests.support.waiting import eventually

UNKNOWN = "ffffffff_e716_11f1_af94_02fc00000001"
ALTER = "ALTER TABLE t ADD c int"
UUID_CELL = column_names().index("migration_uuid")


@dataclass
class Bench:
    """A Vtctld and the tablets that it calls."""

    vtctld: VtctldStub
    cluster: FakeCluster

    async def apply(self, *sql: str, strategy: str = "gh-ost", **fields: Any) -> Any:
        return await self.vtctld.ApplySchema(
            pb.ApplySchemaRequest(keyspace=KEYSPACE, sql=sql, ddl_strategy=strategy, **fields)
        )


@asynccontextmanager
async def bench(*shards: str, **settings: Any) -> AsyncGenerator[Bench]:
    async with (
        fake_cluster(shards or ("-80", "80-"), **settings) as cluster,
        grpc_bench(topology=cluster.topology) as server,
    ):
        cluster.answer("ExecuteQuery", affecting(1))
        yield Bench(VtctldStub(server.channel), cluster)


def affecting(rows: int) -> Callable[[Any], tm.ExecuteQueryResponse]:
    return lambda _: tm.ExecuteQueryResponse(result=query_pb2.QueryResult(rows_affected=rows))


def refusing(error: TabletdError) -> Callable[[Any], Any]:
    def refuse(_: Any) -> Any:
        raise error

    return refuse


def answering_rows(*rows: Cells) -> Callable[[Any], tm.ExecuteFetchAsDbaResponse]:
    result = query_pb2.QueryResult(
        rows=[
            query_pb2.Row(
                lengths=[-1 if cell is None else len(cell) for cell in cells],
                values=b"".join(cell for cell in cells if cell is not None),
            )
            for cells in rows
        ]
    )
    return lambda _: tm.ExecuteFetchAsDbaResponse(result=result)


def calls(daemon: FakeDaemon, name: str) -> list[Any]:
    return [request for method, request in daemon.asked if method == name]


@pytest.mark.parametrize(
    ("method", "verb"),
    [
        ("Cancel", "cancel"),
        ("Cleanup", "cleanup"),
        ("Complete", "complete"),
        ("ForceCutOver", "force_cutover"),
        ("Launch", "launch"),
        ("Retry", "retry"),
    ],
)
async def test_a_control_reaches_every_shard_and_each_has_its_count(method: str, verb: str) -> None:
    async with bench() as b:
        b.cluster.primary("80-").answers["ExecuteQuery"] = affecting(0)
        request = getattr(pb, f"{method}SchemaMigrationRequest")(
            keyspace=KEYSPACE, uuid=UUID.upper(), caller_id={"principal": "ann"}
        )
        answer = await getattr(b.vtctld, f"{method}SchemaMigration")(request)
        assert answer.rows_affected_by_shard == {"-80": 1, "80-": 0}
        for daemon in b.cluster.daemons.values():
            (asked,) = calls(daemon, "ExecuteQuery")
            assert asked.query.decode() == f"alter vitess_migration '{UUID}' {verb}"
            assert (asked.max_rows, asked.caller_id.principal) == (10, "ann")


@pytest.mark.parametrize("everything", ["all", "ALL", "All"])
async def test_all_is_understood_in_any_case(everything: str) -> None:
    async with bench() as b:
        await b.vtctld.CancelSchemaMigration(
            pb.CancelSchemaMigrationRequest(keyspace=KEYSPACE, uuid=everything)
        )
        for daemon in b.cluster.daemons.values():
            assert daemon.statements() == ["alter vitess_migration cancel all"]


async def test_what_is_no_uuid_reaches_no_tablet() -> None:
    async with bench() as b:
        for request in (
            b.vtctld.RetrySchemaMigration(
                pb.RetrySchemaMigrationRequest(keyspace=KEYSPACE, uuid="all")
            ),
            b.vtctld.CancelSchemaMigration(
                pb.CancelSchemaMigrationRequest(keyspace=KEYSPACE, uuid="x' or 1")
            ),
        ):
            error = await failure(request)
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "Not a valid migration ID in" in str(error.details())
        assert all(not daemon.asked for daemon in b.cluster.daemons.values())


async def test_an_error_of_one_shard_is_said_with_what_the_others_did() -> None:
    async with bench("-40", "40-80", "80-") as b:
        b.cluster.primary("40-80").answers["ExecuteQuery"] = refusing(MigrationNotFound(UUID))
        error = await failure(
            b.vtctld.CancelSchemaMigration(
                pb.CancelSchemaMigrationRequest(keyspace=KEYSPACE, uuid=UUID)
            )
        )
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error_info(error).reason == "MIGRATION_NOT_FOUND"
        assert f"failed on 40-80: Migration not found: {UUID}" in str(error.details())
        assert "done on -40, 80-" in str(error.details())


async def test_the_same_error_of_several_shards_is_said_once() -> None:
    async with bench() as b:
        b.cluster.answer("ExecuteQuery", refusing(MigrationNotFound(UUID)))
        error = await failure(
            b.vtctld.CancelSchemaMigration(
                pb.CancelSchemaMigrationRequest(keyspace=KEYSPACE, uuid=UUID)
            )
        )
        assert str(error.details()).count("Migration not found") == 1
        assert "failed on -80, 80-: " in str(error.details())


async def test_an_unknown_keyspace_is_not_found_but_has_no_migrations() -> None:
    async with bench() as b:
        for request in (
            b.vtctld.ApplySchema(pb.ApplySchemaRequest(keyspace="none", sql=[ALTER])),
            b.vtctld.LaunchSchemaMigration(
                pb.LaunchSchemaMigrationRequest(keyspace="none", uuid=UUID)
            ),
        ):
            error = await failure(request)
            assert error.code() is grpc.StatusCode.NOT_FOUND
            assert error_info(error).reason == "TOPOLOGY_NOT_FOUND"
        answer = await b.vtctld.GetSchemaMigrations(pb.GetSchemaMigrationsRequest(keyspace="none"))
        assert not answer.migrations


async def test_a_change_is_submitted_alike_on_every_shard() -> None:
    async with bench() as b:
        b.cluster.answer("ExecuteQuery", affecting(0))
        answer = await b.apply(ALTER, "DROP TABLE u", migration_context="release")
        assert len(answer.uuid_list) == 2
        assert answer.rows_affected_by_shard == {"-80": 0, "80-": 0}
        sent = {tuple(daemon.statements()) for daemon in b.cluster.daemons.values()}
        (statements,) = sent
        found = [read_directives(statement) for statement in statements]
        assert [one.migration_uuid for one in found if one] == list(answer.uuid_list)
        assert {one.migration_context for one in found if one} == {"release"}


async def test_the_first_failure_ends_a_request_and_names_statement_and_shard() -> None:
    async with bench() as b:
        full = TabletdError(Reason.TOO_MANY_CALLS, "too many calls")
        b.cluster.primary("80-").answers["ExecuteQuery"] = refusing(full)
        error = await failure(b.apply(ALTER, "DROP TABLE u"))
        assert "schema change 1 of 2 failed on 80-: too many calls" in str(error.details())
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(b.cluster.primary("-80").statements()) == 1


async def test_of_several_statements_none_is_begun_when_the_server_cannot_read_one() -> None:
    async with bench() as b:

        def read(request: Any) -> Any:
            assert b"PREPARE" in request.sql
            if b"nonsense".hex().encode() in request.sql:
                raise TabletdError(Reason.DDL_SYNTAX, "near 'nonsense'")
            raise TabletdError(Reason.TABLE_NOT_FOUND, "of this moment only")

        b.cluster.answer("ExecuteMultiFetchAsDba", read)
        error = await failure(b.apply(ALTER, "ALTER TABLE u nonsense", "DROP TABLE v"))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "statement 2 of 3: near 'nonsense'" in str(error.details())
        assert all(not daemon.statements() for daemon in b.cluster.daemons.values())
        answer = await b.apply(ALTER, "DROP TABLE v")
        assert len(answer.uuid_list) == 2


async def test_a_direct_change_is_run_at_once_and_waits_for_replicas() -> None:
    async with bench(replicas=1) as b:
        b.cluster.answer(
            "ExecuteMultiFetchAsDba",
            lambda _: tm.ExecuteMultiFetchAsDbaResponse(
                results=[query_pb2.QueryResult(), query_pb2.QueryResult(rows_affected=3)]
            ),
        )
        b.cluster.answer(
            "PrimaryPosition", lambda _: tm.PrimaryPositionResponse(position="MySQL56/a:1")
        )
        b.cluster.answer("ReloadSchema", lambda _: tm.ReloadSchemaResponse())
        answer = await b.apply(ALTER, strategy="direct --unsafe-allow-foreign-keys")
        assert not answer.uuid_list
        assert answer.rows_affected_by_shard == {"-80": 3, "80-": 3}
        for daemon in b.cluster.daemons.values():
            is_primary = daemon.place.uid % 100 == 0
            run = calls(daemon, "ExecuteMultiFetchAsDba")
            assert [(one.sql, one.disable_foreign_key_checks) for one in run] == (
                [(ALTER.encode(), True)] if is_primary else []
            )
            waited = [one.wait_position for one in calls(daemon, "ReloadSchema")]
            assert waited == ([] if is_primary else ["MySQL56/a:1"])


async def test_a_replica_that_does_not_follow_does_not_fail_a_direct_change() -> None:
    async with bench("0", replicas=1) as b:
        b.cluster.answer("ExecuteMultiFetchAsDba", lambda _: tm.ExecuteMultiFetchAsDbaResponse())
        b.cluster.answer("PrimaryPosition", lambda _: tm.PrimaryPositionResponse())
        b.cluster.answer("ReloadSchema", refusing(TabletdError(Reason.TIMEOUT, "too late")))
        assert (await b.apply(ALTER, strategy="")).rows_affected_by_shard == {"0": 0}


async def test_other_statements_need_a_keyspace_of_one_shard() -> None:
    async with bench() as b:
        error = await failure(b.apply("INSERT INTO t VALUES (1)", strategy="direct"))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "non-ddl statements can only be executed for single shard" in str(error.details())


async def test_requests_for_one_keyspace_come_to_every_shard_in_one_order() -> None:
    async with bench() as b:
        await asyncio.gather(*(b.apply(f"ALTER TABLE t{number} ADD c int") for number in range(10)))
        low, high = (daemon.statements() for daemon in b.cluster.daemons.values())
        assert low == high
        assert len(low) == 10


async def test_a_throttle_rule_is_set_on_every_shard() -> None:
    async with bench() as b:
        b.cluster.answer("UpdateConfig", lambda _: pb.UpdateThrottlerConfigResponse())
        answer = await b.apply(f"alter vitess_migration '{UUID}' throttle ratio 0.25")
        assert answer.rows_affected_by_shard == {"-80": 0, "80-": 0}
        rule = topodata_pb2.ThrottledAppRule(name="online-ddl", ratio=1.0)
        await b.vtctld.UpdateThrottlerConfig(
            pb.UpdateThrottlerConfigRequest(keyspace=KEYSPACE, throttled_app=rule)
        )
        for daemon in b.cluster.daemons.values():
            first, second = calls(daemon, "UpdateConfig")
            assert (first.throttled_app.name, first.throttled_app.ratio) == (UUID, 0.25)
            assert second.throttled_app.name == "online-ddl"


async def test_enable_and_disable_exclude_each_other() -> None:
    async with bench() as b:
        error = await failure(
            b.vtctld.UpdateThrottlerConfig(
                pb.UpdateThrottlerConfigRequest(keyspace=KEYSPACE, enable=True, disable=True)
            )
        )
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_settings_of_the_throttler_are_shown_with_the_keyspace() -> None:
    async with bench() as b:
        config = topodata_pb2.ThrottlerConfig(enabled=True, threshold=7)
        b.cluster.answer("GetConfig", lambda _: throttling_pb2.GetConfigResponse(config=config))
        await b.cluster.topology.wait_for_primary(KEYSPACE, "-80")
        answer = await b.vtctld.GetKeyspace(pb.GetKeyspaceRequest(keyspace=KEYSPACE))
        assert answer.keyspace.keyspace.throttler_config == config


async def test_migrations_of_all_shards_are_one_list() -> None:
    async with bench() as b:

        def shard_rows(shard: bytes) -> list[Cells]:
            return [
                row(
                    id=b"%d" % n,
                    added_timestamp=b"17000000%02d" % n,
                    shard=shard,
                    migration_uuid=UUID[:-1].encode() + b"%d" % n,
                )
                for n in range(1, 4)
            ]

        for shard in ("-80", "80-"):
            b.cluster.primary(shard).answers["ExecuteFetchAsDba"] = answering_rows(
                *shard_rows(shard.encode())
            )
        answer = await b.vtctld.GetSchemaMigrations(
            pb.GetSchemaMigrationsRequest(keyspace=KEYSPACE, limit=3, skip=1)
        )
        assert [(m.shard, m.added_at.seconds) for m in answer.migrations] == [
            ("80-", 1_700_000_001),
            ("-80", 1_700_000_002),
            ("80-", 1_700_000_002),
        ]
        (asked,) = calls(b.cluster.primary("-80"), "ExecuteFetchAsDba")
        assert asked.query.endswith(b"LIMIT 4")
        assert asked.max_rows == 10_000
        rest = await b.vtctld.GetSchemaMigrations(
            pb.GetSchemaMigrationsRequest(keyspace=KEYSPACE, skip=5)
        )
        assert [(m.shard, m.added_at.seconds) for m in rest.migrations] == [("80-", 1_700_000_003)]


async def test_a_migration_that_a_shard_has_further_behind_is_asked_for_by_its_uuid() -> None:
    first, second = (UUID[:-1] + digit for digit in "12")

    def in_order(*uuids: str) -> Callable[[Any], Any]:
        rows = [
            row(id=b"%d" % n, added_timestamp=b"1700000000", migration_uuid=uuid.encode())
            for n, uuid in enumerate(uuids, 1)
        ]

        def answer(request: Any) -> Any:
            limited = b"LIMIT 1" in request.query
            wanted = [one for one in rows if (one[UUID_CELL] or b"").hex() in str(request.query)]
            return answering_rows(*(rows[:1] if limited else wanted or rows))(request)

        return answer

    async with bench() as b:
        b.cluster.primary("-80").answers["ExecuteFetchAsDba"] = in_order(first, second)
        b.cluster.primary("80-").answers["ExecuteFetchAsDba"] = in_order(second, first)
        found = [
            [
                (m.uuid, m.tablet.uid)
                for m in (
                    await b.vtctld.GetSchemaMigrations(
                        pb.GetSchemaMigrationsRequest(keyspace=KEYSPACE, limit=limit, skip=skip)
                    )
                ).migrations
            ]
            for limit, skip in ((0, 0), (1, 0), (1, 1), (1, 2), (1, 3))
        ]
    assert found[0] == [(first, 100), (first, 200), (second, 100), (second, 200)]
    assert [one for page in found[1:] for one in page] == found[0]


async def test_a_list_is_refused_when_a_shard_does_not_answer() -> None:
    async with bench() as b:
        b.cluster.answer("ExecuteFetchAsDba", answering_rows())
        b.cluster.primary("80-").answers["ExecuteFetchAsDba"] = refusing(
            TabletdError(Reason.MYSQL_UNAVAILABLE, "the server is down")
        )
        error = await failure(
            b.vtctld.GetSchemaMigrations(pb.GetSchemaMigrationsRequest(keyspace=KEYSPACE))
        )
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "80-: the server is down" in str(error.details())


async def test_a_call_goes_to_the_new_primary_without_a_restart() -> None:
    async with bench("0", replicas=1) as b:
        old, new = b.cluster.daemons.values()
        await b.apply(ALTER)
        assert len(old.statements()) == 1
        old.become(topodata_pb2.REPLICA)
        new.become(topodata_pb2.PRIMARY, term_start_seconds=1_700_000_100)
        async with asyncio.timeout(60):
            while not new.statements():
                await b.apply(ALTER)


async def test_a_shard_without_a_primary_is_unavailable_and_named() -> None:
    async with bench("-80", "80-", patience_seconds=0.5) as b:
        await eventually(
            lambda: all(b.cluster.topology.primary(KEYSPACE, shard) for shard in ("-80", "80-"))
        )
        await b.apply(ALTER)
        b.cluster.primary("80-").become(topodata_pb2.REPLICA)
        async with asyncio.timeout(60):
            while True:
                error = await failure_or_none(b)
                if error is not None:
                    break
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "80-: no primary of shop/80- is known: zone1-0000000200 is REPLICA" in str(
            error.details()
        )


async def failure_or_none(b: Bench) -> grpc.aio.AioRpcError | None:
    try:
        await b.apply(ALTER)
    except grpc.aio.AioRpcError as error:
        return error
    return None
