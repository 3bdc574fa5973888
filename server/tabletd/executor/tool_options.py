"""The options of gh-ost and pt-online-schema-change: which take a value, which users may not give.

And the names of our own flags, which are Vitess's and for every strategy.

Taken from the tools' own `--help` (gh-ost 1.1.10, pt-online-schema-change 3.2.1), as data: an
option that is in neither table is refused, so that a new one is judged before it is let through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SWITCH_FLAGS = frozenset(
    {
        "allow-concurrent",
        "allow-zero-in-date",
        "analyze-table",
        "declarative",
        "fast-over-revertible",
        "in-order-completion",
        "postpone-completion",
        "postpone-launch",
        "prefer-instant-ddl",
        "singleton",
        "singleton-context",
        "singleton-table",
        "unsafe-allow-foreign-keys",
        "verify",
    }
)
DURATION_FLAGS = frozenset({"cut-over-threshold", "force-cut-over-after", "retain-artifacts"})
# Of earlier Vitess versions, which ignore them today.
IGNORED_FLAGS = frozenset({"fast-range-rotation", "skip-topo"})
FLAG_NAMES = SWITCH_FLAGS | DURATION_FLAGS

_ENDS_SUPERVISION = "the daemon decides when the tool runs dry and when it runs"
_CONNECTION = "the daemon connects the tool to its own server, with an account of the run"
_SUBJECT = "it follows from the migration's statement"
_NAMES = "the daemon names the tables of a run, so that it can clean up after it"
_FILES = "the daemon keeps a run's files in the run's private directory"
_HOOKS = "the daemon learns through its own hooks what the tool does"
_OUTPUT = "the daemon reads the tool's output"
_PLACE = "the daemon runs the tool on the primary that it stands beside"
_KEEPS_OLD = "the old table is kept, and dropped by the retention rules"
_UNSAFE = "it can lose writes or leave a moment without a table"
_ELSEWHERE = "the run's account would log in wherever it says; the daemon watches the replicas"
_ANY_SQL = "it would run any statement on the server; the throttler has a custom query"
_THROTTLE = "the daemon throttles the tool by the lag of the replicas"
_LOSSES = "it would hide rows that get lost"
_TRIGGERS = "triggers are looked after by the daemon"
_NO_RUN = "with it the tool does not carry out the migration"
_EXTRA_TABLE = "it makes a table that the daemon does not know of"
_INNODB_ONLY = "only InnoDB tables are migrated"
_VERSION_CHECK = "it makes the tool ask a server on the internet"
_PRIVILEGE = "it needs privileges that the run's account never gets"
_INSTANT = "the server is asked with the flag --prefer-instant-ddl"


@dataclass(frozen=True, slots=True)
class ToolOptions:
    """The options of one tool.

    Attributes:
        switches: allowed, take no value.
        valued: allowed, take a value.
        refused: not allowed, with the reason; each without leading dashes.
        negatable: (pt-osc) may be written with `no` or `no-` in front.
        unique_prefixes: whether the tool takes any unambiguous beginning of a name.
    """

    switches: frozenset[str]
    valued: frozenset[str]
    refused: Mapping[str, str]
    negatable: frozenset[str] = frozenset()
    unique_prefixes: bool = False

    @property
    def names(self) -> frozenset[str]:
        """Every option that the tool is known to have."""
        return self.switches | self.valued | self.refused.keys()


def _refused(*groups: tuple[str, str]) -> Mapping[str, str]:
    return MappingProxyType({name: reason for names, reason in groups for name in names.split()})


GH_OST = ToolOptions(
    switches=frozenset(
        {
            "aliyun-rds",
            "allow-master-master",
            "allow-nullable-unique-key",
            "allow-on-master",
            "approve-renamed-columns",
            "assume-rbr",
            "azure",
            "concurrent-rowcount",
            "cut-over-exponential-backoff",
            "debug",
            "discard-foreign-keys",
            "exact-rowcount",
            "gcp",
            "gtid",
            "ignore-http-errors",
            "skip-foreign-key-checks",
            "skip-port-validation",
            "skip-renamed-columns",
            "stack",
            "verbose",
        }
    ),
    valued=frozenset(
        {
            "binlogsyncer-max-reconnect-attempts",
            "charset",
            "chunk-size",
            "critical-load",
            "critical-load-hibernate-seconds",
            "critical-load-interval-millis",
            "cut-over-lock-timeout-seconds",
            "default-retries",
            "dml-batch-size",
            "exponential-backoff-max-interval",
            "heartbeat-interval-millis",
            "hooks-hint",
            "hooks-hint-owner",
            "max-lag-millis",
            "max-load",
            "mysql-timeout",
            "nice-ratio",
            "statsd-addr",
            "statsd-tags",
        }
    ),
    refused=_refused(
        ("execute help version check-flag revert", _NO_RUN),
        ("host port user password conf ask-pass master-user master-password", _CONNECTION),
        ("ssl ssl-allow-insecure ssl-ca ssl-cert ssl-key", _CONNECTION),
        ("database table alter", _SUBJECT),
        ("force-table-names timestamp-old-table old-table", _NAMES),
        ("initially-drop-ghost-table initially-drop-old-table", _NAMES),
        ("hooks-path hooks-hint-token hooks-status-interval", _HOOKS),
        ("serve-socket-file serve-tcp-port initially-drop-socket-file", _FILES),
        ("panic-flag-file postpone-cut-over-flag-file", _FILES),
        ("throttle-flag-file throttle-additional-flag-file", _FILES),
        ("throttle-http throttle-http-interval-millis throttle-http-timeout-millis", _THROTTLE),
        ("throttle-control-replicas", _ELSEWHERE),
        ("throttle-query replication-lag-query", _ANY_SQL),
        ("replica-server-id assume-master-host tungsten", _PLACE),
        ("test-on-replica test-on-replica-skip-replica-stop migrate-on-replica", _PLACE),
        ("skip-metadata-lock-check cut-over", _UNSAFE),
        ("allow-setup-metadata-lock-instruments switch-to-rbr", _PRIVILEGE),
        ("panic-on-warnings skip-strict-mode", _LOSSES),
        ("ok-to-drop-table", _KEEPS_OLD),
        ("include-triggers trigger-suffix remove-trigger-suffix-if-exists", _TRIGGERS),
        ("checkpoint checkpoint-seconds resume", _EXTRA_TABLE),
        ("storage-engine", _INNODB_ONLY),
        ("force-named-cut-over force-named-panic", _ENDS_SUPERVISION),
        ("quiet runtime-metrics-interval", _OUTPUT),
        ("attempt-instant-ddl", _INSTANT),
    ),
)

PT_OSC = ToolOptions(
    switches=frozenset(
        {
            "analyze-before-swap",
            "check-alter",
            "check-foreign-keys",
            "check-plan",
            "check-replication-filters",
            "check-unique-key-change",
            "default-engine",
            "force",
            "null-to-not-null",
            "only-same-schema-fks",
            "remove-data-dir",
            "statistics",
        }
    ),
    valued=frozenset(
        {
            "alter-foreign-keys-method",
            "check-interval",
            "chunk-index",
            "chunk-index-columns",
            "chunk-size",
            "chunk-size-limit",
            "chunk-time",
            "critical-load",
            "data-dir",
            "max-flow-ctl",
            "max-lag",
            "max-load",
            "sleep",
            "tries",
        }
    ),
    refused=_refused(
        ("execute dry-run", _ENDS_SUPERVISION),
        ("help version swap-tables", _NO_RUN),
        ("host port user password socket ask-pass config defaults-file", _CONNECTION),
        ("charset set-vars", _CONNECTION),
        ("alter database", _SUBJECT),
        ("new-table-name drop-new-table", _NAMES),
        ("drop-old-table", _KEEPS_OLD),
        ("drop-triggers preserve-triggers", _TRIGGERS),
        ("plugin", _HOOKS),
        ("pid pause-file", _FILES),
        ("print progress quiet", _OUTPUT),
        ("channel check-slave-lag skip-check-slave-lag recurse recursion-method", _THROTTLE),
        ("slave-user slave-password", _THROTTLE),
        ("version-check", _VERSION_CHECK),
    ),
    negatable=frozenset(
        {
            "analyze-before-swap",
            "check-alter",
            "check-foreign-keys",
            "check-plan",
            "check-replication-filters",
            "check-unique-key-change",
            "drop-new-table",
            "drop-old-table",
            "drop-triggers",
            "swap-tables",
            "version-check",
        }
    ),
    unique_prefixes=True,
)
