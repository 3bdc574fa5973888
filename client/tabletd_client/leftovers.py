"""What migrations have left, as each tablet tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tabletd_client.connection import Connections
from tabletd_client.errors import TabletdClientError
from tabletd_client.places import Place
from tabletd_pb import migrations_pb2
from tabletd_pb.migrations_pb2_grpc import MigrationsStub


class LeftoverKind(StrEnum):
    """What a leftover is."""

    UNKNOWN = "unknown"
    PROCESS = "process"
    TRIGGER = "trigger"
    TABLE = "table"
    ACCOUNT = "account"
    DIRECTORY = "directory"
    SOCKET = "socket"


_KINDS: Final[Mapping[int, LeftoverKind]] = {
    number: LeftoverKind[name.removeprefix("KIND_")]
    for name, number in migrations_pb2.Leftover.Kind.items()
    if number != migrations_pb2.Leftover.KIND_UNSPECIFIED
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that a migration has left, or that looks like it.

    Attributes:
        name: of a table or trigger, `user@host`, a path, or the number of a process.
        schema: the database in the server; empty for what is in none.
        table: that a trigger is on.
        uuid: of the migration whose row names it; empty: no row does, and it is never touched.
        note: what is known of it.
        removable: the tablet removes it by itself.
        failure: why it could not be removed yet.
    """

    kind: LeftoverKind
    name: str
    schema: str
    table: str
    uuid: str
    note: str
    removable: bool
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TabletLeftovers:
    """What is left on one tablet: a primary tells of server and machine, others of the machine.

    Attributes:
        alias: of the tablet.
        removed: what was removed now; empty where nothing was to be.
        left: what is there, in the order in which it would go.
        error: why the tablet did not tell; empty: it did.
    """

    alias: str
    keyspace: str
    shard: str
    removed: tuple[Leftover, ...]
    left: tuple[Leftover, ...]
    error: str


async def tablet_leftovers(
    connections: Connections, place: Place, *, fix: bool, timeout_seconds: float
) -> TabletLeftovers:
    """Return what a tablet tells; when it does not, why.

    Args:
        connections: sends the credentials.
        place: the tablet.
        fix: let it remove what it may.
        timeout_seconds: for the call.
    """
    stub = MigrationsStub(place.channel)
    removed: tuple[Leftover, ...] = ()
    left: tuple[Leftover, ...] = ()
    why = ""
    try:
        if fix:
            done = await connections.call(
                stub.FixLeftovers,
                migrations_pb2.FixLeftoversRequest(),
                address=place.address,
                timeout_seconds=timeout_seconds,
            )
            removed = tuple(_leftover(one) for one in done.removed)
            left = tuple(_leftover(one) for one in done.left)
        else:
            listed = await connections.call(
                stub.ListLeftovers,
                migrations_pb2.ListLeftoversRequest(),
                address=place.address,
                timeout_seconds=timeout_seconds,
            )
            left = tuple(_leftover(one) for one in listed.leftovers)
    except TabletdClientError as error:
        why = f"{error.message} [{error.reason}]"
    tablet = place.tablet
    return TabletLeftovers(
        alias=tablet.alias,
        keyspace=tablet.keyspace,
        shard=tablet.shard,
        removed=removed,
        left=left,
        error=why,
    )


def _leftover(message: migrations_pb2.Leftover) -> Leftover:
    return Leftover(
        kind=_KINDS.get(message.kind, LeftoverKind.UNKNOWN),
        name=message.name,
        schema=message.schema,
        table=message.table,
        uuid=message.uuid,
        note=message.note,
        removable=message.removable,
        failure=message.failure,
    )
