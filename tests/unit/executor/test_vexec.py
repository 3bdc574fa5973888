from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.vexec import Insert, Select, Update, parse

UUID = "a0638f6b_ec7b_11ea_9bf8_000d3a9b8a9a"
V9 = (
    "INSERT IGNORE INTO _vt.schema_migrations (migration_uuid, keyspace, shard, mysql_schema, "
    "mysql_table, migration_statement, strategy, options, ddl_action, requested_timestamp, "
    "migration_context, migration_status) VALUES ('{uuid}', 'ks', '-80', 'vt_ks', 't', "
    "'alter table t comment ''it\\'s; \\\\ ok''', 'gh-ost', '--chunk-size=5', 'alter', "
    "FROM_UNIXTIME(1600000000), 'ctx', '{status}')"
)
V8 = (
    "insert ignore _vt.schema_migrations(migration_uuid,keyspace,shard,mysql_schema,mysql_table,"
    "migration_statement,strategy,options,requested_timestamp,migration_status) values "
    "(\"{uuid}\",'ks','-80','vt_ks','t','alter table t engine=innodb','','',"
    "from_unixtime(1600000000.5),'queued');"
)


@pytest.mark.parametrize(
    "query",
    [
        "select * from _vt.schema_migrations",
        "SELECT `migration_uuid` FROM `_vt`.`schema_migrations` WHERE migration_uuid LIKE '%' ;",
        "select /* hi */ shard, count(*) from _vt.schema_migrations group by shard having count(*)"
        " > 1 order by id desc limit 5, 10 -- end",
        "select substring(message from 2), 'from x join y' from _vt.schema_migrations"
        " where requested_timestamp > now() - interval 1 week and (id in (1, 2) or not (id = 3))",
        "select schema_migrations.*, _vt.schema_migrations.`id`, 1.5, .5e3, 0x4A, 1. from"
        " _vt.schema_migrations where schema_migrations . shard = 0b1",
    ],
)
def test_a_select_from_the_table_is_let_through_as_it_is(query: str) -> None:
    statement = parse(query)
    assert isinstance(statement, Select)
    assert statement.sql in query


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("select 1", "table not supported by vexec: dual"),
        ("select * from mysql.user", "table not supported by vexec: mysql.user"),
        ("select * from schema_migrations", "table not supported by vexec: schema_migrations"),
        ("select * from _vt.schema_migrations a", "table not supported"),
        ("select * from _vt.schema_migrations, mysql.user", "table not supported"),
        ("select * from _vt.schema_migrations join mysql.user", "table not supported"),
        ("select * from _vt.schema_migrations, (select 1) x", "table not supported"),
        ("select * from (select * from _vt.schema_migrations) x", "table not supported"),
        ("select (select user from mysql.user) from _vt.schema_migrations", "not supported"),
        ("select * from _vt.schema_migrations where 1 in (table mysql.user)", "not supported"),
        ("select * from _vt.schema_migrations where 1 union select 1", "not supported"),
        ("select * from _vt.schema_migrations where 1 into outfile '/tmp/x'", "not supported"),
        ("select * into @x from _vt.schema_migrations", "not supported"),
        ("select * from _vt.schema_migrations where 1 for update", "not supported"),
        ("select * from _vt.schema_migrations limit 1 lock in share mode", "not supported"),
        ("select sleep(10) from _vt.schema_migrations", "the function sleep"),
        ("select get_lock ('x', 1) from _vt.schema_migrations", "the function get_lock"),
        ("select load_file('/etc/passwd') from _vt.schema_migrations", "load_file"),
        ("select `f`(1) from _vt.schema_migrations", "not supported"),
        ("select mysql.f(1) from _vt.schema_migrations", "not supported"),
        ('select "f"(1) from _vt.schema_migrations', "not supported"),
        ("select @@datadir from _vt.schema_migrations", "not supported"),
        # `*/*` multiplies by what stands behind a comment.
        (
            "select 1*/* from _vt.schema_migrations where (*/1, user from mysql.user where (1)",
            "table not supported by vexec: mysql.user",
        ),
        (
            "select 1*/*!99999 x from _vt.schema_migrations where (*/1, user from mysql.user",
            "versioned comment",
        ),
        ("select (1 from _vt.schema_migrations", "syntax error"),
        ("select 1 from _vt.schema_migrations where (1", "syntax error"),
        ("select 1 from _vt.schema_migrations where 1)", "syntax error"),
        ("select 1 from _vt.schema_migrations where (1 from mysql.user)", "more than one FROM"),
        ("select @a := 1 from _vt.schema_migrations", "not supported"),
        ("select * from _vt.schema_migrations /*! where sleep(1) */", "versioned comment"),
        ("select * from _vt.schema_migrations where id = '\\' union select 1 -- '", "backslash"),
        ('select * from _vt.schema_migrations where id = "\\" union select 1 -- "', "backslash"),
        (
            "select * from _vt.schema_migrations; drop table x",
            "syntax error at position 37 near ';'",
        ),
        ("bad", "syntax error at position 4 near 'bad'"),
        ("select 1 --\x7f from _vt.schema_migrations where 1\nfrom mysql.user", "mysql.user"),
        ("select 1 from _vt.schema_migrations where 1 from mysql.user", "more than one FROM"),
        ("select * from _vt.schema_migrations where 1.lock in share mode", "not supported"),
        ("select * from _vt.schema_migrations where 1 and .5lock in share mode", "not supported"),
        ("select * from _vt.schema_migrations where 1e5lock in share mode", "not supported"),
        ("select * from _vt.schema_migrations where 1.1lock in share mode", "not supported"),
        ("select * from _vt.schema_migrations where 1.union select 2", "not supported"),
        ("", "syntax error"),
        ("show tables", "query not supported by vexec: show tables"),
        ("update _vt.vreplication2 set x = 1", "table not supported by vexec: _vt.vreplication2"),
        (
            "delete from _vt.schema_migrations where id = 1",
            "DELETE statements not supported for this table. query=delete from",
        ),
        ("delete from t", "table not supported by vexec: t"),
    ],
)
def test_everything_else_is_refused_with_vitess_texts(query: str, text: str) -> None:
    with pytest.raises(TabletdError) as caught:
        parse(query)
    assert text in caught.value.message
    assert caught.value.reason is Reason.INVALID_REQUEST


def test_the_v9_insert_is_read_with_its_literals() -> None:
    statement = parse(V9.format(uuid=UUID, status="queued"))
    assert isinstance(statement, Insert)
    new = statement.migration
    assert new.migration_uuid == UUID
    assert new.migration_statement == "alter table t comment 'it's; \\ ok'"
    assert (new.strategy, new.options) == ("gh-ost", "--chunk-size=5")
    assert (new.keyspace, new.mysql_table, new.migration_context) == ("ks", "t", "ctx")
    assert new.requested_unix_seconds == 1_600_000_000


def test_the_v8_insert_is_read_with_its_literals() -> None:
    statement = parse(V8.format(uuid=UUID))
    assert isinstance(statement, Insert)
    assert statement.migration.migration_uuid == UUID
    assert statement.migration.strategy == ""
    assert statement.migration.requested_unix_seconds == 1_600_000_000.5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("IGNORE ", ""),
        ("'ks'", "database()"),
        ("'ks'", "NULL"),
        ("'ks'", "x'41'"),
        ("'ks'", "'a' 'b'"),
        ("FROM_UNIXTIME(1600000000)", "1600000000"),
        ("FROM_UNIXTIME(1600000000)", "now()"),
        ("migration_context, migration_status)", "migration_status, migration_context)"),
        ("keyspace", "KEYSPACE"),
        ("VALUES", "SELECT"),
        ("'queued')", "'queued'), ('x')"),
        ("'queued')", "'queued') ON DUPLICATE KEY UPDATE id = 1"),
    ],
)
def test_an_insert_of_another_form_is_refused_with_the_templates(old: str, new: str) -> None:
    query = V9.format(uuid=UUID, status="queued")
    assert old in query
    with pytest.raises(TabletdError, match="Query must match one of these templates: INSERT"):
        parse(query.replace(old, new, 1))


def test_only_queued_migrations_of_a_possible_time_can_be_inserted() -> None:
    with pytest.raises(TabletdError, match="not 'complete'"):
        parse(V9.format(uuid=UUID, status="complete"))
    with pytest.raises(TabletdError, match="requested_timestamp '99999999999'"):
        parse(V9.format(uuid=UUID, status="queued").replace("1600000000", "99999999999"))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("mysql_schema='vt'", Update("retry", "vt", None, "")),
        (f"mysql_schema='vt' AND migration_uuid='{UUID}'", Update("retry", "vt", UUID, "")),
        (
            f'shard="-80" and migration_uuid="{UUID}" and `mysql_schema` = 5',
            Update("retry", "5", UUID, "-80"),
        ),
    ],
)
def test_the_three_update_templates_are_read_in_any_order(where: str, expected: Update) -> None:
    query = f"update _vt.schema_migrations set migration_status = 'retry' where {where};"
    assert parse(query) == expected


@pytest.mark.parametrize(
    "tail",
    [
        "set migration_status='cancel'",
        f"set migration_status='cancel' where migration_uuid='{UUID}'",
        "set migration_status='cancel' where mysql_schema='a' and shard='b'",
        "set migration_status='cancel' where mysql_schema='a' or migration_uuid='b'",
        "set migration_status='cancel' where mysql_schema='a' and migration_uuid='b' limit 1",
        "set migration_status='cancel' where mysql_schema='a' order by id",
        "set migration_status='cancel' where (mysql_schema='a')",
        "set migration_status='cancel' where mysql_schema='a' and mysql_schema='b'",
        "set migration_status='cancel' where mysql_schema=database()",
        "set migration_status='cancel' where mysql_schema>'a'",
        "set migration_status='cancel' where MYSQL_SCHEMA='a'",
        "set migration_status='cancel' where mysql_schema='a' and",
        "set migration_status='cancel', shard='x' where mysql_schema='a'",
        "set migration_status=concat('a') where mysql_schema='a'",
        "set shard='x' where mysql_schema='a'",
    ],
)
def test_an_update_of_another_form_is_refused_with_the_templates(tail: str) -> None:
    with pytest.raises(TabletdError, match="Query must match one of these templates: UPDATE"):
        parse(f"update _vt.schema_migrations {tail}")


def test_a_query_that_would_hold_up_the_daemon_is_refused() -> None:
    with pytest.raises(TabletdError, match="characters, 1048576 are the most"):
        parse("select 1" + " " * 1_048_576 + "from _vt.schema_migrations")
    with pytest.raises(TabletdError, match="more than 20000 words and signs"):
        parse("select 1" + ",1" * 20_000 + " from _vt.schema_migrations")
