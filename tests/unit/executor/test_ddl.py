from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.ddl import Action, ObjectKind, TableName, parse
from tabletd.executor.lexer import split_statements


@pytest.mark.parametrize(
    ("sql", "schema", "table"),
    [
        ("ALTER TABLE t ADD c INT", "", "t"),
        ("  alter\n table\t`t`   ADD c INT", "", "t"),
        ("ALTER TABLE s.t ADD c INT", "s", "t"),
        ("ALTER TABLE `s`.`t` ADD c INT", "s", "t"),
        ("ALTER TABLE `s`.t ADD c INT", "s", "t"),
        ("ALTER TABLE s . `t` ADD c INT", "s", "t"),
        ("ALTER /* hi */ TABLE -- there\n t ADD c INT", "", "t"),
        ('ALTER TABLE "t" ADD c INT', "", "t"),
        ("ALTER TABLE `a``b.c` ADD c INT", "", "a`b.c"),
        ("ALTER TABLE `😀` ADD c INT", "", "😀"),
        ("ALTER TABLE IF EXISTS t ADD c INT;", "", "t"),
        ("ALTER ONLINE TABLE t ADD c INT ; ; ", "", "t"),
        ("ALTER TABLE `ADD` ADD c INT", "", "ADD"),
    ],
)
def test_an_alter_names_its_table_and_keeps_the_users_own_options(
    sql: str, schema: str, table: str
) -> None:
    statement = parse(sql)
    assert statement.action is Action.ALTER
    assert statement.kind is ObjectKind.TABLE
    assert statement.name == TableName(schema, table)
    assert statement.alter_options == "ADD c INT"
    assert not statement.renames_table


def test_options_are_kept_to_the_byte() -> None:
    options = "ADD  c\n VARCHAR(9) COMMENT 'a;\\'b' /*!50606 STORAGE DISK */,DROP\t`x`"
    assert parse(f"ALTER TABLE t {options}").alter_options == options


@pytest.mark.parametrize(
    ("options", "renames"),
    [
        ("RENAME TO x", True),
        ("ADD c INT, rename x", True),
        ("ADD c INT, RENAME AS x", True),
        ("/*!50100 RENAME x */", True),
        ("RENAME COLUMN a TO b", False),
        ("RENAME INDEX a TO b, RENAME KEY c TO d", False),
        ("ADD `rename` INT COMMENT 'rename to x'", False),
        ("ADD c INT /* , RENAME x */", False),
        ("ADD c INT DEFAULT (f(rename))", False),
    ],
)
def test_a_rename_of_the_table_is_found_among_the_clauses(options: str, renames: bool) -> None:
    assert parse(f"ALTER TABLE t {options}").renames_table is renames


@pytest.mark.parametrize(
    ("options", "adds"),
    [
        ("ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES u (id)", True),
        ("ADD c INT, add foreign key (a) references u (id)", True),
        ("ADD COLUMN c INT REFERENCES u (id)", True),
        ("DROP FOREIGN KEY f", False),
        ("ADD `references` INT COMMENT 'references u'", False),
    ],
)
def test_a_new_foreign_key_is_found_among_the_clauses(options: str, adds: bool) -> None:
    assert parse(f"ALTER TABLE t {options}").adds_foreign_key is adds


def test_create_and_drop_index_alter_their_table() -> None:
    created = parse("CREATE UNIQUE INDEX `i` USING BTREE ON s.t (a(5), b)")
    assert created.action is Action.ALTER
    assert created.name == TableName("s", "t")
    assert created.alter_options == "ADD UNIQUE INDEX `i` USING BTREE (a(5), b)"
    dropped = parse("DROP INDEX i ON t")
    assert dropped.action is Action.ALTER
    assert dropped.alter_options == "DROP INDEX i"
    assert parse("CREATE INDEX i ON t (a) ALGORITHM=INPLACE").index_options


def test_the_other_statements_are_told_apart() -> None:
    assert parse("CREATE TABLE IF NOT EXISTS t (a INT)").action is Action.CREATE
    assert parse("CREATE TEMPORARY TABLE t (a INT)").temporary
    view = parse("CREATE OR REPLACE DEFINER=`a`@`b` SQL SECURITY INVOKER VIEW v AS SELECT 1")
    assert (view.action, view.kind, view.name.table) == (Action.CREATE, ObjectKind.VIEW, "v")
    drop = parse("DROP TABLE IF EXISTS a, s.b")
    assert drop.action is Action.DROP
    assert drop.if_exists
    assert drop.more_names == (TableName("s", "b"),)
    assert parse("RENAME TABLE a TO b").action is Action.RENAME
    assert parse("TRUNCATE t").action is Action.TRUNCATE
    assert parse("ALTER IGNORE TABLE t ADD UNIQUE (a)").ignore


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "  -- nothing",
        ";",
        "SELECT 1",
        "INSERT INTO t VALUES (1)",
        "DROP DATABASE d",
        "CREATE PROCEDURE p() SELECT 1",
        "CREATE TRIGGER v BEFORE INSERT ON t FOR EACH ROW SET @view = 1",
        "CREATE USER view",
        "ALTER TABLE t ADD c INT; DROP TABLE t",
        "ALTER TABLE t /*! ADD c INT; DROP TABLE t */",
        "/*!50001 CREATE VIEW v AS SELECT 1 */",
        "ALTER TABLE /*!99999 a */ b ADD c INT",
        "ALTER TABLE a /*!50000 .b */ ADD c INT",
    ],
)
def test_what_is_not_one_ddl_statement_is_unsupported(sql: str) -> None:
    with pytest.raises(TabletdError) as caught:
        parse(sql)
    assert caught.value.reason is Reason.UNSUPPORTED_DDL


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE",
        "ALTER TABLE 't' ADD c INT",
        "ALTER TABLE t\0 ADD c INT",
        "ALTER TABLE `t ADD c INT",
        "ALTER TABLE t ADD c INT COMMENT 'x",
        "ALTER TABLE t ADD c INT /* x",
        "ALTER TABLE t ADD c INT /*! x",
        "ALTER TABLE `` ADD c INT",
        f"ALTER TABLE {'t' * 65} ADD c INT",
        "ALTER TABLE t /*!99999 ' */ ; DROP TABLE x -- ' */",
        "ALTER TABLE t /*!99999 /* */ ADD c INT */",
        "CREATE INDEX i (a)",
    ],
)
def test_what_cannot_be_read_is_a_syntax_error(sql: str) -> None:
    with pytest.raises(TabletdError) as caught:
        parse(sql)
    assert caught.value.reason is Reason.DDL_SYNTAX


def test_statements_are_split_at_semicolons_that_are_code() -> None:
    sql = "INSERT INTO t VALUES (';'); ;\n-- ; \nUPDATE `a;b` SET c = 1 /* ; */;# end;"
    assert split_statements(sql) == [
        "INSERT INTO t VALUES (';')",
        "-- ; \nUPDATE `a;b` SET c = 1 /* ; */",
    ]
    assert split_statements("SELECT 'it\\'s; one'") == ["SELECT 'it\\'s; one'"]


@pytest.mark.parametrize(
    ("sql", "single"),
    [
        ("DROP TABLE a", ["DROP TABLE a"]),
        (
            "drop table if exists s.a, `b``c`",
            ["DROP TABLE IF EXISTS `s`.`a`", "DROP TABLE IF EXISTS `b``c`"],
        ),
        ("DROP VIEW v, w RESTRICT", ["DROP VIEW `v`", "DROP VIEW `w`"]),
        ("DROP TEMPORARY TABLE a, b", ["DROP TEMPORARY TABLE `a`", "DROP TEMPORARY TABLE `b`"]),
        ("ALTER TABLE t ADD c INT", ["ALTER TABLE t ADD c INT"]),
    ],
)
def test_a_drop_of_several_tables_is_one_for_each(sql: str, single: list[str]) -> None:
    assert parse(sql).single_drops() == single


@pytest.mark.parametrize(
    ("options", "reaches_beyond"),
    [
        ("RENAME TO u", True),
        ("exchange partition p with table u", True),
        ("/*!50500 EXCHANGE */ PARTITION p WITH TABLE u", True),
        ("EXCHANGE /* c */ /*!50500 PARTITION p WITH TABLE u */", True),
        ("CONVERT PARTITION p TO TABLE u", True),
        ("CONVERT TABLE u TO PARTITION p VALUES LESS THAN (9)", True),
        ("DISCARD TABLESPACE", True),
        ("ADD c INT, IMPORT TABLESPACE", True),
        ("IMPORT PARTITION p TABLESPACE", True),
        ("ADD exchange INT, DROP COLUMN discard", False),
        ("RENAME COLUMN a TO b", False),
        ("CONVERT TO CHARACTER SET utf8mb4", False),
        ("DROP PARTITION p", False),
        ("COMMENT 'exchange partition p'", False),
        ("ADD `exchange` INT, ADD partition_id INT", False),
    ],
)
def test_what_reaches_other_tables_or_files_is_told(options: str, reaches_beyond: bool) -> None:
    assert parse(f"ALTER TABLE t {options}").reaches_beyond is reaches_beyond
