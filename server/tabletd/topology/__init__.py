"""Other tablets: those of the shard, watched for lag, and those of the whole cluster."""

from tabletd.topology.layout import Layout, TabletPlace, alias_text, read_layout
from tabletd.topology.replica_watcher import ReplicaLag, ReplicaWatcher, WatcherSettings
from tabletd.topology.shard_metrics import Ask, ShardMetrics, TabletMetric, TabletMetrics
from tabletd.topology.topology import StaticTopology, TabletHealth, Topology

__all__ = [
    "Ask",
    "Layout",
    "ReplicaLag",
    "ReplicaWatcher",
    "ShardMetrics",
    "StaticTopology",
    "TabletHealth",
    "TabletMetric",
    "TabletMetrics",
    "TabletPlace",
    "Topology",
    "WatcherSettings",
    "alias_text",
    "read_layout",
]
