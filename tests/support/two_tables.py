"""A table and its altered copy, as a tool would have them before the swap."""

from __future__ import annotations

from tabletd.executor import ddl
from tabletd.executor.migration import Migration, Strategy
from tabletd.executor.verify import Difference, VerifyOptions, open_comparison
from tests.support.pools import pool_of
from tests.support.servers import RealServer


class TwoTables:
    """The table `t` and its copy `t_new`.

    Args:
        server: where they are.
        database: in which schema.
        columns: what a CREATE TABLE says in its parentheses.
        alter: what an ALTER TABLE says behind the table's name.
    """

    def __init__(self, server: RealServer, database: str, columns: str, alter: str) -> None:
        self.server = server
        self.database = database
        self.statement = f"ALTER TABLE t {alter}"
        self.migration = Migration(
            id=7,
            migration_uuid="11111111_2222_3333_4444_555555555555",
            keyspace="ks",
            shard="0",
            mysql_schema=database,
            mysql_table="t",
            migration_statement=self.statement,
            strategy=Strategy.PT_OSC,
        )
        self._alter = alter
        self.loosely(f"CREATE TABLE t ({columns}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4")

    def alter_copy(self) -> None:
        """Make the copy as a tool does, of columns that keep their names and places."""
        self.loosely(
            "CREATE TABLE t_new LIKE t",
            f"ALTER TABLE t_new {self._alter}",
            f"INSERT INTO t_new ({self._columns}) SELECT {self._columns} FROM t",
        )

    @property
    def _columns(self) -> str:
        found = self.server.query(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = 't'",
            (self.database,),
        )
        return ", ".join(f"`{name}`" for (name,) in found)

    def loosely(self, *statements: str) -> None:
        """Run statements that may leave zero dates and cut values."""
        mode = "SET sql_mode = 'ALLOW_INVALID_DATES', innodb_strict_mode = 0"
        self.server.script(mode, *statements, database=self.database)

    @property
    def names(self) -> set[str]:
        """Every table of the schema."""
        return {str(name) for (name,) in self.server.query("SHOW TABLES", database=self.database)}


async def compare(tables: TwoTables, options: VerifyOptions | None = None) -> list[Difference]:
    """Compare all rows of both."""
    async with (
        pool_of(tables.server) as pool,
        open_comparison(
            pool, tables.migration, ddl.parse(tables.statement), "t", "t_new", options
        ) as comparison,
    ):
        return [one async for chunk in comparison.chunks() for one in chunk.differences]
