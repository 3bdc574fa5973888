"""Calls to one tablet by its alias, or to those of a shard or keyspace."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from tabletd import __version__
from tabletd.access.peers import Peers
from tabletd.errors import Reason, TabletdError
from tabletd.topology import TabletPlace, Topology
from tabletd.vtctld.cluster import Cluster
from tabletd.vtctld.fan_out import FanOut, Outcome
from tabletd.vtctld.schema_migration import to_time
from tabletd.vtctld.tablets import CALL_SECONDS_MAX, Method, TabletClients, TabletStub
from tabletd_pb import (
    logutil_pb2,
    replicationdata_pb2,
    tabletmanagerdata_pb2,
    topodata_pb2,
    vtctldata_pb2,
)

_RELOADS_DEFAULT: Final = 10
_VERSION_SECONDS_MAX: Final = 5.0
_PAGE_BYTES_MAX: Final = 1024 * 1024

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class TabletCalls:
    """Calls tablets.

    Args:
        topology: who is there.
        cluster: finds a tablet by its alias.
        fan_out: calls several.
        clients: connections to them.
        own_alias: the tablet in this process.
        now_seconds: Unix time, for events.
        peers: who we are to other daemons.
    """

    def __init__(
        self,
        *,
        topology: Topology,
        cluster: Cluster,
        fan_out: FanOut,
        clients: TabletClients,
        own_alias: str,
        now_seconds: Callable[[], float],
        peers: Peers,
    ) -> None:
        self._topology = topology
        self._cluster = cluster
        self._fan_out = fan_out
        self._clients = clients
        self._own_alias = own_alias
        self._now_seconds = now_seconds
        self._peers = peers

    async def call(
        self,
        alias: topodata_pb2.TabletAlias,
        method: Callable[[TabletStub], Method[RequestT, ResponseT]],
        request: RequestT,
        *,
        timeout_seconds: float = CALL_SECONDS_MAX,
    ) -> ResponseT:
        """Call a tablet.

        Raises:
            TabletdError: INVALID_REQUEST, TOPOLOGY_NOT_FOUND; what the tablet says.
        """
        return await self._clients.call(
            self._cluster.tablet(alias), method, request, timeout_seconds=timeout_seconds
        )

    async def version(self, place: TabletPlace) -> str:
        """Return the version of a tablet's daemon; that of others is asked over HTTP.

        Raises:
            TabletdError: MYSQL_UNAVAILABLE, it does not answer.
        """
        if place.alias == self._own_alias:
            return __version__
        try:
            return await asyncio.to_thread(_version_over_http, place, self._peers.basic_login)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TabletdError(
                Reason.OUTCOME_UNKNOWN,
                f"{place.alias} does not tell its version at {place.host}:{place.http_port}: "
                f"{error}",
                hint="its http_port in the topology must be the daemon's; where other daemons are "
                'called over TLS, it needs http_open_pages = "metrics" there',
            ) from None

    async def reload_shard(
        self, request: vtctldata_pb2.ReloadSchemaShardRequest
    ) -> list[logutil_pb2.Event]:
        """Make the tablets of a shard read their schema again; what fails is an event.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        return await self._reload(
            self._topology.layout.shard_tablets(request.keyspace, request.shard),
            request.wait_position,
            include_primary=request.include_primary,
            concurrency=request.concurrency,
        )

    async def reload_keyspace(
        self, request: vtctldata_pb2.ReloadSchemaKeyspaceRequest
    ) -> list[logutil_pb2.Event]:
        """Make the tablets of a keyspace read their schema again; what fails is an event.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND; INVALID_REQUEST for a position, which only one shard
                can have.
        """
        layout = self._topology.layout
        shards = layout.shards(request.keyspace)
        if request.wait_position and len(shards) > 1:
            raise TabletdError(
                Reason.INVALID_REQUEST,
                f"wait_position is of one shard; {request.keyspace} has {len(shards)}",
                hint="use ReloadSchemaShard",
            )
        tablets = [one for shard in shards for one in layout.shard_tablets(request.keyspace, shard)]
        return await self._reload(
            tablets,
            request.wait_position,
            include_primary=request.include_primary,
            concurrency=request.concurrency,
        )

    async def _reload(
        self,
        tablets: Sequence[TabletPlace],
        wait_position: str,
        *,
        include_primary: bool,
        concurrency: int,
    ) -> list[logutil_pb2.Event]:
        request = tabletmanagerdata_pb2.ReloadSchemaRequest(wait_position=wait_position)
        chosen = {
            tablet.alias: tablet
            for tablet in tablets
            if include_primary or self._topology.health(tablet).tablet_type != topodata_pb2.PRIMARY
        }

        async def reload(tablet: TabletPlace) -> None:
            await self._clients.call(tablet, lambda stub: stub.manager.ReloadSchema, request)

        outcome = await self._fan_out.each(
            chosen, reload, concurrency_max=max(0, concurrency) or _RELOADS_DEFAULT
        )
        return self._events(chosen, outcome)

    def _events(
        self, tablets: Mapping[str, TabletPlace], outcome: Outcome[None]
    ) -> list[logutil_pb2.Event]:
        return [
            logutil_pb2.Event(
                time=to_time(self._now_seconds()),
                level=logutil_pb2.WARNING if name in outcome.errors else logutil_pb2.INFO,
                value=f"{name}: {outcome.errors[name]}"
                if name in outcome.errors
                else f"{name}: schema reloaded",
            )
            for name in tablets
        ]

    async def positions(
        self, keyspace: str, shard: str
    ) -> tuple[dict[str, replicationdata_pb2.Status], dict[str, topodata_pb2.Tablet]]:
        """Return how far each tablet of a shard is; one that does not answer has no position.

        Returns:
            states of replication and tablets, both by alias.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        tablets = {one.alias: one for one in self._topology.layout.shard_tablets(keyspace, shard)}
        outcome = await self._fan_out.each(tablets, self._replication)
        return (
            {name: outcome.answers.get(name, replicationdata_pb2.Status()) for name in tablets},
            {name: self._cluster.tablet_record(place) for name, place in tablets.items()},
        )

    async def _replication(self, tablet: TabletPlace) -> replicationdata_pb2.Status:
        if self._topology.health(tablet).tablet_type == topodata_pb2.PRIMARY:
            position = await self._clients.call(
                tablet,
                lambda stub: stub.manager.PrimaryPosition,
                tabletmanagerdata_pb2.PrimaryPositionRequest(),
            )
            return replicationdata_pb2.Status(position=position.position)
        answer = await self._clients.call(
            tablet,
            lambda stub: stub.manager.ReplicationStatus,
            tabletmanagerdata_pb2.ReplicationStatusRequest(),
        )
        return answer.status


def _version_over_http(place: TabletPlace, login: tuple[str, str] | None) -> str:
    connection = http.client.HTTPConnection(
        place.host, place.http_port, timeout=_VERSION_SECONDS_MAX
    )
    try:
        headers: dict[str, str] = {}
        if login is not None:
            pair = base64.b64encode(":".join(login).encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        connection.request("GET", "/debug/vars", headers=headers)
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise ValueError(f"HTTP status {answer.status}")
        variables: dict[str, Any] = json.loads(answer.read(_PAGE_BYTES_MAX))
    finally:
        connection.close()
    return str(variables.get("BuildVersion", ""))
