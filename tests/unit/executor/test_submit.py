from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.migration import Strategy
from tabletd.executor.submit import NewMigration, Submission, read_submission

UUID = "a0638f6b_ec7b_11ea_9bf8_000d3a9b8a9a"


def read(statement: str, strategy: str = "gh-ost", **others: str) -> Submission:
    values = {"migration_uuid": UUID, "migration_statement": statement, "strategy": strategy}
    return read_submission(
        NewMigration(**{**values, **others}),  # type: ignore[arg-type]
        keyspace="ks",
        db_name="vt_ks",
        allowed_schemas=("other",),
    )


def test_a_submission_takes_schema_table_and_action_from_its_statement() -> None:
    submission = read("ALTER TABLE t ADD c INT")
    assert submission.mysql_schema == "vt_ks"
    assert submission.mysql_table == "t"
    assert submission.ddl_action == "alter"
    assert submission.strategy is Strategy.GH_OST
    assert read("ALTER TABLE other.t ADD c INT").mysql_schema == "other"
    assert read("ALTER TABLE t ADD c TEXT COMMENT '😀' -- 😀").mysql_table == "t"
    assert read("CREATE INDEX i ON t (a)", mysql_table="t").ddl_action == "alter"
    assert read("CREATE TABLE t (a INT)", strategy="").strategy is Strategy.DIRECT


def test_the_longest_statement_is_taken_and_one_byte_more_is_refused() -> None:
    statement = "ALTER TABLE t COMMENT '" + "é" * 32_750 + "x'"
    padded = statement + " " * (65_535 - len(statement.encode()))
    assert read(padded).migration_statement == padded
    with pytest.raises(TabletdError, match="65536 bytes, 65535 are the most"):
        read(padded + " ")


@pytest.mark.parametrize(
    ("statement", "others", "text"),
    [
        ("ALTER TABLE t ADD c INT", {"migration_uuid": "x"}, "Not an Online DDL UUID: x"),
        ("ALTER TABLE t ADD c INT", {"strategy": "other"}, "Unknown online DDL strategy: 'other'"),
        ("ALTER TABLE t ADD c INT", {"options": "--execute"}, "--execute is refused"),
        ("ALTER TABLE t ADD c INT", {"options": "x" * 8193}, "options has 8193 characters"),
        ("ALTER TABLE t ADD c INT", {"migration_context": "x" * 1025}, "migration_context has"),
        ("ALTER TABLE t ADD c INT", {"mysql_table": "u"}, "the statement's table is 't'"),
        ("ALTER TABLE mysql.user ADD c INT", {}, "schema 'mysql', which is not allowed"),
        ("CREATE VIEW v AS SELECT * FROM mysql.user", {}, "names the schema 'mysql'"),
        ("CREATE VIEW v AS SELECT * FROM t, `_VT` . schema_migrations", {}, "the schema '_vt'"),
        ('CREATE TABLE u AS SELECT * FROM "sys".x', {"strategy": "mysql"}, "the schema 'sys'"),
        ("CREATE VIEW v AS SELECT * FROM mysql/*!50000 .user*/", {}, "the schema 'mysql'"),
        ("CREATE VIEW v AS SELECT * FROM mysql/*!99999 x*/.user", {}, "the schema 'mysql'"),
        ("CREATE TABLE u LIKE mysql.user", {"strategy": "mysql"}, "the schema 'mysql'"),
        ("SELECT 1", {}, "not a DDL statement"),
        ("", {}, "is empty"),
        ("RENAME TABLE a TO b", {}, "Unsupported online DDL action. SQL=RENAME TABLE a TO b"),
        ("TRUNCATE t", {}, "Unsupported online DDL action"),
        ("CREATE TEMPORARY TABLE t (a INT)", {}, "Unsupported online DDL action"),
        ("DROP TABLE a, b", {}, "names 2 tables"),
        ("ALTER TABLE t ADD c INT, RENAME u", {}, "cannot rename the table"),
        ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u (a)", {}, "adds no foreign key unless"),
        ("ALTER IGNORE TABLE t ADD UNIQUE (a)", {}, "no ALTER IGNORE"),
        ("ALTER TABLE t", {}, "needs a clause"),
        ("ALTER TABLE t ADD `😀` INT", {}, "outside the Basic Multilingual Plane"),
        ("ALTER TABLE t DROP a😀", {}, "a😀 cannot be a name"),
        ("CREATE INDEX i ON t (a) LOCK=NONE", {}, "no ALGORITHM or LOCK"),
        ("CREATE OR REPLACE INDEX i ON t (a)", {}, "cannot replace an index"),
    ],
)
def test_what_the_text_shows_is_refused(statement: str, others: dict[str, str], text: str) -> None:
    with pytest.raises(TabletdError) as caught:
        read(statement, **others)
    assert text in caught.value.message
    assert caught.value.reason in (
        Reason.INVALID_REQUEST,
        Reason.UNSUPPORTED_DDL,
        Reason.DDL_SYNTAX,
    )


def test_the_server_itself_may_do_what_a_tool_cannot() -> None:
    assert read("ALTER TABLE t RENAME u", strategy="direct").strategy is Strategy.DIRECT
    assert read("DROP VIEW v", strategy="gh-ost").ddl_action == "drop"


def test_a_foreign_key_may_be_added_by_who_says_that_it_is_wanted_and_by_the_server() -> None:
    statement = "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u (a)"
    for strategy, options in (("pt-osc", "--unsafe-allow-foreign-keys"), ("mysql", "")):
        assert read(statement, strategy=strategy, options=options).ddl_action == "alter"
