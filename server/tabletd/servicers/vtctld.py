"""`vtctlservice.Vtctld`: what `vtctldclient` calls."""

from __future__ import annotations

from tabletd.servicers.vtctld_cluster import ClusterMethods
from tabletd.servicers.vtctld_migrations import MigrationMethods
from tabletd.servicers.vtctld_tablets import TabletMethods
from tabletd.vtctld.vtctld import Vtctld
from tabletd_pb.vtctlservice_pb2_grpc import VtctldServicer


class VtctldService(MigrationMethods, ClusterMethods, TabletMethods, VtctldServicer):
    """Each method hands its request to a part of the vtctld, and converts nothing else.

    Args:
        vtctld: the parts.
    """

    def __init__(self, vtctld: Vtctld) -> None:
        MigrationMethods.__init__(self, vtctld)
        ClusterMethods.__init__(self, vtctld)
        TabletMethods.__init__(self, vtctld)
