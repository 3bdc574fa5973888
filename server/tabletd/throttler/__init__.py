"""May a migration go on copying? Answered from memory by the lag of the replicas."""

from tabletd.throttler.throttler import CheckResult, LagReading, ReplicaReading, Throttler

__all__ = ["CheckResult", "LagReading", "ReplicaReading", "Throttler"]
