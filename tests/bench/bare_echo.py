"""The least that could answer CheckThrottler: `grpc.aio` alone, always with the same words.

Run as a process of its own, `python -m tests.bench.bare_echo ANSWER PORT`: the answer is that of a
daemon, as it travels, in hexadecimal digits.
"""

from __future__ import annotations

import asyncio
import sys

import grpc
import grpc.aio

from tabletd_pb import tabletmanagerdata_pb2 as tm


async def serve(answer: tm.CheckThrottlerResponse, port: int) -> None:
    """Answer until the process is ended."""

    async def check(
        request: tm.CheckThrottlerRequest, context: object
    ) -> tm.CheckThrottlerResponse:
        return answer

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
    always = tm.CheckThrottlerResponse.FromString(bytes.fromhex(sys.argv[1]))
    asyncio.run(serve(always, int(sys.argv[2])))
