"""Query: targets, bind variables, the stream of health."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import grpc
import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.result import ResultSet, text_result
from tabletd.tablet import Health, TabletType
from tabletd_pb import query_pb2, topodata_pb2
from tests.support.fakes_servicers import SERVING, error_info, failure, grpc_bench
from tests.support.stubs import query_service

PRIMARY, REPLICA = topodata_pb2.PRIMARY, topodata_pb2.REPLICA


def execute_request(target: query_pb2.Target | None = None) -> query_pb2.ExecuteRequest:
    query = query_pb2.BoundQuery(sql="select 1")
    return query_pb2.ExecuteRequest(target=target, query=query)


@pytest.mark.parametrize(
    "target",
    [
        None,
        query_pb2.Target(keyspace="shop", shard="0", tablet_type=PRIMARY),
        query_pb2.Target(keyspace="shop"),
        query_pb2.Target(keyspace="shop", shard="0", tablet_type=PRIMARY, cell="elsewhere"),
    ],
)
async def test_a_call_for_this_tablet_is_executed(target: query_pb2.Target | None) -> None:
    async with grpc_bench() as bench:
        await query_service(bench.channel).Execute(execute_request(target))
        assert bench.admin.asked == [("select 1", {}, "", 10_000)]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (query_pb2.Target(keyspace="other"), "invalid keyspace other"),
        (query_pb2.Target(keyspace="shop", shard="-80"), "invalid shard -80"),
        (query_pb2.Target(keyspace="shop", tablet_type=REPLICA), "invalid tablet type REPLICA"),
    ],
)
async def test_a_call_for_another_tablet_is_refused_so_that_a_router_goes_elsewhere(
    target: query_pb2.Target, message: str
) -> None:
    async with grpc_bench() as bench:
        error = await failure(query_service(bench.channel).Execute(execute_request(target)))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert error_info(error).reason == "WRONG_TARGET"
        assert message in str(error.details())
        assert not bench.admin.asked


async def test_a_tablet_that_does_not_serve_says_so() -> None:
    async with grpc_bench() as bench:
        bench.tablet.health = Health(TabletType.REPLICA, False, health_error="replication stopped")
        error = await failure(query_service(bench.channel).Execute(execute_request()))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "operation not allowed in state NOT_SERVING" in str(error.details())
        assert "replication stopped" in str(error.details())


@pytest.mark.parametrize(
    "call", [query_pb2.ExecuteRequest(transaction_id=5), query_pb2.ExecuteRequest(reserved_id=5)]
)
async def test_a_transaction_is_not_offered(call: query_pb2.ExecuteRequest) -> None:
    async with grpc_bench() as bench:
        error = await failure(query_service(bench.channel).Execute(call))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_bind_variables_arrive_as_values() -> None:
    def variable(kind: query_pb2.Type.ValueType, value: bytes = b"") -> query_pb2.BindVariable:
        return query_pb2.BindVariable(type=kind, value=value)

    variables = {
        "i": variable(query_pb2.INT64, b"-5"),
        "u": variable(query_pb2.UINT64, b"18446744073709551615"),
        "d": variable(query_pb2.DECIMAL, b"1.10"),
        "f": variable(query_pb2.FLOAT64, b"1.5e300"),
        "t": variable(query_pb2.VARCHAR, "é".encode()),
        "b": variable(query_pb2.VARBINARY, b"\0\xff"),
        "n": variable(query_pb2.NULL_TYPE),
        "l": query_pb2.BindVariable(
            type=query_pb2.TUPLE, values=[query_pb2.Value(type=query_pb2.INT32, value=b"7")]
        ),
    }
    async with grpc_bench() as bench:
        query = query_pb2.BoundQuery(sql="s", bind_variables=variables)
        await query_service(bench.channel).Execute(query_pb2.ExecuteRequest(query=query))
        assert bench.admin.asked[0][1] == {
            "i": -5,
            "u": 18446744073709551615,
            "d": Decimal("1.10"),
            "f": Decimal("1.5e300"),
            "t": "é",
            "b": b"\0\xff",
            "n": None,
            "l": [7],
        }


@pytest.mark.parametrize(
    ("kind", "value"),
    [(query_pb2.INT64, b"1; drop"), (query_pb2.DECIMAL, b"NaN"), (query_pb2.VARCHAR, b"\xff")],
)
async def test_a_value_that_is_not_of_its_type_is_refused(
    kind: query_pb2.Type.ValueType, value: bytes
) -> None:
    variables = {"v": query_pb2.BindVariable(type=kind, value=value)}
    async with grpc_bench() as bench:
        query = query_pb2.BoundQuery(sql="s", bind_variables=variables)
        error = await failure(
            query_service(bench.channel).Execute(query_pb2.ExecuteRequest(query=query))
        )
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "bind var v" in str(error.details())


async def test_a_statement_about_migrations_goes_to_the_queue() -> None:
    async def log(sql: str) -> ResultSet | None:
        return text_result("migration_log", sql.encode())

    async with grpc_bench() as bench:
        bench.executor.on_statement = log
        query = query_pb2.BoundQuery(sql="show vitess_migration 'u' logs")
        answer = await query_service(bench.channel).Execute(query_pb2.ExecuteRequest(query=query))
        assert [field.name for field in answer.result.fields] == ["migration_log"]
        assert answer.result.fields[0].type == query_pb2.TEXT
        assert answer.result.rows[0].values == b"show vitess_migration 'u' logs"
        assert not bench.admin.asked


async def test_the_stream_of_health_begins_with_the_present_state_and_tells_changes() -> None:
    async with grpc_bench() as bench:
        stream = query_service(bench.channel).StreamHealth(query_pb2.StreamHealthRequest())
        first = await stream.read()
        assert isinstance(first, query_pb2.StreamHealthResponse)
        assert (first.target.keyspace, first.target.shard, first.target.tablet_type) == (
            "shop",
            "0",
            PRIMARY,
        )
        assert first.HasField("realtime_stats")
        assert (first.serving, first.primary_term_start_timestamp) == (True, 1_700_000_000)
        assert (first.tablet_alias.cell, first.tablet_alias.uid) == ("zone1", 101)
        bench.tablet.tell(Health(TabletType.REPLICA, False, 12, "stopped"))
        second = await stream.read()
        assert isinstance(second, query_pb2.StreamHealthResponse)
        assert (second.serving, second.primary_term_start_timestamp) == (False, 0)
        assert second.target.tablet_type == REPLICA
        assert second.realtime_stats.replication_lag_seconds == 12
        assert second.realtime_stats.health_error == "stopped"


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.SHUTTING_DOWN, grpc.StatusCode.UNAVAILABLE),
        (Reason.SLOW_READER, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_the_stream_ends_with_the_reason(reason: Reason, code: grpc.StatusCode) -> None:
    async with grpc_bench() as bench:
        stream = query_service(bench.channel).StreamHealth(query_pb2.StreamHealthRequest())
        await stream.read()
        bench.tablet.end_streams(TabletdError(reason, "tabletserver is shutdown"))
        error = await failure(stream.read())
        assert error.code() is code
        assert "tabletserver is shutdown" in str(error.details())


async def test_a_hundred_watchers_are_all_told() -> None:
    async with grpc_bench() as bench:
        stub = query_service(bench.channel)
        streams = [stub.StreamHealth(query_pb2.StreamHealthRequest()) for _ in range(100)]
        await asyncio.gather(*(stream.read() for stream in streams))
        bench.tablet.tell(SERVING)
        async with asyncio.timeout(60):
            await asyncio.gather(*(stream.read() for stream in streams))
