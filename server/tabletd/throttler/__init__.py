"""May a migration go on copying? Answered from memory by rules and by metrics of the shard."""

from tabletd.throttler.app_rules import AppRules, RuleChange, Snapshot
from tabletd.throttler.board import ReplicaReadings
from tabletd.throttler.check_result import CheckResult, MetricResult, ResponseCode
from tabletd.throttler.config import ConfigChange, ThrottlerConfig
from tabletd.throttler.metrics import Metric, MetricReading, Reading, Scope, checked_scope
from tabletd.throttler.own_metrics import OwnMetrics
from tabletd.throttler.rules import FOREVER_SECONDS, ONLINE_DDL_APP, AppRule
from tabletd.throttler.sql_replicas import SqlReplicas
from tabletd.throttler.store import RuleStore, StoredRule
from tabletd.throttler.throttler import Throttler, ThrottlerSettings, ThrottlerStatus

__all__ = [
    "FOREVER_SECONDS",
    "ONLINE_DDL_APP",
    "AppRule",
    "AppRules",
    "CheckResult",
    "ConfigChange",
    "Metric",
    "MetricReading",
    "MetricResult",
    "OwnMetrics",
    "Reading",
    "ReplicaReadings",
    "ResponseCode",
    "RuleChange",
    "RuleStore",
    "Scope",
    "Snapshot",
    "SqlReplicas",
    "StoredRule",
    "Throttler",
    "ThrottlerConfig",
    "ThrottlerSettings",
    "ThrottlerStatus",
    "checked_scope",
]
