"""Replication lag: written on the primary, read on the replicas, told as a `Lag`."""

from tabletd.heartbeat.exchange import WriterAnswer, WriterDaemon, WriterQuestion, Writing
from tabletd.heartbeat.lag import Lag, LagMethod, LagState
from tabletd.heartbeat.reader import Reader
from tabletd.heartbeat.repl_tracker import LagSample, ReplTracker
from tabletd.heartbeat.settings import (
    HeartbeatSettings,
    TrackerMode,
    WriteMode,
    bounded_interval_seconds,
)
from tabletd.heartbeat.sql_primary import SqlPrimary
from tabletd.heartbeat.writer import Writer

__all__ = [
    "HeartbeatSettings",
    "Lag",
    "LagMethod",
    "LagSample",
    "LagState",
    "Reader",
    "ReplTracker",
    "SqlPrimary",
    "TrackerMode",
    "WriteMode",
    "Writer",
    "WriterAnswer",
    "WriterDaemon",
    "WriterQuestion",
    "Writing",
    "bounded_interval_seconds",
]
