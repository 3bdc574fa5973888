"""The commands of old clients, over tablets that answer as the test says."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import grpc
import pytest

from tabletd.executor.directives import read_directives
from tabletd_pb import logutil_pb2, query_pb2
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tabletd_pb import vtctldata_pb2 as pb
from tabletd_pb.vtctlservice_pb2_grpc import VtctlStub
from tests.support.fake_cluster import KEYSPACE, FakeCluster, fake_cluster
from tests.support.fakes_servicers import grpc_bench
from tests.support.migration_rows import UUID, row


class Client:
    """Runs commands and collects what they print."""

    def __init__(self, stub: VtctlStub, cluster: FakeCluster) -> None:
        self._stub = stub
        self.cluster = cluster

    async def run(self, *args: str) -> str:
        printed: list[str] = []
        request = pb.ExecuteVtctlCommandRequest(args=args)
        async for answer in self._stub.ExecuteVtctlCommand(request):
            assert answer.event.level == logutil_pb2.CONSOLE
            printed.append(answer.event.value)
        return "".join(printed)

    async def refusal(self, *args: str) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.run(*args)
        return caught.value


@asynccontextmanager
async def client() -> AsyncGenerator[Client]:
    async with (
        fake_cluster() as cluster,
        grpc_bench(topology=cluster.topology) as server,
    ):
        cluster.answer(
            "ExecuteQuery",
            lambda _: tm.ExecuteQueryResponse(result=query_pb2.QueryResult(rows_affected=1)),
        )
        cells = row(id=b"1", added_timestamp=b"1700000000", started_timestamp=b"1700000001")
        cluster.answer(
            "ExecuteFetchAsDba",
            lambda _: tm.ExecuteFetchAsDbaResponse(
                result=query_pb2.QueryResult(
                    rows=[
                        query_pb2.Row(
                            lengths=[-1 if cell is None else len(cell) for cell in cells],
                            values=b"".join(cell for cell in cells if cell is not None),
                        )
                    ]
                )
            ),
        )
        yield Client(VtctlStub(server.channel), cluster)


async def test_apply_schema_prints_a_uuid_for_each_migration() -> None:
    async with client() as c:
        printed = await c.run(
            "ApplySchema",
            "-skip_preflight",
            "-ddl_strategy=gh-ost --max-load=Threads_running=9",
            "--request-context",
            "release",
            "-sql",
            "ALTER TABLE t ADD c int; DROP TABLE u",
            KEYSPACE,
        )
        uuids = printed.split()
        assert len(uuids) == 2
        statements = c.cluster.primary("80-").statements()
        found = [read_directives(statement) for statement in statements]
        assert [one.migration_uuid for one in found if one] == uuids
        assert {one.migration_context for one in found if one} == {"release"}


@pytest.mark.parametrize(
    ("words", "statement"),
    [
        (("cancel", UUID), f"alter vitess_migration '{UUID}' cancel"),
        (("retry", UUID), f"alter vitess_migration '{UUID}' retry"),
        (("cancel-all",), "alter vitess_migration cancel all"),
        (("complete", UUID), f"alter vitess_migration '{UUID}' complete"),
    ],
)
async def test_a_control_prints_the_count_of_each_shard(
    words: tuple[str, ...], statement: str
) -> None:
    async with client() as c:
        printed = await c.run("OnlineDDL", KEYSPACE, *words)
        assert printed.splitlines()[3] == "| -80   | 1            |"
        assert c.cluster.primary("-80").statements() == [statement]


async def test_show_prints_a_table_or_json() -> None:
    async with client() as c:
        printed = await c.run("OnlineDDL", KEYSPACE, "show", UUID)
        lines = printed.splitlines()
        assert lines[1].split("|")[1].strip() == "Shard"
        assert [cell.strip() for cell in lines[3].split("|")[1:-1]] == [
            "-80",
            "shop",
            "orders",
            "",
            UUID,
            "gh-ost",
            "2023-11-14 22:13:21",
            "",
            "complete",
        ]
        told = json.loads(await c.run("OnlineDDL", "-json", KEYSPACE, "show", "all"))
        assert [one["uuid"] for one in told["migrations"]] == [UUID, UUID]


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ((), "is not offered"),
        (("Validate",), "'Validate' is not offered"),
        (("OnlineDDL", KEYSPACE), "OnlineDDL [-json] <keyspace>"),
        (("OnlineDDL", KEYSPACE, "cancel"), "UUID required"),
        (("OnlineDDL", KEYSPACE, "cancel-all", UUID), "UUID not allowed in cancel-all"),
        (("OnlineDDL", KEYSPACE, "explode", UUID), "Unknown OnlineDDL command: explode"),
        (("OnlineDDL", KEYSPACE, "retry-all"), "Unknown OnlineDDL command: retry-all"),
        (("OnlineDDL", "-limit", "x", KEYSPACE, "show"), "-limit takes a number"),
        (("OnlineDDL", "-limit", "9" * 30, KEYSPACE, "show"), "-limit takes a number"),
        (("ApplySchema", KEYSPACE), "ApplySchema -sql=<sql>"),
        (("ApplySchema", "-sql-file=x", KEYSPACE), "unknown flag '-sql-file=x'"),
        (("ApplySchema", KEYSPACE, "-sql"), "the flag -sql needs a value"),
        (
            ("ApplySchema", "-sql=DROP TABLE t", "-wait_replicas_timeout=soon", KEYSPACE),
            "takes a duration",
        ),
        (
            ("ApplySchema", "-sql=DROP TABLE t", "-wait_replicas_timeout=-5s", KEYSPACE),
            "takes a duration",
        ),
        (
            ("ApplySchema", "-sql=DROP TABLE t", f"-wait_replicas_timeout={'9' * 30}h", KEYSPACE),
            "takes a duration",
        ),
    ],
)
async def test_wrong_words_are_refused(args: tuple[str, ...], problem: str) -> None:
    async with client() as c:
        assert problem in str((await c.refusal(*args)).details())
