"""TabletManager hands requests on as they were meant."""

from __future__ import annotations

import grpc
import pytest

from tabletd.admin.tablet_admin import FetchOptions
from tabletd.errors import NotWritable
from tabletd.mysql.result import ResultSet
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tabletd_pb import topodata_pb2
from tests.support.fakes_servicers import error_info, failure, grpc_bench
from tests.support.stubs import manager


async def test_ping_answers_with_its_payload() -> None:
    async with grpc_bench() as bench:
        answer = await manager(bench.channel).Ping(tm.PingRequest(payload="p\N{HONEYBEE}"))
        assert answer.payload == "p\N{HONEYBEE}"


async def test_sleep_takes_nanoseconds_within_bounds() -> None:
    async with grpc_bench() as bench:
        stub = manager(bench.channel)
        await stub.Sleep(tm.SleepRequest(duration=1_000_000))
        for duration in (-1, 2**62):
            error = await failure(stub.Sleep(tm.SleepRequest(duration=duration)))
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_fetch_as_dba_keeps_all_its_options() -> None:
    async with grpc_bench() as bench:
        await manager(bench.channel).ExecuteFetchAsDba(
            tm.ExecuteFetchAsDbaRequest(
                query=b"q",
                db_name="d",
                max_rows=5,
                disable_binlogs=True,
                disable_foreign_key_checks=True,
                reload_schema=True,
            )
        )
        assert bench.admin.asked == [(b"q", FetchOptions("d", 5, True, True))]


async def test_several_statements_have_a_result_each() -> None:
    async with grpc_bench() as bench:
        bench.admin.result = ResultSet(rows_affected=3)
        answer = await manager(bench.channel).ExecuteMultiFetchAsDba(
            tm.ExecuteMultiFetchAsDbaRequest(sql=b"a;b", max_rows=7)
        )
        assert [result.rows_affected for result in answer.results] == [3, 3]
        assert bench.admin.asked == [(b"a;b", FetchOptions(rows_max=7))]


async def test_a_query_has_its_database_and_limit() -> None:
    async with grpc_bench() as bench:
        stub = manager(bench.channel)
        await stub.ExecuteQuery(tm.ExecuteQueryRequest(query=b"q", db_name="d", max_rows=10))
        assert bench.admin.asked == [("q", {}, "d", 10)]
        error = await failure(stub.ExecuteQuery(tm.ExecuteQueryRequest(query=b"\xff")))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_statement_about_migrations_goes_to_the_queue() -> None:
    asked: list[str] = []

    async def affected(sql: str) -> ResultSet | None:
        asked.append(sql)
        return ResultSet(rows_affected=4)

    async with grpc_bench() as bench:
        bench.executor.on_statement = affected
        request = tm.ExecuteQueryRequest(query=b"alter vitess_migration cancel all", max_rows=10)
        answer = await manager(bench.channel).ExecuteQuery(request)
        assert answer.result.rows_affected == 4
        assert asked == ["alter vitess_migration cancel all"]
        assert not bench.admin.asked


async def test_read_only_is_followed_before_the_answer() -> None:
    async with grpc_bench() as bench:
        stub = manager(bench.channel)
        await stub.SetReadOnly(tm.SetReadOnlyRequest())
        await stub.SetReadWrite(tm.SetReadWriteRequest())
        assert bench.admin.asked == [(True,), (False,)]
        assert bench.tablet.asked == ["refresh", "refresh"]


@pytest.mark.parametrize("name", ["PRIMARY", "MASTER", "REPLICA", "DRAINED", "RDONLY", "BATCH"])
async def test_the_type_is_changed_under_each_of_its_names(name: str) -> None:
    async with grpc_bench() as bench:
        number = topodata_pb2.TabletType.Value(name)
        await manager(bench.channel).ChangeType(tm.ChangeTypeRequest(tablet_type=number))
        expected = {"MASTER": "PRIMARY", "BATCH": "RDONLY"}.get(name, name)
        assert bench.tablet.asked == [f"change_type {expected}"]


async def test_a_number_that_is_no_type_is_refused() -> None:
    async with grpc_bench() as bench:
        request = tm.ChangeTypeRequest.FromString(b"\x08\x63")  # tablet_type = 99
        error = await failure(manager(bench.channel).ChangeType(request))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_refresh_and_health_check_reach_the_tablet() -> None:
    async with grpc_bench() as bench:
        stub = manager(bench.channel)
        await stub.RefreshState(tm.RefreshStateRequest())
        await stub.RunHealthCheck(tm.RunHealthCheckRequest())
        await stub.ReloadSchema(tm.ReloadSchemaRequest())
        assert bench.tablet.asked == ["refresh", "run_health_check"]


async def test_ignore_health_error_is_deprecated() -> None:
    async with grpc_bench() as bench:
        error = await failure(
            manager(bench.channel).IgnoreHealthError(tm.IgnoreHealthErrorRequest())
        )
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == "deprecated"


async def test_a_read_only_server_is_a_failed_precondition() -> None:
    async with grpc_bench() as bench:
        bench.admin.error = NotWritable()
        error = await failure(
            manager(bench.channel).ExecuteFetchAsApp(tm.ExecuteFetchAsAppRequest())
        )
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert error_info(error).reason == "READ_ONLY"
