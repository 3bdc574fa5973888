from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tabletd.executor.names import is_online_ddl_uuid
from tabletd.executor.vexec import Insert, parse
from tabletd.sandbox.vexec_client import literal, new_migration_uuid, records_of
from tabletd_pb import query_pb2


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_comes_through_a_literal_unchanged(text: str) -> None:
    values = ", ".join(
        [*(["'x'"] * 4), "'t'", literal(text), "'direct'", "''", "FROM_UNIXTIME(1)", "'queued'"]
    )
    parsed = parse(
        "INSERT IGNORE INTO _vt.schema_migrations (migration_uuid, keyspace, shard, mysql_schema, "
        "mysql_table, migration_statement, strategy, options, requested_timestamp, "
        f"migration_status) VALUES ({values})"
    )
    assert isinstance(parsed, Insert)
    assert parsed.migration.migration_statement == text


def test_a_new_uuid_is_one_that_the_executor_takes() -> None:
    assert is_online_ddl_uuid(new_migration_uuid())


def test_packed_rows_become_texts_by_column_name_and_null_becomes_none() -> None:
    result = query_pb2.QueryResult(
        fields=[query_pb2.Field(name=name) for name in ("a", "b", "c", "d")],
        rows=[query_pb2.Row(lengths=[1, -1, 0, 4], values="1☃!".encode())],
    )
    assert records_of(result) == [{"a": "1", "b": None, "c": "", "d": "☃!"}]
