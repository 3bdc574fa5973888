"""May a migration go on copying? Answered from memory by rules and by the lag of the replicas."""

from tabletd.throttler.app_rules import AppRules, RuleChange
from tabletd.throttler.check_result import CheckResult, MetricResult, ResponseCode
from tabletd.throttler.config import ConfigChange, Scope, ThrottlerConfig, checked_scope
from tabletd.throttler.rules import FOREVER_SECONDS, ONLINE_DDL_APP, AppRule
from tabletd.throttler.store import RuleStore
from tabletd.throttler.throttler import LagReading, ReplicaReading, Throttler, ThrottlerStatus

__all__ = [
    "FOREVER_SECONDS",
    "ONLINE_DDL_APP",
    "AppRule",
    "AppRules",
    "CheckResult",
    "ConfigChange",
    "LagReading",
    "MetricResult",
    "ReplicaReading",
    "ResponseCode",
    "RuleChange",
    "RuleStore",
    "Scope",
    "Throttler",
    "ThrottlerConfig",
    "ThrottlerStatus",
    "checked_scope",
]
