"""Where the tablets of a keyspace are, and who of a shard is its primary."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import grpc.aio

from tabletd_client.connection import Connections
from tabletd_client.convert import to_tablet
from tabletd_client.errors import Reason, TabletdClientError
from tabletd_client.models import Tablet
from tabletd_pb import vtctldata_pb2
from tabletd_pb.vtctlservice_pb2_grpc import VtctldStub

# A primary that moves, or a daemon that has just been started, is known within seconds.
_PATIENCE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Place:
    """A tablet that can be called."""

    tablet: Tablet
    address: str
    channel: grpc.aio.Channel


class Places:
    """Asks the server which tablets there are.

    Args:
        connections: opens channels.
        address: of the server that is asked first. When it does not answer, tablets that it named
            before are asked: any tablet knows the others.
    """

    def __init__(self, connections: Connections, address: str) -> None:
        self._connections = connections
        self._address = address
        self._seen: dict[str, str] = {}

    async def tablets(
        self, keyspace: str, shard: str = "", *, timeout_seconds: float
    ) -> list[Tablet]:
        """Return the tablets of a keyspace or of one shard, in the order of their aliases.

        Args:
            keyspace: empty: of all.
            shard: empty: of all.
            timeout_seconds: for each server that is asked.

        Raises:
            TabletdClientError: NOT_REACHABLE, TOPOLOGY_NOT_FOUND, ...
        """
        request = vtctldata_pb2.GetTabletsRequest(keyspace=keyspace, shard=shard)
        first: TabletdClientError | None = None
        for address in dict.fromkeys((self._address, *self._seen.values())):
            try:
                response = await self._connections.call(
                    VtctldStub(self._connections.channel(address)).GetTablets,
                    request,
                    address=address,
                    timeout_seconds=timeout_seconds,
                )
            except TabletdClientError as error:
                if not error.not_reachable:
                    raise
                first = first or error
                continue
            found = [to_tablet(tablet) for tablet in response.tablets]
            self._seen.update((one.alias, one.grpc_address) for one in found if one.grpc_port)
            return found
        assert first is not None
        raise first

    async def primary(self, keyspace: str, shard: str, *, timeout_seconds: float) -> Place:
        """Return the primary of a shard, waiting a moment for one to be known.

        Raises:
            TabletdClientError: NO_PRIMARY; see `tablets`.
        """
        give_up_at = time.monotonic() + _PATIENCE_SECONDS
        while True:
            found = await self.tablets(keyspace, shard, timeout_seconds=timeout_seconds)
            for tablet in found:
                if tablet.type == "primary":
                    return self.place(tablet)
            if time.monotonic() >= give_up_at:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        types = "; ".join(f"{tablet.alias} is {tablet.type}" for tablet in found)
        raise TabletdClientError(
            Reason.NO_PRIMARY, f"no primary of {keyspace}/{shard} is known: {types}"
        )

    def place(self, tablet: Tablet) -> Place:
        """Return a tablet with a channel to it."""
        return Place(tablet, tablet.grpc_address, self._connections.channel(tablet.grpc_address))
