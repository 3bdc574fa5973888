"""What is put into the queue without a client."""

from __future__ import annotations

from tabletd.executor.migration import Strategy
from tabletd.executor.submit import Submission


def submission(
    migration_uuid: str,
    *,
    mysql_schema: str = "db",
    statement: str = "ALTER TABLE t ADD COLUMN c INT",
) -> Submission:
    """Return an ALTER of the table t."""
    return Submission(
        migration_uuid=migration_uuid,
        keyspace="ks",
        mysql_schema=mysql_schema,
        mysql_table="t",
        migration_statement=statement,
        strategy=Strategy.GH_OST,
        options="",
        ddl_action="alter",
        migration_context="",
        requested_unix_seconds=None,
    )
