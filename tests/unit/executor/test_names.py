from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tabletd.executor.names import (
    TableGCState,
    create_gc_uuid,
    create_uuid,
    gc_table_name,
    ghost_binary_file_name,
    is_online_ddl_uuid,
    migration_id_of,
    parse_gc_table_name,
    ptosc_file_name,
    random_hash,
    readable_timestamp,
    to_readable_timestamp,
)


def test_random_hashes_are_64_hexadecimal_digits_and_differ() -> None:
    first, second = random_hash(), random_hash()
    assert len(first) == len(second) == 64
    assert first != second
    assert set(first) <= set("0123456789abcdef")


def test_a_readable_timestamp_keeps_the_zone_of_its_moment() -> None:
    moment = datetime(2015, 2, 25, 11, 6, 39, 999_999, tzinfo=timezone(timedelta(hours=-7)))
    assert to_readable_timestamp(moment) == "20150225110639"
    assert len(readable_timestamp()) == 14


def test_generated_uuids_are_valid_and_lower_case() -> None:
    uuids = {create_uuid() for _ in range(20)}
    assert len(uuids) == 20
    assert all(is_online_ddl_uuid(uuid) and uuid == uuid.lower() for uuid in uuids)


@pytest.mark.parametrize(
    "text",
    [
        "a0638f6b_ec7b_11ea_9bf8_000d3a9b8a9a_",
        "_a0638f6b_ec7b_11ea_9bf8_000d3a9b8a9a",
        "a0638f6b_ec7b_11ea_9bf8_000d3a9b8a9z",
        "a0638f6b-ec7b-11ea-9bf8-000d3a9b8a9a",
        "a0638f6b_ec7b_11ea_9bf8_000d3a9b8a9",
        "A0638F6B_EC7B_11EA_9BF8_000D3A9B8A9A",
        "a0638f6b_ec7b_11ea_9bf8_000d3a9b8a9a\n",
        "",
    ],
)
def test_other_texts_are_no_uuids(text: str) -> None:
    assert not is_online_ddl_uuid(text)


def test_tool_paths_are_the_configured_ones_or_the_documented_defaults() -> None:
    assert ghost_binary_file_name("/opt/gh-ost") == ("/opt/gh-ost", True)
    assert ghost_binary_file_name() == (f"{tempfile.gettempdir()}/vt-gh-ost", False)
    assert ptosc_file_name("/opt/pt") == ("/opt/pt", True)
    assert ptosc_file_name() == ("/usr/bin/pt-online-schema-change", False)


@pytest.mark.parametrize("state", list(TableGCState))
def test_a_gc_name_says_what_was_put_into_it(state: TableGCState) -> None:
    due = datetime(2026, 11, 23, 7, 8, 9, tzinfo=UTC)
    gc_uuid = create_gc_uuid(77)
    assert migration_id_of(gc_uuid) == 77
    assert gc_uuid != create_gc_uuid(77)
    name = gc_table_name(state, gc_uuid, due)
    table = parse_gc_table_name(name)
    assert table is not None
    assert (table.state, table.gc_uuid, table.due) == (state, gc_uuid, due)
    assert len(name) == 56
    assert name == name.lower()


def test_the_older_form_of_gc_names_is_recognised() -> None:
    table = parse_gc_table_name("_vt_HOLD_6ace8bcef73211ea87e9f875a4d24e90_20200915120410")
    assert table is not None
    assert table.state is TableGCState.HOLD
    assert table.due == datetime(2020, 9, 15, 12, 4, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "_vt_hold_6ace8bcef73211ea87e9f875a4d24e90_20200915120410",
        "_vt_hld_6ace8bcef73211ea87e9f875a4d24e90_20200915120410",
        "_vt_hld_6ace8bcef73211ea87e9f875a4d24e90_20209915120410_",
        "_vt_DROP_6ace8bcef73211ea87e9f875a4d24e9_20200915120410",
        "t",
    ],
)
def test_other_tables_are_no_gc_tables(name: str) -> None:
    assert parse_gc_table_name(name) is None
