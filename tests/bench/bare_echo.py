"""The least that could answer CheckThrottler: `grpc.aio` alone, always with the same words.

Run as a process of its own: `python -m tests.bench.bare_echo PORT`.
"""

from __future__ import annotations

import asyncio
import sys

import grpc
import grpc.aio

from tabletd_pb import tabletmanagerdata_pb2 as tm


async def serve(port: int) -> None:
    """Answer until the process is ended."""

    async def check(
        request: tm.CheckThrottlerRequest, context: object
    ) -> tm.CheckThrottlerResponse:
        return tm.CheckThrottlerResponse(
            status_code=200, value=0.001, threshold=5.0, recently_checked=True
        )

    handler = grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=tm.CheckThrottlerRequest.FromString,
        response_serializer=tm.CheckThrottlerResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "tabletmanagerservice.TabletManager", {"CheckThrottler": handler}
            ),
        )
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
