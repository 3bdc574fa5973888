"""Rows become messages, and requests become SQL."""

from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.topology import TabletPlace
from tabletd.vtctld.schema_migration import read_listing, to_message
from tabletd_pb import vtctldata_pb2 as pb
from tabletd_pb import vttime_pb2
from tabletd_pb.vtctldata_pb2 import SchemaMigration
from tests.support.migration_rows import UUID, column_names, row

TABLET = TabletPlace("zone1", 100, "shop", "-80", "db1", 16100)


def where(request: pb.GetSchemaMigrationsRequest) -> str:
    return read_listing(request).where


def test_each_field_of_the_message_is_filled_from_its_column() -> None:
    message = to_message(
        row(
            id=b"7",
            added_timestamp=b"1700000000",
            completed_timestamp=b"1700000009.250000",
            stage=b"gh-ost: done",
            tablet=b"zone1-0000000101",
            migration_statement="ALTER TABLE é ADD c int".encode(),
            progress=b"99.5",
            eta_seconds=b"-1",
            rows_copied=b"18446744073709551615",
            table_rows=b"-3",
            is_view=b"0",
            allow_concurrent=b"1",
            message=b"all is well",
            cutover_attempts=b"2",
            in_order_completion_pending_count=b"4",
        ),
        TABLET,
    )
    assert message.uuid == UUID
    assert (message.keyspace, message.shard) == ("shop", "-80")
    assert (message.schema, message.table) == ("shop", "orders")
    assert message.migration_statement == "ALTER TABLE é ADD c int"
    assert message.added_at.seconds == 1_700_000_000
    assert (message.completed_at.seconds, message.completed_at.nanoseconds) == (
        1_700_000_009,
        250_000_000,
    )
    assert not message.HasField("started_at")
    assert message.status == SchemaMigration.COMPLETE
    assert (message.tablet.cell, message.tablet.uid) == ("zone1", 101)
    assert message.progress == 99.5
    assert message.eta_seconds == -1
    assert message.rows_copied == 2**64 - 1
    assert message.table_rows == -3
    assert message.allow_concurrent
    assert not message.is_view
    assert message.message == "all is well"
    assert message.cutover_attempts == 2
    assert message.in_order_completion_pending_count == 4
    assert message.artifact_retention.seconds == 86_400


def test_a_shard_or_message_that_reads_0_is_told() -> None:
    message = to_message(row(shard=b"0", message=b"0", retries=b"0", is_view=b"0"), TABLET)
    assert (message.shard, message.message) == ("0", "0")
    assert (message.retries, message.is_view) == (0, False)


def test_every_field_has_a_column() -> None:
    cells = dict.fromkeys(column_names(), b"1")
    cells |= {"migration_status": b"running", "strategy": b"mysql", "tablet": b"zone1-5"}
    message = to_message(row(**cells), TABLET)
    unset = {
        field.name
        for field in SchemaMigration.DESCRIPTOR.fields
        if field.name not in {present.name for present, _ in message.ListFields()}
    }
    assert unset == set()


@pytest.mark.parametrize(
    ("text", "number"),
    [(b"gh-ost", 1), (b"pt-osc", 2), (b"direct", 3), (b"mysql", 4), (b"online", 0), (b"vitess", 0)],
)
def test_a_strategy_has_the_number_of_vitess(text: bytes, number: int) -> None:
    assert to_message(row(strategy=text), TABLET).strategy == number


@pytest.mark.parametrize(
    ("strategy", "stage", "shown"),
    [
        (b"gh-ost", b"copying rows", "gh-ost: copying rows"),
        (b"gh-ost", b"gh-ost: copying rows", "gh-ost: copying rows"),
        (b"pt-osc", b"", "pt-osc"),
        (b"pt-osc", None, "pt-osc"),
        (b"mysql", b"running", "running"),
    ],
)
def test_the_stage_names_a_tool_that_clients_have_no_name_for(
    strategy: bytes, stage: bytes | None, shown: str
) -> None:
    assert to_message(row(strategy=strategy, stage=stage), TABLET).stage == shown


def test_a_migration_that_nobody_has_run_is_shown_at_the_tablet_that_has_it() -> None:
    message = to_message(row(tablet=b""), TABLET)
    assert (message.tablet.cell, message.tablet.uid) == ("zone1", 100)


def test_artifacts_given_up_early_have_a_negative_retention_that_is_valid() -> None:
    retention = to_message(row(retain_artifacts_seconds=b"-1"), TABLET).artifact_retention
    assert (retention.seconds, retention.nanos) == (-1, 0)


@pytest.mark.parametrize("zero", [b"0", b"0.000000", None])
def test_a_missing_or_zero_time_is_absent(zero: bytes | None) -> None:
    assert not to_message(row(started_timestamp=zero), TABLET).HasField("started_at")


def test_the_first_filter_that_is_set_counts() -> None:
    request = pb.GetSchemaMigrationsRequest(
        uuid=UUID,
        migration_context="c",
        status=SchemaMigration.FAILED,
        recent=vttime_pb2.Duration(seconds=5),
    )
    assert where(request) == f"migration_uuid = '{UUID}'"
    request.uuid = ""
    assert where(request) == "migration_context = _utf8mb4 X'63'"
    request.migration_context = ""
    assert where(request) == "migration_status = 'failed'"
    request.status = SchemaMigration.UNKNOWN
    assert "requested_timestamp) > UNIX_TIMESTAMP() - 5.000" in where(request)
    request.ClearField("recent")
    assert where(request) == ""


def test_no_text_of_a_caller_is_read_as_sql() -> None:
    context = "' OR 1=1 -- \\"
    sql = where(pb.GetSchemaMigrationsRequest(migration_context=context))
    assert "OR" not in sql
    assert bytes.fromhex(sql.split("'")[1]).decode() == context


def test_a_uuid_in_capitals_is_found_and_another_text_refused() -> None:
    assert UUID in where(pb.GetSchemaMigrationsRequest(uuid=UUID.upper()))
    with pytest.raises(TabletdError, match="Not a valid UUID: x' OR ''='") as caught:
        where(pb.GetSchemaMigrationsRequest(uuid="x' OR ''='"))
    assert caught.value.reason is Reason.INVALID_REQUEST


def test_a_number_that_is_no_status_and_a_negative_time_are_refused() -> None:
    odd = pb.GetSchemaMigrationsRequest.FromString(b"\x20\x63")  # status = 99
    with pytest.raises(TabletdError, match="99 is no status"):
        read_listing(odd)
    with pytest.raises(TabletdError, match="cannot be negative"):
        read_listing(pb.GetSchemaMigrationsRequest(recent=vttime_pb2.Duration(seconds=-5)))


@pytest.mark.parametrize(
    ("request_", "ending"),
    [
        (pb.GetSchemaMigrationsRequest(), "ORDER BY added_timestamp ASC, id ASC"),
        (
            pb.GetSchemaMigrationsRequest(order=pb.DESCENDING, limit=3, skip=4),
            "ORDER BY added_timestamp DESC, id DESC LIMIT 7",
        ),
        (pb.GetSchemaMigrationsRequest(skip=4), "ORDER BY added_timestamp ASC, id ASC"),
        (
            pb.GetSchemaMigrationsRequest(limit=2**64 - 1, skip=2**64 - 1),
            f"ASC LIMIT {2**63}",
        ),
    ],
)
def test_a_shard_gives_enough_rows_for_any_share_of_the_answer(
    request_: pb.GetSchemaMigrationsRequest, ending: str
) -> None:
    assert read_listing(request_).select.endswith(ending)
