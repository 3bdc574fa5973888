"""Whether a server could ever serve a migration's tool, asked at the submission."""

from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.admission import Admission
from tabletd.executor.names import create_uuid
from tabletd.executor.submit import NewMigration, Submission, read_submission
from tests.integration.engines.rig import Rig


def submission(
    statement: str, strategy: str, options: str = "", schema: str = "shop"
) -> Submission:
    new = NewMigration(create_uuid(), statement, strategy, options)
    return read_submission(new, keyspace="ks", db_name=schema, allowed_schemas=())


async def test_gh_ost_is_refused_on_mariadb_for_what_it_would_have_to_do(mariadb_rig: Rig) -> None:
    admission = Admission(mariadb_rig.pool, allows_unsafe_cutover=False)
    alter = "ALTER TABLE orders ADD COLUMN c INT"
    with pytest.raises(TabletdError, match="gh-ost cannot serve MariaDB") as refusal:
        await admission.check(submission(alter, "gh-ost"))
    assert refusal.value.reason is Reason.UNSUPPORTED_SERVER
    assert "pt-osc" in (refusal.value.hint or "")
    for taken in (
        submission(alter, "pt-osc"),
        submission(alter, "mysql"),
        submission(alter, "gh-ost", "--prefer-instant-ddl"),
        submission("CREATE TABLE t (id INT PRIMARY KEY)", "gh-ost"),
    ):
        await admission.check(taken)


async def test_either_tool_is_taken_on_mysql(mysql_rig: Rig) -> None:
    admission = Admission(mysql_rig.pool, allows_unsafe_cutover=False)
    for strategy in ("gh-ost", "pt-osc"):
        await admission.check(submission("ALTER TABLE orders ADD COLUMN c INT", strategy))


VALID = (
    "ALTER TABLE missing ADD COLUMN c INT",
    "CREATE INDEX i ON orders (amount)",
    "CREATE TABLE fresh (id INT PRIMARY KEY, d DATETIME DEFAULT '0000-00-00')",
    "CREATE TABLE fresh LIKE orders",
    "CREATE TABLE fresh AS SELECT * FROM orders",
    "DROP TABLE IF EXISTS missing",
    "DROP TABLE orders",
    "CREATE OR REPLACE VIEW v AS SELECT nothing FROM missing",
    "ALTER VIEW v AS SELECT 1",
    "DROP VIEW v",
    'ALTER TABLE orders ADD COLUMN "quoted" INT',
)
INVALID = (
    "ALTER TABLE orders ADD COLUMN",
    "CREATE TABLE fresh (id INT PRIMARY)",
    "CREATE VIEW v AS SELEKT 1",
    "ALTER TABLE orders ADD COLUMN c INT NOT NUL",
    "ALTER TABLE orders ADD COLUMN c INTEGR",
)


async def test_the_server_reads_a_statement_and_does_nothing(any_rig: Rig) -> None:
    rig = any_rig
    rig.create_orders(3)
    admission = Admission(rig.pool, allows_unsafe_cutover=False)
    before = rig.server.query("SHOW TABLES", database=rig.schema)
    for statement in VALID:
        await admission.check(submission(statement, "mysql", schema=rig.schema))
    for statement in INVALID:
        with pytest.raises(TabletdError, match=r"syntax|Unknown data type") as refusal:
            await admission.check(submission(statement, "mysql", schema=rig.schema))
        assert refusal.value.reason is Reason.DDL_SYNTAX
    assert rig.server.query("SHOW TABLES", database=rig.schema) == before
    assert rig.server.query("SELECT COUNT(*) FROM orders", database=rig.schema) == [(3,)]
