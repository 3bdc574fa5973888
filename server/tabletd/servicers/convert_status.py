"""From the domain to the wire: replication, the server's whole status, its schema."""

from __future__ import annotations

from typing import Final

from tabletd.mysql.full_status import FullStatus
from tabletd.mysql.permissions import Permissions
from tabletd.mysql.replication import PrimaryStatus, ReplicationStatus, ThreadState
from tabletd.mysql.schema import SchemaDefinition
from tabletd.servicers.convert import tablet_type_to_proto
from tabletd.servicers.query_result import fields_to_proto
from tabletd.tablet import TabletType
from tabletd_pb import replicationdata_pb2, tabletmanagerdata_pb2

_RUNNING: Final = frozenset({ThreadState.CONNECTING, ThreadState.RUNNING})


def replication_status_to_proto(status: ReplicationStatus) -> replicationdata_pb2.Status:
    """Return what a replica says of itself; a thread that connects counts as running."""
    return replicationdata_pb2.Status(
        position=status.position,
        io_thread_running=status.io_state in _RUNNING,
        sql_thread_running=status.sql_state in _RUNNING,
        io_state=status.io_state.value,
        sql_state=status.sql_state.value,
        last_io_error=status.last_io_error,
        last_sql_error=status.last_sql_error,
        replication_lag_seconds=status.lag_seconds or 0,
        replication_lag_unknown=status.lag_seconds is None,
        source_host=status.source_host,
        source_port=status.source_port,
        source_user=status.source_user,
        source_server_id=status.source_server_id,
        source_uuid=status.source_uuid,
        connect_retry=status.connect_retry_seconds,
        file_position=status.file_position,
        relay_log_position=status.relay_log_position,
        relay_log_source_binlog_equivalent_position=status.relay_log_source_position,
        relay_log_file_position=status.relay_log_file_position,
        sql_delay=status.sql_delay_seconds,
        auto_position=status.auto_position,
        using_gtid=status.using_gtid,
        has_replication_filters=status.has_replication_filters,
        ssl_allowed=status.ssl_allowed,
    )


def primary_status_to_proto(status: PrimaryStatus) -> replicationdata_pb2.PrimaryStatus:
    """Return a server's own position."""
    return replicationdata_pb2.PrimaryStatus(
        position=status.position,
        file_position=status.file_position,
        server_uuid=status.server_uuid,
    )


def full_status_to_proto(status: FullStatus, kind: TabletType) -> replicationdata_pb2.FullStatus:
    """Return all that is known of a server; what it is not (a replica) stays unset."""
    return replicationdata_pb2.FullStatus(
        server_id=status.server_id,
        server_uuid=status.server_uuid,
        replication_status=None
        if status.replication is None
        else replication_status_to_proto(status.replication),
        primary_status=None if status.primary is None else primary_status_to_proto(status.primary),
        gtid_purged=status.gtid_purged,
        version=status.version,
        version_comment=status.version_comment,
        read_only=status.read_only,
        super_read_only=status.super_read_only,
        gtid_mode=status.gtid_mode,
        binlog_format=status.binlog_format,
        binlog_row_image=status.binlog_row_image,
        log_bin_enabled=status.log_bin_enabled,
        log_replica_updates=status.log_replica_updates,
        semi_sync_primary_enabled=status.semi_sync.primary_enabled,
        semi_sync_replica_enabled=status.semi_sync.replica_enabled,
        semi_sync_primary_status=status.semi_sync.primary_active,
        semi_sync_replica_status=status.semi_sync.replica_active,
        semi_sync_primary_clients=status.semi_sync.primary_clients,
        semi_sync_primary_timeout=status.semi_sync.primary_timeout_ms,
        semi_sync_wait_for_replica_count=status.semi_sync.wait_for_replica_count,
        replication_configuration=replicationdata_pb2.Configuration(
            heartbeat_interval=status.heartbeat_interval_seconds,
            replica_net_timeout=status.replica_net_timeout_seconds,
        ),
        tablet_type=tablet_type_to_proto(kind),
    )


def permissions_to_proto(permissions: Permissions) -> tabletmanagerdata_pb2.Permissions:
    """Return the accounts of a server."""
    return tabletmanagerdata_pb2.Permissions(
        user_permissions=[
            tabletmanagerdata_pb2.UserPermission(
                host=rights.host,
                user=rights.user,
                password_checksum=rights.password_checksum,
                privileges=rights.privileges,
            )
            for rights in permissions.users
        ],
        db_permissions=[
            tabletmanagerdata_pb2.DbPermission(
                host=rights.host, db=rights.db, user=rights.user, privileges=rights.privileges
            )
            for rights in permissions.databases
        ],
    )


def schema_to_proto(schema: SchemaDefinition) -> tabletmanagerdata_pb2.SchemaDefinition:
    """Return a schema, its tables in the given order."""
    return tabletmanagerdata_pb2.SchemaDefinition(
        database_schema=schema.database_schema,
        table_definitions=[
            tabletmanagerdata_pb2.TableDefinition(
                name=table.name,
                schema=table.schema,
                columns=table.columns,
                primary_key_columns=table.primary_key_columns,
                type=table.type,
                data_length=table.data_length,
                row_count=table.row_count,
                fields=fields_to_proto(table.fields),
            )
            for table in schema.table_definitions
        ],
    )
