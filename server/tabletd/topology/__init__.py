"""The other tablets of the shard."""

from tabletd.topology.replica_watcher import ReplicaLag, ReplicaWatcher, WatcherSettings

__all__ = ["ReplicaLag", "ReplicaWatcher", "WatcherSettings"]
