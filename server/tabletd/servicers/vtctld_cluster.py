"""`vtctlservice.Vtctld`: who is there, and whether all is in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc.aio

from tabletd.vtctld.validation import joined
from tabletd.vtctld.vtctld import Vtctld
from tabletd_pb import vtctldata_pb2 as pb

_Context = grpc.aio.ServicerContext[Any, Any]


class ClusterMethods:
    """The methods on keyspaces, shards, tablets and cells.

    Args:
        vtctld: knows them.
    """

    def __init__(self, vtctld: Vtctld) -> None:
        self._cluster = vtctld.cluster
        self._calls = vtctld.calls
        self._validation = vtctld.validation

    async def GetKeyspaces(
        self, request: pb.GetKeyspacesRequest, context: _Context
    ) -> pb.GetKeyspacesResponse:
        return pb.GetKeyspacesResponse(keyspaces=await self._cluster.keyspaces())

    async def GetKeyspace(
        self, request: pb.GetKeyspaceRequest, context: _Context
    ) -> pb.GetKeyspaceResponse:
        return pb.GetKeyspaceResponse(keyspace=await self._cluster.keyspace(request.keyspace))

    async def GetShard(self, request: pb.GetShardRequest, context: _Context) -> pb.GetShardResponse:
        return pb.GetShardResponse(shard=self._cluster.shard(request.keyspace, request.shard_name))

    async def FindAllShardsInKeyspace(
        self, request: pb.FindAllShardsInKeyspaceRequest, context: _Context
    ) -> pb.FindAllShardsInKeyspaceResponse:
        return pb.FindAllShardsInKeyspaceResponse(shards=self._cluster.shards(request.keyspace))

    async def GetSrvKeyspaces(
        self, request: pb.GetSrvKeyspacesRequest, context: _Context
    ) -> pb.GetSrvKeyspacesResponse:
        found = await self._cluster.srv_keyspaces(request.keyspace, request.cells)
        return pb.GetSrvKeyspacesResponse(srv_keyspaces=found)

    async def GetTablets(
        self, request: pb.GetTabletsRequest, context: _Context
    ) -> pb.GetTabletsResponse:
        return pb.GetTabletsResponse(tablets=self._cluster.tablets(request))

    async def GetTablet(
        self, request: pb.GetTabletRequest, context: _Context
    ) -> pb.GetTabletResponse:
        place = self._cluster.tablet(request.tablet_alias)
        return pb.GetTabletResponse(tablet=self._cluster.tablet_record(place))

    async def GetCellInfoNames(
        self, request: pb.GetCellInfoNamesRequest, context: _Context
    ) -> pb.GetCellInfoNamesResponse:
        return pb.GetCellInfoNamesResponse(names=self._cluster.cell_names())

    async def GetCellInfo(
        self, request: pb.GetCellInfoRequest, context: _Context
    ) -> pb.GetCellInfoResponse:
        return pb.GetCellInfoResponse(cell_info=self._cluster.cell(request.cell))

    async def GetCellsAliases(
        self, request: pb.GetCellsAliasesRequest, context: _Context
    ) -> pb.GetCellsAliasesResponse:
        return pb.GetCellsAliasesResponse()

    async def ShardReplicationPositions(
        self, request: pb.ShardReplicationPositionsRequest, context: _Context
    ) -> pb.ShardReplicationPositionsResponse:
        statuses, tablets = await self._calls.positions(request.keyspace, request.shard)
        return pb.ShardReplicationPositionsResponse(
            replication_statuses=statuses, tablet_map=tablets
        )

    async def Validate(self, request: pb.ValidateRequest, context: _Context) -> pb.ValidateResponse:
        found = {
            keyspace: await self._validation.keyspace(keyspace, ping=request.ping_tablets)
            for keyspace in self._cluster.keyspace_names()
        }
        return pb.ValidateResponse(
            results=[problem for shards in found.values() for problem in joined(shards)],
            results_by_keyspace={
                keyspace: pb.ValidateKeyspaceResponse(
                    results=joined(shards), results_by_shard=_by_shard(shards)
                )
                for keyspace, shards in found.items()
            },
        )

    async def ValidateKeyspace(
        self, request: pb.ValidateKeyspaceRequest, context: _Context
    ) -> pb.ValidateKeyspaceResponse:
        found = await self._validation.keyspace(request.keyspace, ping=request.ping_tablets)
        return pb.ValidateKeyspaceResponse(results=joined(found), results_by_shard=_by_shard(found))

    async def ValidateShard(
        self, request: pb.ValidateShardRequest, context: _Context
    ) -> pb.ValidateShardResponse:
        found = await self._validation.shard(
            request.keyspace, request.shard, ping=request.ping_tablets
        )
        return pb.ValidateShardResponse(results=found)

    async def ValidateSchemaKeyspace(
        self, request: pb.ValidateSchemaKeyspaceRequest, context: _Context
    ) -> pb.ValidateSchemaKeyspaceResponse:
        found = await self._validation.schemas(request)
        return pb.ValidateSchemaKeyspaceResponse(
            results=joined(found), results_by_shard=_by_shard(found)
        )

    async def ValidateVersionKeyspace(
        self, request: pb.ValidateVersionKeyspaceRequest, context: _Context
    ) -> pb.ValidateVersionKeyspaceResponse:
        found = await self._validation.versions(request.keyspace)
        return pb.ValidateVersionKeyspaceResponse(
            results=joined(found), results_by_shard=_by_shard(found)
        )

    async def ValidateVersionShard(
        self, request: pb.ValidateVersionShardRequest, context: _Context
    ) -> pb.ValidateVersionShardResponse:
        found = await self._validation.versions(request.keyspace, [request.shard])
        return pb.ValidateVersionShardResponse(results=joined(found))

    async def ValidatePermissionsKeyspace(
        self, request: pb.ValidatePermissionsKeyspaceRequest, context: _Context
    ) -> pb.ValidatePermissionsKeyspaceResponse:
        await self._validation.permissions(request.keyspace, request.shards)
        return pb.ValidatePermissionsKeyspaceResponse()

    async def ValidateVSchema(
        self, request: pb.ValidateVSchemaRequest, context: _Context
    ) -> pb.ValidateVSchemaResponse:
        found = await self._validation.vschema(request)
        return pb.ValidateVSchemaResponse(results=joined(found), results_by_shard=_by_shard(found))


def _by_shard(found: Mapping[str, Sequence[str]]) -> dict[str, pb.ValidateShardResponse]:
    return {shard: pb.ValidateShardResponse(results=problems) for shard, problems in found.items()}
