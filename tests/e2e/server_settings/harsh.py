"""A server with hard settings, its daemon without SUPER, and the tables that are changed there."""

from __future__ import annotations

import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import pymysql
from pymysql.connections import Connection

from tabletd.mysql.quote import identifier
from tabletd.sandbox.daemons import Daemon
from tabletd.sandbox.vexec_client import VExecClient, literal, new_migration_uuid
from tests.support.servers import RealServer, Row

KEYSPACE: Final = "shop"
OTHER_SCHEMA: Final = "other-shop"
_STRICT: Final = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO"


@dataclass(frozen=True)
class HarshCase:
    """One tool on one such server.

    Attributes:
        server: the server.
        daemon: logs in as an account without SUPER.
        strategy: the tool.
    """

    server: RealServer
    daemon: Daemon
    strategy: str

    def is_serving(self) -> bool:
        """Whether the daemon says that it is healthy."""
        try:
            with urllib.request.urlopen(f"http://{self.daemon.http}/healthz", timeout=60) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False

    def logs(self) -> dict[str, str]:
        """Return the ends of the logs of both."""
        return {**self.server.logs(), self.daemon.alias: self.daemon.log_tail()}

    def prepare(self) -> None:
        """Drop the tables of both schemas; set all that the tool is to get on with."""
        is_pt_osc = self.strategy == "pt-osc"
        self.server.script(
            f"SET GLOBAL sql_mode = '{'ANSI_QUOTES,' if is_pt_osc else ''}{_STRICT}'",
            f"SET GLOBAL binlog_row_image = '{'MINIMAL' if is_pt_osc else 'FULL'}'",
            f"SET GLOBAL log_bin_trust_function_creators = {int(is_pt_osc)}",
        )
        for schema in (KEYSPACE, OTHER_SCHEMA):
            tables = self.server.query(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = %s",
                (schema,),
            )
            for (name,) in tables:
                self.server.query(f"DROP TABLE IF EXISTS {identifier(schema, str(name))}")

    def create(self, schema: str, table: str, *, default: str = "what?") -> None:
        """Make a table with reserved words, emoji and both kinds of time in it.

        Args:
            schema: where.
            table: its name.
            default: of the column `order`.
        """
        name = identifier(schema, table)
        self.server.script(
            "SET time_zone = '+00:00'",
            f"CREATE TABLE {name} (`key` INT NOT NULL PRIMARY KEY, `größe ☃` VARCHAR(20), "
            f"`order` VARCHAR(20) NOT NULL DEFAULT '{default}', `at` TIMESTAMP NULL, "
            "`on` DATETIME, `rank` ENUM('a', 'ß', '☃')) "
            "DEFAULT CHARSET = utf8mb4 COMMENT 'it''s \"☃\"'",
            # 02:30 in Berlin's spring is no time at all; here it must not be looked at that way.
            f"INSERT INTO {name} (`key`, `größe ☃`, `at`, `on`, `rank`) VALUES "
            "(1, '😀', '2021-03-28 02:30:00', '2021-03-28 02:30:00', 'ß'), "
            "(-5, 'it''s', '1970-01-02 00:00:00', '0001-01-01 00:00:00', '☃'), "
            "(7, NULL, NULL, NULL, NULL)",
        )

    def rows(self, schema: str, table: str) -> list[Row]:
        """Read a table's rows, times as numbers and texts that no time zone bends."""
        return self.server.query(
            "SELECT `key`, `größe ☃`, `order`, UNIX_TIMESTAMP(`at`), CAST(`on` AS CHAR), "
            f"CAST(`rank` AS CHAR) FROM {identifier(schema, table)} ORDER BY `key`"
        )

    def default_of_order(self, schema: str, table: str) -> str:
        """Return what a row gets that says nothing about its column `order`."""
        name = identifier(schema, table)
        self.server.query(f"INSERT INTO {name} (`key`) VALUES (99)")
        found = self.server.scalar(f"SELECT `order` FROM {name} WHERE `key` = 99")
        self.server.query(f"DELETE FROM {name} WHERE `key` = 99")
        return str(found)

    async def submit(
        self, client: VExecClient, table: str, alter: str, *, schema: str = KEYSPACE
    ) -> str:
        """Queue an ALTER of a table in any schema; return the migration's uuid."""
        migration_uuid = new_migration_uuid()
        statement = f"ALTER TABLE {identifier(schema, table)} {alter}"
        values = [
            *(migration_uuid, KEYSPACE, "0", schema, table, statement, self.strategy, "", "alter"),
        ]
        await client.vexec(
            "INSERT IGNORE INTO _vt.schema_migrations (migration_uuid, keyspace, shard, "
            "mysql_schema, mysql_table, migration_statement, strategy, options, ddl_action, "
            "requested_timestamp, migration_context, migration_status) VALUES ("
            f"{', '.join(map(literal, values))}, FROM_UNIXTIME({int(time.time())}), "
            f"{literal('test:' + migration_uuid)}, 'queued')"
        )
        return migration_uuid

    def takes_all_connections(self) -> list[Connection[Any]]:
        """Open connections until the server takes no more; close them to let others in."""
        taken: list[Connection[Any]] = []
        with suppress(pymysql.OperationalError):
            while True:
                taken.append(self.server.connect())
                with taken[-1].cursor() as cursor:
                    cursor.execute("SET SESSION wait_timeout = 600")
        return taken
