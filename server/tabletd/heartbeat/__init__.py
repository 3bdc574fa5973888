"""Replication lag: written on the primary, read on the replicas, told as a `Lag`."""

from tabletd.heartbeat.lag import Lag, LagState
from tabletd.heartbeat.reader import Reader
from tabletd.heartbeat.repl_tracker import ReplTracker
from tabletd.heartbeat.settings import (
    HeartbeatSettings,
    TrackerMode,
    bounded_interval_seconds,
)
from tabletd.heartbeat.writer import Writer

__all__ = [
    "HeartbeatSettings",
    "Lag",
    "LagState",
    "Reader",
    "ReplTracker",
    "TrackerMode",
    "Writer",
    "bounded_interval_seconds",
]
