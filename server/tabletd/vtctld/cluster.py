"""What the topology knows, in Vitess's words: keyspaces, shards, tablets, cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.topology import TabletPlace, Topology, alias_text
from tabletd.vtctld.throttler_settings import ThrottlerSettings
from tabletd_pb import topodata_pb2, vtctldata_pb2, vttime_pb2

_KEY_RANGE: Final = re.compile(r"(?P<start>(?:[0-9a-f]{2})*)-(?P<end>(?:[0-9a-f]{2})*)")
_SERVED_TYPES: Final = (topodata_pb2.PRIMARY, topodata_pb2.REPLICA)


class Cluster:
    """Answers from the topology and from what tablets say of themselves.

    Args:
        topology: who is there.
        throttling: the settings of each keyspace's throttler.
    """

    def __init__(self, *, topology: Topology, throttling: ThrottlerSettings) -> None:
        self._topology = topology
        self._throttling = throttling

    def keyspace_names(self) -> list[str]:
        """Return the names of the keyspaces."""
        return list(self._topology.layout.keyspaces)

    async def keyspaces(self) -> list[vtctldata_pb2.Keyspace]:
        """Return every keyspace."""
        return [await self.keyspace(name) for name in self._topology.layout.keyspaces]

    async def keyspace(self, name: str) -> vtctldata_pb2.Keyspace:
        """Return a keyspace with its throttler's settings, as its shards keep them.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        config = await self._throttling.config(name)
        return vtctldata_pb2.Keyspace(
            name=name,
            keyspace=topodata_pb2.Keyspace(durability_policy="none", throttler_config=config),
        )

    def shards(self, keyspace: str) -> dict[str, vtctldata_pb2.Shard]:
        """Return the shards of a keyspace by name.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        names = self._topology.layout.shards(keyspace)
        return {name: self.shard(keyspace, name) for name in names}

    def shard(self, keyspace: str, name: str) -> vtctldata_pb2.Shard:
        """Return a shard; one whose primary is not known has none.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        self._topology.layout.shard_tablets(keyspace, name)
        shard = topodata_pb2.Shard(key_range=key_range(name))
        primary = self._topology.primary(keyspace, name)
        if primary is not None:
            health = self._topology.health(primary)
            shard.primary_alias.CopyFrom(alias(primary))
            shard.is_primary_serving = health.serving
            if health.primary_term_start_seconds:
                shard.primary_term_start_time.seconds = health.primary_term_start_seconds
        return vtctldata_pb2.Shard(keyspace=keyspace, name=name, shard=shard)

    async def srv_keyspaces(
        self, keyspace: str, cells: Sequence[str]
    ) -> dict[str, topodata_pb2.SrvKeyspace]:
        """Return a keyspace as each cell sees it.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        layout = self._topology.layout
        references = [
            topodata_pb2.ShardReference(name=shard, key_range=key_range(shard))
            for shard in layout.shards(keyspace)
        ]
        partitions = [
            topodata_pb2.SrvKeyspace.KeyspacePartition(
                served_type=served, shard_references=references
            )
            for served in _SERVED_TYPES
        ]
        config = await self._throttling.config(keyspace)
        seen = topodata_pb2.SrvKeyspace(partitions=partitions, throttler_config=config)
        for cell in cells:
            layout.check_cell(cell)
        having = {tablet.cell for tablet in layout.tablets if tablet.keyspace == keyspace}
        return {cell: seen for cell in cells or layout.cells if cell in having}

    def tablets(self, request: vtctldata_pb2.GetTabletsRequest) -> list[topodata_pb2.Tablet]:
        """Return tablets in the order of their aliases.

        By alias where aliases are given; else by keyspace and shard, cell and type.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND, in strict mode also for one of several aliases;
                INVALID_REQUEST for a shard without a keyspace.
        """
        places = sorted(self._wanted(request), key=lambda place: place.alias)
        found = [self.tablet_record(place) for place in places]
        if request.tablet_type:
            return [tablet for tablet in found if tablet.type == request.tablet_type]
        return found

    def _wanted(self, request: vtctldata_pb2.GetTabletsRequest) -> Iterable[TabletPlace]:
        layout = self._topology.layout
        if request.tablet_aliases:
            wanted = [alias_text(one.cell, one.uid) for one in request.tablet_aliases]
            if request.strict or len(wanted) == 1:
                return [layout.tablet(name) for name in wanted]
            return [tablet for tablet in layout.tablets if tablet.alias in wanted]
        if request.shard and not request.keyspace:
            raise TabletdError(
                Reason.INVALID_REQUEST,
                f"the shard {request.shard!r} was given without a keyspace",
                hint="give both",
            )
        for cell in request.cells if request.strict else ():
            layout.check_cell(cell)
        places: Iterable[TabletPlace] = layout.tablets
        if request.shard:
            places = layout.shard_tablets(request.keyspace, request.shard)
        elif request.keyspace:
            layout.shards(request.keyspace)
            places = [tablet for tablet in places if tablet.keyspace == request.keyspace]
        return [tablet for tablet in places if not request.cells or tablet.cell in request.cells]

    def tablet(self, wanted: topodata_pb2.TabletAlias) -> TabletPlace:
        """Return where a tablet is.

        Raises:
            TabletdError: INVALID_REQUEST without an alias; TOPOLOGY_NOT_FOUND.
        """
        if not wanted.cell:
            raise TabletdError(Reason.INVALID_REQUEST, "a tablet alias is required")
        return self._topology.layout.tablet(alias_text(wanted.cell, wanted.uid))

    def tablet_record(self, place: TabletPlace) -> topodata_pb2.Tablet:
        """Return what is known of a tablet.

        Of two that call themselves primary, the one that took over earlier is shown as UNKNOWN.
        """
        health = self._topology.health(place)
        kind = health.tablet_type
        if kind == topodata_pb2.PRIMARY and place != self._topology.primary(
            place.keyspace, place.shard
        ):
            kind = topodata_pb2.UNKNOWN
        term = health.primary_term_start_seconds if kind == topodata_pb2.PRIMARY else 0
        return topodata_pb2.Tablet(
            alias=alias(place),
            hostname=place.host,
            port_map={"grpc": place.grpc_port, "vt": place.http_port},
            keyspace=place.keyspace,
            shard=place.shard,
            key_range=key_range(place.shard),
            type=kind,
            db_name_override=place.database or place.keyspace,
            mysql_hostname=place.mysql_host,
            mysql_port=place.mysql_port,
            primary_term_start_time=vttime_pb2.Time(seconds=term) if term else None,
        )

    def cell_names(self) -> list[str]:
        """Return the names of the cells."""
        return list(self._topology.layout.cells)

    def cell(self, name: str) -> topodata_pb2.CellInfo:
        """Return where the topology of a cell is kept.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        self._topology.layout.check_cell(name)
        return topodata_pb2.CellInfo(root=self._topology.layout.source)


def alias(place: TabletPlace) -> topodata_pb2.TabletAlias:
    """Return the alias of a tablet as the wire has it."""
    return topodata_pb2.TabletAlias(cell=place.cell, uid=place.uid)


def key_range(shard: str) -> topodata_pb2.KeyRange | None:
    """Return the key range that a shard's name says; none for `0` and `-`, which hold all."""
    match = _KEY_RANGE.fullmatch(shard)
    if match is None or shard == "-":
        return None
    return topodata_pb2.KeyRange(
        start=bytes.fromhex(match["start"]), end=bytes.fromhex(match["end"])
    )
