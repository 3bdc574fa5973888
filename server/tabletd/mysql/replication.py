"""What the server says about replication, both as a replica and as a primary.

Positions are written as Vitess writes them: the flavour, a slash, the position
(`MySQL56/<gtid set>`, `MariaDB/0-1-5`, `FilePos/<file>:<offset>`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from tabletd.mysql import gtid
from tabletd.mysql.flavor import (
    ServerInfo,
    show_primary_status_sql,
    show_replica_status_sql,
)
from tabletd.mysql.session import Session
from tabletd.mysql.variables import as_text

_FILTERS: Final = (
    "replicate_do_db",
    "replicate_ignore_db",
    "replicate_do_table",
    "replicate_ignore_table",
    "replicate_wild_do_table",
    "replicate_wild_ignore_table",
    "replicate_rewrite_db",
    "replicate_do_domain_ids",
    "replicate_ignore_domain_ids",
)

NOT_RUNNING: Final = "replication is not running"

Row = Mapping[str, Any]


class ThreadState(Enum):
    """State of one replication thread; the numbers are those of `replicationdata.Status`."""

    UNKNOWN = 0
    STOPPED = 1
    CONNECTING = 2
    RUNNING = 3


@dataclass(frozen=True, kw_only=True)
class ReplicationStatus:
    """A replica's view of its replication.

    Attributes:
        channel: name of the channel (MySQL) or connection (MariaDB); empty for the usual one.
        lag_seconds: the server's own estimate; None: it has none.
        position: executed so far.
        file_position: executed so far, in the source's binary log.
        relay_log_position: received so far.
        relay_log_source_position: received so far, in the source's binary log.
        relay_log_file_position: executed so far, in the relay log.
        sql_delay_seconds: delay that the operator asked for.
        connect_retry_seconds: pause between attempts to connect.
    """

    channel: str
    source_host: str
    source_port: int
    source_user: str
    source_server_id: int
    source_uuid: str
    io_state: ThreadState
    sql_state: ThreadState
    last_io_error: str
    last_sql_error: str
    lag_seconds: int | None
    position: str
    file_position: str
    relay_log_position: str
    relay_log_source_position: str
    relay_log_file_position: str
    sql_delay_seconds: int
    auto_position: bool
    using_gtid: bool
    has_replication_filters: bool
    ssl_allowed: bool
    connect_retry_seconds: int

    @property
    def is_running(self) -> bool:
        """Whether both threads run."""
        return self.io_state is self.sql_state is ThreadState.RUNNING


@dataclass(frozen=True)
class PrimaryStatus:
    """A server's position as a source of replication.

    Attributes:
        position: executed so far; empty when the server has no binary log.
        file_position: end of its binary log; empty when it has none.
        server_uuid: empty on MariaDB.
    """

    position: str
    file_position: str
    server_uuid: str


async def replication_status(session: Session, info: ServerInfo) -> ReplicationStatus | None:
    """Return how replication goes, None when the server is no replica.

    Of several channels (MySQL) or connections (MariaDB) the worst one is returned.

    Raises:
        MySQLError: MISSING_GRANT without REPLICATION CLIENT (MariaDB: REPLICA MONITOR).
    """
    result = await session.execute(show_replica_status_sql(info))
    channels = [replication_status_of(row, info) for row in result.dicts()]
    return max(channels, key=_badness, default=None)


def stopped_error(status: ReplicationStatus | None) -> str:
    """Return why replication does not run, with the server's own words; empty when it runs.

    An IO thread that tries to connect counts as running, as in Vitess: the loss of the primary
    alone must not take its replicas out of service.
    """
    if status is None:
        return f"{NOT_RUNNING}: this server has no replication source"
    stopped = [
        f"{name} thread stopped: {error or 'no error given'}"
        for name, state, error in (
            ("SQL", status.sql_state, status.last_sql_error),
            ("IO", status.io_state, status.last_io_error),
        )
        if state is ThreadState.STOPPED
    ]
    return f"{NOT_RUNNING}: {'; '.join(stopped)}" if stopped else ""


def replication_status_of(row: Row, info: ServerInfo) -> ReplicationStatus:
    """Read one row of SHOW REPLICA STATUS, SHOW SLAVE STATUS or SHOW ALL SLAVES STATUS."""
    values = {_today(name): value for name, value in row.items()}

    def text(name: str) -> str:
        return as_text(values.get(name))

    def number(name: str) -> int:
        return _number(values.get(name)) or 0

    source_file, source_offset = text("relay_source_log_file"), text("exec_source_log_pos")
    executed, received = _gtid_positions(text, info)
    file_position = _file_position(source_file, source_offset)
    using_gtid = text("using_gtid").lower() not in {"", "no"} or number("auto_position") == 1
    return ReplicationStatus(
        channel=text("channel_name") or text("connection_name"),
        source_host=text("source_host"),
        source_port=number("source_port"),
        source_user=text("source_user"),
        source_server_id=number("source_server_id"),
        source_uuid=text("source_uuid"),
        io_state=_thread_state(text("replica_io_running")),
        sql_state=_thread_state(text("replica_sql_running")),
        last_io_error=text("last_io_error"),
        last_sql_error=text("last_sql_error"),
        lag_seconds=_number(values.get("seconds_behind_source")),
        position=executed or file_position,
        file_position=file_position,
        relay_log_position=received,
        relay_log_source_position=_file_position(
            text("source_log_file"), text("read_source_log_pos")
        ),
        relay_log_file_position=_file_position(text("relay_log_file"), text("relay_log_pos")),
        sql_delay_seconds=number("sql_delay"),
        auto_position=using_gtid,
        using_gtid=using_gtid or bool(executed),
        has_replication_filters=any(text(name) for name in _FILTERS),
        ssl_allowed=text("source_ssl_allowed") == "Yes",
        connect_retry_seconds=number("connect_retry"),
    )


async def primary_status(session: Session, info: ServerInfo) -> PrimaryStatus:
    """Return the server's own position.

    Raises:
        MySQLError: MISSING_GRANT without REPLICATION CLIENT (MariaDB: BINLOG MONITOR).
    """
    result = await session.execute(show_primary_status_sql(info))
    if not result.rows:
        return PrimaryStatus("", "", await _server_uuid(session, info))
    row = result.dicts()[0]
    file_position = _file_position(as_text(row["File"]), as_text(row["Position"]))
    executed = await _primary_gtids(session, info)
    position = f"{_prefix(info)}{executed}" if executed else file_position
    return PrimaryStatus(position, file_position, await _server_uuid(session, info))


async def gtid_executed(session: Session, info: ServerInfo) -> str:
    """Return the GTIDs that the server has executed, without a flavour in front."""
    name = "gtid_current_pos" if info.is_mariadb else "gtid_executed"
    return await _global(session, name)


async def _primary_gtids(session: Session, info: ServerInfo) -> str:
    return await _global(session, "gtid_binlog_pos" if info.is_mariadb else "gtid_executed")


async def _server_uuid(session: Session, info: ServerInfo) -> str:
    return "" if info.is_mariadb else await _global(session, "server_uuid")


async def _global(session: Session, name: str) -> str:
    result = await session.execute(f"SELECT @@global.{name}")
    # MySQL breaks long GTID sets into lines.
    return "".join(as_text(result.scalar()).split())


def _gtid_positions(text: Any, info: ServerInfo) -> tuple[str, str]:
    """Return the executed and the received position; empty where no GTIDs are used."""
    if info.is_mariadb:
        executed, received = text("gtid_replica_pos"), text("gtid_io_pos")
    else:
        executed = "".join(text("executed_gtid_set").split())
        received = gtid.union(executed, text("retrieved_gtid_set")) if executed else ""
    prefix = _prefix(info)
    return (f"{prefix}{executed}" if executed else "", f"{prefix}{received}" if received else "")


def _prefix(info: ServerInfo) -> str:
    return "MariaDB/" if info.is_mariadb else "MySQL56/"


def _today(name: str) -> str:
    """Return today's name of a column, whatever the server's age and flavour call it."""
    return name.lower().replace("master", "source").replace("slave", "replica")


def _file_position(file: str, offset: str) -> str:
    return f"FilePos/{file}:{offset}" if file else ""


def _number(cell: Any) -> int | None:
    return int(cell) if as_text(cell).lstrip("-").isdigit() else None


def _thread_state(text: str) -> ThreadState:
    states = {"yes": ThreadState.RUNNING, "no": ThreadState.STOPPED}
    # MariaDB also says Preparing on its way to Connecting.
    return states.get(text.lower(), ThreadState.CONNECTING if text else ThreadState.UNKNOWN)


def _badness(status: ReplicationStatus) -> tuple[bool, bool, bool, int]:
    return (
        status.sql_state is not ThreadState.RUNNING,
        status.io_state is not ThreadState.RUNNING,
        status.lag_seconds is None,
        status.lag_seconds or 0,
    )
