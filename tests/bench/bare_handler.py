"""The least that could answer a VExec SELECT or list migrations: `grpc.aio` and `aiomysql` alone.

Run as a process of its own: `python -m tests.bench.bare_handler SOCKET PORT`.
"""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import UTC
from typing import Any

import aiomysql
import grpc
import grpc.aio

from tabletd_pb import (
    query_pb2,
    tabletmanagerdata_pb2,
    topodata_pb2,
    vtctldata_pb2,
    vttime_pb2,
)

_FIELDS = vtctldata_pb2.SchemaMigration.DESCRIPTOR.fields
_TIME = vttime_pb2.Time.DESCRIPTOR
# A column has its field's name, but for these, and times, which are called "..._timestamp".
_RENAMED = {
    "uuid": "migration_uuid",
    "schema": "mysql_schema",
    "table": "mysql_table",
    "cleaned_up_at": "cleanup_timestamp",
}
# Fields that are not a cell alone.
_MADE = {"strategy", "status", "tablet", "artifact_retention"}
_PLAIN = {
    field.name: _RENAMED.get(field.name, field.name)
    for field in _FIELDS
    if field.message_type is not _TIME and field.name not in _MADE
}
_TIMES = {
    field.name: _RENAMED.get(field.name, re.sub("_at$", "_timestamp", field.name))
    for field in _FIELDS
    if field.message_type is _TIME
}


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

    async def listing(
        request: vtctldata_pb2.GetSchemaMigrationsRequest, context: object
    ) -> vtctldata_pb2.GetSchemaMigrationsResponse:
        async with pool.acquire() as connection, connection.cursor(aiomysql.DictCursor) as cursor:
            await cursor.execute("SELECT * FROM _vt.schema_migrations ORDER BY id")
            rows: list[dict[str, Any]] = await cursor.fetchall()
        return vtctldata_pb2.GetSchemaMigrationsResponse(migrations=map(_migration, rows))

    server = grpc.aio.server()
    by_vexec = grpc.unary_unary_rpc_method_handler(
        vexec,
        request_deserializer=tabletmanagerdata_pb2.VExecRequest.FromString,
        response_serializer=tabletmanagerdata_pb2.VExecResponse.SerializeToString,
    )
    by_listing = grpc.unary_unary_rpc_method_handler(
        listing,
        request_deserializer=vtctldata_pb2.GetSchemaMigrationsRequest.FromString,
        response_serializer=vtctldata_pb2.GetSchemaMigrationsResponse.SerializeToString,
    )
    for service, name, handler in (
        ("tabletmanagerservice.TabletManager", "VExec", by_vexec),
        ("vtctlservice.Vtctld", "GetSchemaMigrations", by_listing),
    ):
        handlers = grpc.method_handlers_generic_handler(service, {name: handler})
        server.add_generic_rpc_handlers((handlers,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def _row(row: tuple[Any, ...]) -> query_pb2.Row:
    cells = [None if cell is None else str(cell).encode() for cell in row]
    return query_pb2.Row(
        lengths=[-1 if cell is None else len(cell) for cell in cells],
        values=b"".join(cell for cell in cells if cell is not None),
    )


def _migration(row: dict[str, Any]) -> vtctldata_pb2.SchemaMigration:
    """Return a row as a message, with every field that the row has something for."""
    cell, _, uid = row["tablet"].rpartition("-")
    values = {field: row[column] for field, column in _PLAIN.items() if row[column]}
    for field, column in _TIMES.items():
        if row[column]:
            seconds = int(row[column].replace(tzinfo=UTC).timestamp())
            values[field] = vttime_pb2.Time(seconds=seconds)
    return vtctldata_pb2.SchemaMigration(
        strategy=vtctldata_pb2.SchemaMigration.GHOST,
        status=vtctldata_pb2.SchemaMigration.Status.Value(row["migration_status"].upper()),
        tablet=topodata_pb2.TabletAlias(cell=cell, uid=int(uid or 0)),
        artifact_retention=vttime_pb2.Duration(seconds=row["retain_artifacts_seconds"]),
        **values,
    )


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
