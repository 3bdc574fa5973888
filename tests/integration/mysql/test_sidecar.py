"""`_vt` becomes what it is declared to be, from nothing and from every older layout."""

from __future__ import annotations

import pytest

from tabletd.errors import NotWritable
from tabletd.mysql.sidecar import ensure_sidecar
from tests.support.pools import pool_of
from tests.support.servers import Pair, RealServer

# Layouts by spec section 2.1: v8 has columns 1 to 19, v9 adds eight, v10 two more.
_V8_COLUMNS = """
  id bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  migration_uuid varchar(64) NOT NULL,
  keyspace varchar(256) NOT NULL,
  shard varchar({shard}) NOT NULL,
  mysql_schema varchar(128) NOT NULL,
  mysql_table varchar(128) NOT NULL,
  migration_statement text NOT NULL,
  strategy varchar(128) NOT NULL,
  options varchar(8192) NOT NULL,
  added_timestamp timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  requested_timestamp timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  ready_timestamp timestamp NULL DEFAULT NULL,
  started_timestamp timestamp NULL DEFAULT NULL,
  liveness_timestamp timestamp NULL DEFAULT NULL,
  completed_timestamp timestamp NULL DEFAULT NULL,
  cleanup_timestamp timestamp NULL DEFAULT NULL,
  migration_status varchar(128) NOT NULL,
  log_path varchar(1024) NOT NULL,
  artifacts {artifacts} NOT NULL,
"""
_V9_COLUMNS = """
  retries int unsigned NOT NULL DEFAULT 0,
  tablet varchar(128) NOT NULL DEFAULT '',
  tablet_failure tinyint unsigned NOT NULL DEFAULT 0,
  progress float NOT NULL DEFAULT 0,
  migration_context varchar(1024) NOT NULL DEFAULT '',
  ddl_action varchar(16) NOT NULL DEFAULT '',
"""
_V10_COLUMNS = "message text NOT NULL, eta_seconds bigint NOT NULL DEFAULT -1,"
_KEYS = """
  PRIMARY KEY (id), UNIQUE KEY uuid_idx (migration_uuid),
  KEY keyspace_shard_idx (keyspace{prefix},shard{prefix}),
  KEY status_idx (migration_status,liveness_timestamp),
  KEY cleanup_status_idx (cleanup_timestamp,migration_status)
"""
_V9_KEYS = ", KEY tablet_failure_idx (tablet_failure,migration_status,retries)"
_V10_KEYS = (
    ", KEY table_complete_idx (migration_status,keyspace(64),mysql_table(64),completed_timestamp)"
)
_OLD_LAYOUTS = {
    # InnoDB of old rows holds keys of 767 bytes: a whole keyspace needs a smaller charset there.
    "v8": (
        _V8_COLUMNS.format(shard=256, artifacts="varchar(1024)") + _KEYS.format(prefix=""),
        "utf8mb4",
    ),
    "v9": (
        _V8_COLUMNS.format(shard=255, artifacts="text")
        + _V9_COLUMNS
        + _KEYS.format(prefix="(64)")
        + _V9_KEYS,
        "utf8mb4",
    ),
    "v10": (
        _V8_COLUMNS.format(shard=255, artifacts="text")
        + _V9_COLUMNS
        + _V10_COLUMNS
        + _KEYS.format(prefix="(64)")
        + _V9_KEYS
        + _V10_KEYS,
        "utf8mb4",
    ),
}
_HEARTBEAT = [("keyspaceShard", "varbinary(256)"), ("tabletUid", "int"), ("ts", "bigint")]


def _layout(server: RealServer) -> list[tuple[object, ...]]:
    return [
        *server.query(
            "SELECT table_name, column_name, column_type, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema='_vt'"
            " ORDER BY table_name, column_name"
        ),
        *server.query(
            "SELECT table_name, index_name, seq_in_index, column_name, sub_part, non_unique"
            " FROM information_schema.statistics WHERE table_schema='_vt'"
            " ORDER BY table_name, index_name, seq_in_index"
        ),
    ]


async def _ensure(server: RealServer) -> None:
    async with pool_of(server) as pool, pool.session() as session:
        await ensure_sidecar(session)


async def test_the_schema_is_made_from_nothing(any_server: RealServer) -> None:
    await _ensure(any_server)
    names = {row[0] for row in any_server.query("SHOW TABLES FROM _vt")}
    assert names == {
        "heartbeat",
        "lease",
        "schema_migrations",
        "throttled_apps",
        "throttler_config",
    }


async def test_the_heartbeat_table_begins_with_its_three_documented_columns(
    any_server: RealServer,
) -> None:
    await _ensure(any_server)
    columns = any_server.query("SHOW COLUMNS FROM _vt.heartbeat")
    assert [row[0] for row in columns[:3]] == [name for name, _ in _HEARTBEAT]
    for column, (_, wanted) in zip(columns[:3], _HEARTBEAT, strict=True):
        assert str(column[1]).startswith(wanted)


async def test_a_heartbeat_table_of_vitess_is_upgraded_and_takes_its_upserts_as_before(
    any_server: RealServer,
) -> None:
    any_server.script(
        "CREATE DATABASE _vt",
        "CREATE TABLE _vt.heartbeat (keyspaceShard VARBINARY(256) NOT NULL PRIMARY KEY,"
        " tabletUid INT UNSIGNED NOT NULL, ts BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB",
    )
    upsert = (
        "INSERT INTO _vt.heartbeat (ts, tabletUid, keyspaceShard) VALUES (%s, 7, 'test:0')"
        " ON DUPLICATE KEY UPDATE ts=VALUES(ts), tabletUid=VALUES(tabletUid)"
    )
    any_server.query(upsert, (1,))
    await _ensure(any_server)
    any_server.query(upsert, (2,))
    found = any_server.query("SELECT tabletUid, ts, series, seq, sentNs FROM _vt.heartbeat")
    assert found == [(7, 2, 0, 0, 0)]


@pytest.mark.parametrize("version", ["v8", "v9", "v10"])
async def test_an_older_layout_is_upgraded_and_keeps_its_rows(
    any_server: RealServer, version: str
) -> None:
    await _ensure(any_server)
    fresh = _layout(any_server)
    any_server.query("DROP DATABASE _vt")
    body, charset = _OLD_LAYOUTS[version]
    texts = ", message" if version == "v10" else ""
    values = ", 'old message'" if version == "v10" else ""
    any_server.script(
        "CREATE DATABASE _vt",
        f"CREATE TABLE _vt.schema_migrations ({body}) ENGINE=InnoDB DEFAULT CHARSET={charset}",
        "INSERT INTO _vt.schema_migrations (migration_uuid, keyspace, shard, mysql_schema,"
        " mysql_table, migration_statement, strategy, options, migration_status, log_path,"
        f" artifacts{texts}) VALUES ('a_b', 'ks', '-80', 'vt_ks', 't', 'alter table t add x int',"
        f" 'gh-ost', '--x', 'complete', 'host:/log', '_a,_b'{values})",
    )
    await _ensure(any_server)
    assert _layout(any_server) == fresh
    row = any_server.records("SELECT * FROM _vt.schema_migrations")[0]
    assert (row["migration_uuid"], row["artifacts"], row["shard"]) == ("a_b", "_a,_b", "-80")
    assert row["message"] == ("old message" if version == "v10" else "")
    assert (row["eta_seconds"], row["run_nonce"]) == (-1, "")


async def test_a_second_call_writes_nothing(any_server: RealServer) -> None:
    await _ensure(any_server)
    before = any_server.gtid_executed()
    await _ensure(any_server)
    assert any_server.gtid_executed() == before


async def test_a_dropped_column_and_a_dropped_key_come_back(any_server: RealServer) -> None:
    await _ensure(any_server)
    fresh = _layout(any_server)
    any_server.script(
        "ALTER TABLE _vt.schema_migrations DROP COLUMN stage, DROP KEY run_nonce_idx,"
        " MODIFY retries bigint"
    )
    await _ensure(any_server)
    assert _layout(any_server) == fresh


async def test_what_others_added_stays(any_server: RealServer) -> None:
    await _ensure(any_server)
    any_server.script(
        "ALTER TABLE _vt.schema_migrations ADD theirs int, ADD KEY theirs_idx (theirs),"
        " DROP COLUMN stage",
        "CREATE TABLE _vt.theirs (a int)",
    )
    await _ensure(any_server)
    assert any_server.query("SELECT stage, theirs FROM _vt.schema_migrations") == []
    assert any_server.query("SELECT * FROM _vt.theirs") == []


async def test_nothing_is_written_under_read_only_even_by_root(any_pair: Pair) -> None:
    replica = any_pair.replica
    before = replica.gtid_executed()
    with pytest.raises(NotWritable):
        await _ensure(replica)
    assert replica.gtid_executed() == before
    assert replica.query("SHOW DATABASES LIKE '\\_vt'") == []
