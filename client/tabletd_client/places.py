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
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


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
        self._is_alone = False

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
        everybody = await self._ask(vtctldata_pb2.GetTabletsRequest(), timeout_seconds)
        self._is_alone = len(everybody) == 1
        self._seen.update((one.alias, self._reached_at(one)) for one in everybody)
        found = [
            one for one in everybody if keyspace in ("", one.keyspace) and shard in ("", one.shard)
        ]
        if found:
            return found
        # The server says what there is instead.
        request = vtctldata_pb2.GetTabletsRequest(keyspace=keyspace, shard=shard)
        return await self._ask(request, timeout_seconds)

    async def _ask(
        self, request: vtctldata_pb2.GetTabletsRequest, timeout_seconds: float
    ) -> list[Tablet]:
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
            return [to_tablet(tablet) for tablet in response.tablets]
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
        address = self._reached_at(tablet)
        return Place(tablet, address, self._connections.channel(address))

    def _reached_at(self, tablet: Tablet) -> str:
        if self._is_alone:  # whatever it calls itself, it has answered here
            return self._address
        host = self._address.rpartition(":")[0]
        if tablet.host in _LOOPBACK and host.strip("[]") not in _LOOPBACK:
            return f"{host}:{tablet.grpc_port}"  # on the machine of the one that named it
        return tablet.grpc_address
