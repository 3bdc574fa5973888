"""Bytes that Vitess's own published code wrote, read and written again by our stubs.

golden/run.sh makes the files: one JSON object to a line, with the message's type, its bytes and its
fields as Go's JSON shows them.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import tomllib
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

import tabletd_pb
from tabletd_pb import query_pb2, tabletmanagerdata_pb2, vtctldata_pb2

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | None"

HERE = Path(__file__).parent
RELEASES = ("v0.9.0", "v0.21.0", "v0.23.0")
EVERY_TYPE = "a result with a column of every type"

# What v0.9.0 calls what has another name today; the numbers are the same.
RENAMED = {
    "file_relay_log_position": "relay_log_source_binlog_equivalent_position",
    "blacklisted_tables": "denied_tables",
    "is_master_serving": "is_primary_serving",
    "master_alias": "primary_alias",
    "master_connect_retry": "connect_retry",
    "master_host": "source_host",
    "master_port": "source_port",
    "master_server_id": "source_server_id",
    "master_term_start_time": "primary_term_start_time",
    "master_uuid": "source_uuid",
    "seconds_behind_master": "replication_lag_seconds",
    "seconds_behind_master_filtered_replication": "filtered_replication_lag_seconds",
    "tablet_externally_reparented_timestamp": "primary_term_start_timestamp",
    "MASTER": "PRIMARY",
}

# Go writes the members of a oneof after all other fields, Python in the order of the numbers: both
# are right.
WITH_ONEOF = {"query.ExecuteOptions", "query.ExecuteRequest"}

for _module in pkgutil.iter_modules(tabletd_pb.__path__):
    if _module.name.endswith("_pb2"):
        importlib.import_module(f"tabletd_pb.{_module.name}")


class Golden(NamedTuple):
    """One message as Vitess wrote it."""

    release: str
    case: str
    type: str
    wire: bytes
    fields: Json

    def parsed(self) -> Message:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(self.type)
        return message_factory.GetMessageClass(descriptor).FromString(self.wire)


def _read(release: str) -> list[Golden]:
    lines = (HERE / "golden" / f"{release}.jsonl").read_text().splitlines()
    return [
        Golden(release, line["case"], line["type"], bytes.fromhex(line["hex"]), line["fields"])
        for line in map(json.loads, lines)
    ]


GOLDEN = [golden for release in RELEASES for golden in _read(release)]


def _golden(release: str, case: str) -> Golden:
    return next(found for found in GOLDEN if (found.release, found.case) == (release, case))


def _with_todays_names(value: Json) -> Json:
    """Rename the keys, and the one enum value, that are called otherwise today."""
    if isinstance(value, dict):
        return {RENAMED.get(name, name): _with_todays_names(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_todays_names(each) for each in value]
    return RENAMED.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: f"{golden.release}: {golden.case}")
def test_what_vitess_wrote_is_read_field_by_field_and_written_as_the_same_bytes(
    golden: Golden,
) -> None:
    message = golden.parsed()
    fields = json_format.MessageToDict(message, preserving_proto_field_name=True)
    expected = _with_todays_names(golden.fields) if golden.release == "v0.9.0" else golden.fields
    assert fields == expected
    written = message.SerializeToString(deterministic=True)
    if golden.type in WITH_ONEOF:
        assert sorted(written) == sorted(golden.wire)
    else:
        assert written == golden.wire


def test_every_pinned_message_of_vitess_is_among_the_golden_ones() -> None:
    pinned: set[str] = set()
    for path in (HERE / "pinned").glob("*.toml"):
        pinned |= set(tomllib.loads(path.read_text()).get("messages", {}))
    theirs = {name for name in pinned if not name.startswith("tabletd.")}
    assert theirs - {golden.type for golden in GOLDEN} == set()


@pytest.mark.parametrize("release", RELEASES)
def test_cells_of_every_type_are_cut_out_of_a_row_by_their_lengths(release: str) -> None:
    result = query_pb2.QueryResult.FromString(_golden(release, EVERY_TYPE).wire)
    full, null, empty = result.rows
    cells: dict[str, bytes] = {}
    rest = full.values
    for field, length in zip(result.fields, full.lengths, strict=True):
        cells[query_pb2.Type.Name(field.type)] = rest[:length]
        rest = rest[length:]
    assert rest == b""
    assert cells["INT64"] == b"-9223372036854775808"
    assert cells["DATETIME"] == b"0000-00-00 00:00:00"
    assert cells["BLOB"] == b"\x00\xff'\"\\\n"
    assert cells["VARCHAR"].decode() == "snow \u2603 and \U0001f42c"
    assert set(null.lengths) == {-1}
    assert set(empty.lengths) == {0}
    assert null.values == empty.values == b""


def test_todays_release_knows_every_type_that_we_know() -> None:
    result = query_pb2.QueryResult.FromString(_golden(RELEASES[-1], EVERY_TYPE).wire)
    assert sorted(field.type for field in result.fields) == sorted(query_pb2.Type.values())


def test_strategies_of_the_last_release_that_had_them_keep_their_names() -> None:
    strategy = vtctldata_pb2.SchemaMigration.Strategy
    for case, name in (
        ("a gh-ost migration that runs", "GHOST"),
        ("a pt-osc migration that failed", "PTOSC"),
    ):
        migration = vtctldata_pb2.SchemaMigration.FromString(_golden("v0.21.0", case).wire)
        assert strategy.Name(migration.strategy) == name


def test_a_cell_of_a_vexec_answer_can_be_null() -> None:
    wire = _golden("v0.9.0", "a VExec answer with one row and one NULL").wire
    (row,) = tabletmanagerdata_pb2.VExecResponse.FromString(wire).result.rows
    assert (list(row.lengths), row.values) == ([7, -1], b"running")
