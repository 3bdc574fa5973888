"""What is on the port besides our own methods."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tabletd.errors import Reason, TabletdError
from tabletd.servicers.health import follow_health
from tabletd.servicers.server import SERVICE_NAMES
from tabletd.tablet import Health, TabletType
from tabletd_pb import query_pb2, vtctldata_pb2
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tests.support.fakes_servicers import error_info, failure, grpc_bench
from tests.support.stubs import (
    channelz_service,
    health_service,
    manager,
    query_service,
    reflection_service,
    untyped_call,
)
from tests.support.waiting import eventually

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_reflection_lists_every_service() -> None:
    async with grpc_bench() as bench:
        stub = reflection_service(bench.channel)
        call = stub.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
        names = {service.name for service in answer.list_services_response.service}
        call.cancel()
        assert names == {
            "tabletmanagerservice.TabletManager",
            "queryservice.Query",
            "vtctlservice.Vtctld",
            "vtctlservice.Vtctl",
            "tabletd.v1.Lag",
            "tabletd.v1.Migrations",
            "tabletd.v1.Throttling",
            "grpc.health.v1.Health",
            "grpc.channelz.v1.Channelz",
            "grpc.reflection.v1alpha.ServerReflection",
        }


async def test_channelz_knows_the_server() -> None:
    async with grpc_bench() as bench:
        answer = await channelz_service(bench.channel).GetServers(
            channelz_pb2.GetServersRequest(start_server_id=0)
        )
        assert answer.server


@pytest.mark.parametrize(
    "method",
    [
        "/tabletmanagerservice.TabletManager/Backup",
        "/queryservice.Query/Begin",
        "/vtctlservice.Vtctld/PlannedReparentShard",
        "/vtctlservice.Vtctl/NeverHeardOf",
        "/vtctlservice.Vtctld/NeverHeardOf",
    ],
)
@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_a_method_that_is_not_offered_is_refused_by_name(method: str, kind: str) -> None:
    async with grpc_bench() as bench:
        request = vtctldata_pb2.ApplySchemaRequest(keyspace="k").SerializeToString()
        if kind == "unary_unary":
            error = await failure(untyped_call(bench.channel, method)(request))
        else:
            error = await failure(untyped_call(bench.channel, method, stream=True)(request).read())
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert error_info(error).reason == "UNSUPPORTED_METHOD"
        assert method.rpartition(".")[2].rpartition("/")[2] in str(error.details())
        assert "use " in str(error.details())


async def test_made_up_methods_do_not_pile_up_in_memory_or_metrics() -> None:
    async with grpc_bench() as bench:
        for number in range(50):
            await failure(untyped_call(bench.channel, f"/queryservice.Query/M{number}")(b""))
        # A call is counted when it has ended here, which its caller may hear before.
        await eventually(lambda: bench.registry.export()["RpcCalls"] == 50)
        exported = bench.registry.export()
        assert exported["RpcCalls"] == exported["RpcErrors"] == 50


async def test_a_second_server_cannot_take_the_port() -> None:
    async with grpc_bench() as bench:
        port = bench.server.port
        with pytest.raises(TabletdError, match="Address already in use") as caught:
            async with grpc_bench(port=port):
                pass
        assert caught.value.reason is Reason.INVALID_CONFIG
        assert "grpc_port" in str(caught.value)


async def test_pings_every_second_without_a_call_are_accepted() -> None:
    options = [
        ("grpc.keepalive_time_ms", 1_000),
        ("grpc.keepalive_timeout_ms", 1_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with grpc_bench(options=options) as bench:
        stream = query_service(bench.channel).StreamHealth(query_pb2.StreamHealthRequest())
        await stream.read()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(6):
                await stream.read()
        assert await manager(bench.channel).Ping(tm.PingRequest())


async def test_grpc_health_follows_the_tablet_for_the_server_and_each_service() -> None:
    async with grpc_bench() as bench:
        following = asyncio.ensure_future(
            follow_health(bench.tablet, bench.server.health, SERVICE_NAMES)
        )
        stub = health_service(bench.channel)

        async def statuses() -> set[int]:
            return {
                (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status
                for service in ("", *SERVICE_NAMES)
            }

        async def all_serving() -> bool:
            return await statuses() == {SERVING}

        async def none_serving() -> bool:
            return await statuses() == {NOT_SERVING}

        await eventually(lambda: bool(bench.tablet.subscriptions))
        await eventually(all_serving)
        bench.tablet.tell(Health(TabletType.REPLICA, False, health_error="lag"))
        await eventually(none_serving)
        bench.tablet.end_streams(TabletdError(Reason.SHUTTING_DOWN, "tabletserver is shutdown"))
        await asyncio.wait_for(following, 60)
