"""A caller who sends as fast as he can, without waiting for what he is told.

Run as a process of its own, `python -m tests.bench.flooders KIND GRPC HTTP_PORT`, until it is
ended.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Final

import grpc
import grpc.aio

from tabletd.sandbox.vexec_client import new_migration_uuid
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tests.bench.checkers import app_name
from tests.bench.stage import beside

_METHOD: Final = "/tabletmanagerservice.TabletManager/"
_CHECK: Final = tm.CheckThrottlerRequest(app_name=app_name(1))
_READ: Final = tm.VExecRequest(query="SELECT * FROM _vt.schema_migrations")
_CHANGE: Final = tm.VExecRequest(
    query="UPDATE _vt.schema_migrations SET migration_status='cancel' WHERE "
    f"migration_uuid='{new_migration_uuid()}' AND mysql_schema='commerce'"
)
# What is sent, and over how many connections so many at a time.
FLOODS: Final = {
    "checks": "CheckThrottler, 1,024 in flight over 4 connections",
    "reads": "VExec SELECT, 1,024 in flight over 4 connections",
    "changes": "VExec UPDATE, 1,024 in flight over 4 connections",
    "http": "/throttler/check on 200 connections",
}
_CALLS: Final = {
    "checks": (f"{_METHOD}CheckThrottler", _CHECK),
    "reads": (f"{_METHOD}VExec", _READ),
    "changes": (f"{_METHOD}VExec", _CHANGE),
}
_CONNECTIONS: Final = 4
_IN_FLIGHT: Final = 256
_HTTP_CONNECTIONS: Final = 200
# Else all channels of a process to one address share a connection.
_OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1),)


def flooding(kind: str, grpc_address: str, http_port: int) -> AbstractAsyncContextManager[None]:
    """Let a caller flood a daemon for the length of a block.

    Args:
        kind: one of `FLOODS`; empty: nobody does.
        grpc_address: of the daemon.
        http_port: its other port.
    """
    if not kind:
        return nullcontext()
    return beside("flooders", kind, grpc_address, str(http_port))


async def _call(address: str, method: str, payload: bytes) -> None:
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)

        async def again() -> None:
            while True:
                with suppress(grpc.aio.AioRpcError):
                    await unary(payload, timeout=30)

        async with asyncio.TaskGroup() as group:
            for _ in range(_IN_FLIGHT):
                group.create_task(again())


async def _get(port: int) -> None:
    request = f"GET /throttler/check?app={app_name(1)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    while True:
        with suppress(OSError, asyncio.IncompleteReadError, StopIteration):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while True:
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
                length = next(line for line in head if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))


async def _main(kind: str, address: str, http_port: int) -> None:
    async with asyncio.TaskGroup() as group:
        if kind == "http":
            for _ in range(_HTTP_CONNECTIONS):
                group.create_task(_get(http_port))
            return
        method, request = _CALLS[kind]
        for _ in range(_CONNECTIONS):
            group.create_task(_call(address, method, request.SerializeToString()))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
