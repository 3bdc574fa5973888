"""Everything about a server that matters to replication, in one answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tabletd.mysql.flavor import ServerInfo
from tabletd.mysql.replication import (
    PrimaryStatus,
    ReplicationStatus,
    primary_status,
    replication_status,
)
from tabletd.mysql.session import Session
from tabletd.mysql.variables import as_text, global_variables, is_on

_VARIABLES: Final = (
    "server_id",
    "server_uuid",
    "gtid_purged",
    "gtid_mode",
    "read_only",
    "super_read_only",
    "log_bin",
    "binlog_format",
    "binlog_row_image",
    "log_slave_updates",
    "log_replica_updates",
    "slave_net_timeout",
    "replica_net_timeout",
)


@dataclass(frozen=True)
class SemiSync:
    """Semi-synchronous replication: switched on, at work, and its limits.

    Attributes:
        primary_enabled: asked for, as a primary.
        replica_enabled: asked for, as a replica.
        primary_active: commits do wait for a replica.
        replica_active: this replica does acknowledge.
        primary_clients: acknowledging replicas that are connected.
        primary_timeout_ms: how long a commit waits.
        wait_for_replica_count: acknowledgements that a commit needs.
    """

    primary_enabled: bool
    replica_enabled: bool
    primary_active: bool
    replica_active: bool
    primary_clients: int
    primary_timeout_ms: int
    wait_for_replica_count: int


@dataclass(frozen=True, kw_only=True)
class FullStatus:
    """See `replicationdata.FullStatus`; what the server does not have is empty, false or 0.

    Attributes:
        replication: None when it is no replica.
        primary: None when it writes no binary log.
        gtid_purged: with the flavour in front; empty on MariaDB, which has no such set.
        heartbeat_interval_seconds: sign of life on an idle replication connection.
        replica_net_timeout_seconds: silence after which the source counts as lost.
    """

    server_id: int
    server_uuid: str
    version: str
    version_comment: str
    read_only: bool
    super_read_only: bool
    gtid_mode: str
    gtid_purged: str
    binlog_format: str
    binlog_row_image: str
    log_bin_enabled: bool
    log_replica_updates: bool
    replication: ReplicationStatus | None
    primary: PrimaryStatus | None
    semi_sync: SemiSync
    heartbeat_interval_seconds: float
    replica_net_timeout_seconds: int


async def full_status(session: Session, info: ServerInfo) -> FullStatus:
    """Ask the server for all of it.

    Raises:
        MySQLError: MISSING_GRANT without the right to see the replication state.
    """
    variables = await global_variables(session, *_VARIABLES)
    purged = "".join(variables.get("gtid_purged", "").split())
    log_bin = is_on(variables.get("log_bin"))
    return FullStatus(
        server_id=int(variables.get("server_id", 0)),
        server_uuid=variables.get("server_uuid", ""),
        version=info.version_text,
        version_comment=info.version_comment,
        read_only=variables.get("read_only", "OFF").upper() != "OFF",
        super_read_only=is_on(variables.get("super_read_only")),
        gtid_mode=variables.get("gtid_mode", ""),
        gtid_purged=f"MySQL56/{purged}" if purged else "",
        binlog_format=variables.get("binlog_format", ""),
        binlog_row_image=variables.get("binlog_row_image", ""),
        log_bin_enabled=log_bin,
        log_replica_updates=is_on(
            variables.get("log_replica_updates", variables.get("log_slave_updates"))
        ),
        replication=await replication_status(session, info),
        primary=await primary_status(session, info) if log_bin else None,
        semi_sync=await _semi_sync(session),
        heartbeat_interval_seconds=await _heartbeat_interval_seconds(session, info),
        replica_net_timeout_seconds=int(
            variables.get("replica_net_timeout", variables.get("slave_net_timeout", 0))
        ),
    )


async def _semi_sync(session: Session) -> SemiSync:
    # The plug-in's names changed from master and slave to source and replica in MySQL 8.0.26.
    facts: dict[str, str] = {}
    for what in ("VARIABLES", "STATUS"):
        result = await session.execute(f"SHOW GLOBAL {what} LIKE 'rpl_semi_sync%'")
        for name, value in result.rows:
            today = as_text(name).lower().replace("master", "source").replace("slave", "replica")
            facts[today.removeprefix("rpl_semi_sync_")] = as_text(value)
    # MariaDB has no wait_for_replica_count: one acknowledgement is enough there.
    return SemiSync(
        primary_enabled=is_on(facts.get("source_enabled")),
        replica_enabled=is_on(facts.get("replica_enabled")),
        primary_active=is_on(facts.get("source_status")),
        replica_active=is_on(facts.get("replica_status")),
        primary_clients=int(facts.get("source_clients", 0)),
        primary_timeout_ms=int(facts.get("source_timeout", 0)),
        wait_for_replica_count=int(
            facts.get("source_wait_for_replica_count", "source_enabled" in facts)
        ),
    )


async def _heartbeat_interval_seconds(session: Session, info: ServerInfo) -> float:
    if info.is_mariadb or info.version < (5, 7, 0):
        result = await session.execute("SHOW GLOBAL STATUS LIKE 'Slave_heartbeat_period'")
        return float(as_text(result.rows[0][1])) if result.rows else 0.0
    result = await session.execute(
        "SELECT MAX(heartbeat_interval)"
        " FROM performance_schema.replication_connection_configuration"
    )
    return float(as_text(result.scalar()) or 0)
