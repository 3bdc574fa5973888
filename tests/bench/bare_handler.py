"""The least that could answer a VExec SELECT: `grpc.aio` and `aiomysql`, and nothing around them.

Run as a process of its own: `python -m tests.bench.bare_handler SOCKET PORT`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiomysql
import grpc
import grpc.aio

from tabletd_pb import query_pb2, tabletmanagerdata_pb2


async def serve(socket: str, port: int) -> None:
    """Answer until the process is ended."""
    create_pool: Any = aiomysql.create_pool  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    pool = await create_pool(unix_socket=socket, user="root", charset="utf8mb4", autocommit=True)

    async def vexec(
        request: tabletmanagerdata_pb2.VExecRequest, context: object
    ) -> tabletmanagerdata_pb2.VExecResponse:
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(request.query)
            rows: list[tuple[Any, ...]] = await cursor.fetchall()
            fields = [query_pb2.Field(name=column[0]) for column in cursor.description]
        result = query_pb2.QueryResult(
            fields=fields, rows=[_row(row) for row in rows], rows_affected=len(rows)
        )
        return tabletmanagerdata_pb2.VExecResponse(result=result)

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        vexec,
        request_deserializer=tabletmanagerdata_pb2.VExecRequest.FromString,
        response_serializer=tabletmanagerdata_pb2.VExecResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler(
        "tabletmanagerservice.TabletManager", {"VExec": handler}
    )
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def _row(row: tuple[Any, ...]) -> query_pb2.Row:
    cells = [None if cell is None else str(cell).encode() for cell in row]
    return query_pb2.Row(
        lengths=[-1 if cell is None else len(cell) for cell in cells],
        values=b"".join(cell for cell in cells if cell is not None),
    )


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
