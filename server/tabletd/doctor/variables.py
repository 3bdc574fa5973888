"""How a server should be set: a table of rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tabletd.doctor.findings import Finding, warn

_DAY_SECONDS: Final = 86400.0


@dataclass(frozen=True, slots=True)
class VariableRule:
    """What a global variable should be, where the server has it.

    Attributes:
        name: of the variable, lower case.
        wanted: values that are fit, upper case.
        harm: what may happen otherwise.
        remedy: what mends it.
    """

    name: str
    wanted: tuple[str, ...]
    harm: str
    remedy: str


_ON: Final = ("ON", "1")
_FILE: Final = "in the server's configuration, and restart it"
RULES: Final = (
    VariableRule("log_bin", _ON, "no replicas, and no gh-ost", f"log_bin = ON {_FILE}"),
    VariableRule(
        "log_slave_updates",
        _ON,
        "after a fail-over its replicas miss what it replicated",
        f"log_slave_updates = ON {_FILE}",
    ),
    VariableRule(
        "log_replica_updates",
        _ON,
        "after a fail-over its replicas miss what it replicated",
        f"log_replica_updates = ON {_FILE}",
    ),
    VariableRule(
        "binlog_format",
        ("ROW",),
        "gh-ost is refused, and replicas may differ from the primary",
        "SET GLOBAL binlog_format = 'ROW', and let sessions reconnect",
    ),
    VariableRule(
        "binlog_row_image",
        ("FULL",),
        "gh-ost is refused",
        "SET GLOBAL binlog_row_image = 'FULL', and let sessions reconnect",
    ),
    VariableRule(
        "gtid_mode",
        ("ON",),
        "lag is known by heartbeats only, and replicas need help at a fail-over",
        "SET GLOBAL gtid_mode = 'ON' in the manual's steps, enforce_gtid_consistency first",
    ),
    VariableRule(
        "innodb_flush_log_at_trx_commit",
        ("1",),
        "a crash of the machine may take back what the queue has promised",
        "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
    ),
    VariableRule(
        "sync_binlog",
        ("1",),
        "a crash of the machine may lose what replicas have or should have",
        "SET GLOBAL sync_binlog = 1",
    ),
    VariableRule(
        "innodb_file_per_table",
        _ON,
        "the space of old tables is not given back when they are dropped",
        "SET GLOBAL innodb_file_per_table = ON",
    ),
)
_KEEPS: Final = (("binlog_expire_logs_seconds", 1.0), ("expire_logs_days", _DAY_SECONDS))
VARIABLES: Final = (*(rule.name for rule in RULES), *(name for name, _ in _KEEPS))
# What says nothing while the binary log is off.
_OF_BINARY_LOG: Final = frozenset(
    {"binlog_format", "binlog_row_image", "log_slave_updates", "log_replica_updates", "sync_binlog"}
)


def variable_findings(variables: Mapping[str, str]) -> list[Finding]:
    """Hold a server's variables, by lower-case name, against the rules that it has them for."""
    has_log = variables.get("log_bin", "").upper() in _ON
    findings = [
        warn(f"{rule.name} is {variables[rule.name]}: {rule.harm}", rule.remedy)
        for rule in RULES
        if rule.name in variables
        and variables[rule.name].upper() not in rule.wanted
        and (has_log or rule.name not in _OF_BINARY_LOG)
    ]
    return findings + (_kept_logs(variables) if has_log else [])


def _kept_logs(variables: Mapping[str, str]) -> list[Finding]:
    """A paused gh-ost reads on where it stopped, if the server still has that log; 0: for ever."""
    kept = [
        float(variables[name]) * seconds
        for name, seconds in _KEEPS
        if float(variables.get(name, 0))
    ]
    if not kept or max(kept) >= _DAY_SECONDS:
        return []
    text = f"binary logs are kept for {max(kept) / 3600:.1f} h: a gh-ost that pauses longer fails"
    return [warn(text, "SET GLOBAL binlog_expire_logs_seconds = 259200")]
