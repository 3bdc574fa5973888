"""Replication statuses for tests of what is decided by them."""

from __future__ import annotations

from tabletd.mysql.replication import ReplicationStatus, ThreadState


def replication(
    *,
    io_state: ThreadState = ThreadState.RUNNING,
    sql_state: ThreadState = ThreadState.RUNNING,
    lag_seconds: int | None = 0,
    last_io_error: str = "",
    last_sql_error: str = "",
) -> ReplicationStatus:
    """Return the status of a replica that runs well, but for what is given."""
    return ReplicationStatus(
        channel="",
        source_host="127.0.0.1",
        source_port=3306,
        source_user="repl",
        source_server_id=1,
        source_uuid="",
        io_state=io_state,
        sql_state=sql_state,
        last_io_error=last_io_error,
        last_sql_error=last_sql_error,
        lag_seconds=lag_seconds,
        position="MariaDB/0-1-1",
        file_position="FilePos/binlog.000001:4",
        relay_log_position="MariaDB/0-1-1",
        relay_log_source_position="FilePos/binlog.000001:4",
        relay_log_file_position="FilePos/relay.000001:4",
        sql_delay_seconds=0,
        auto_position=True,
        using_gtid=True,
        has_replication_filters=False,
        ssl_allowed=False,
        connect_retry_seconds=60,
    )
