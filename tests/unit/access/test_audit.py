"""What is kept of a call, and what is not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabletd.access.audit import AuditLog, shown_sql
from tabletd.access.caller import Caller
from tabletd.access.roles import Role
from tabletd.servicers.guard import target
from tabletd_pb import query_pb2, vtctldata_pb2
from tabletd_pb import tabletmanagerdata_pb2 as tm


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE USER x IDENTIFIED BY 'sesame'",
        'alter user x identified by "sesame"',
        "SET PASSWORD FOR x = PASSWORD('sesame')",
        "CHANGE MASTER TO MASTER_PASSWORD='sesame', MASTER_HOST='h'",
        "CREATE USER x IDENTIFIED BY 'it''s sesame'",
        r"CREATE USER x IDENTIFIED BY 'it\'s sesame'",
        "CREATE USER x IDENTIFIED BY 'sesame",
        "CREATE USER x IDENTIFIED BY\n'se\nsame sesame'",
    ],
)
def test_what_may_be_a_password_in_a_statement_is_left_out(sql: str) -> None:
    assert "sesame" not in shown_sql(sql)


@given(st.text(alphabet="a'\"\\ \n", max_size=30))
def test_no_text_in_quotes_survives_beside_a_password(text: str) -> None:
    quoted = "'" + text.replace("\\", "\\\\").replace("'", "''") + "MARK'"
    assert "MARK" not in shown_sql(f"CREATE USER u IDENTIFIED BY {quoted}")


def test_other_statements_are_kept_as_they_are_up_to_a_length() -> None:
    assert shown_sql("ALTER TABLE t COMMENT 'x'") == "ALTER TABLE t COMMENT 'x'"
    assert len(shown_sql("x" * 100_000)) < 2100


def test_a_text_that_is_cut_in_the_middle_shows_no_password() -> None:
    shown = shown_sql("CREATE USER x IDENTIFIED BY '" + "sesame" * 1000 + "'")
    assert "sesame" not in shown


def test_a_request_of_megabytes_is_a_short_line() -> None:
    request = vtctldata_pb2.ApplySchemaRequest(
        keyspace="k" * 1_000_000, sql=["x" * 9000] * 500, uuid_list=["u" * 290] * 5000
    )
    found = target(request)
    assert len(json.dumps(found)) < 60_000
    assert found["uuid_list"] == ["u" * 290] * 20 + ["... and 4980 more"]


async def test_a_line_that_is_not_written_whole_is_put_into_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def write_some(descriptor: int, line: bytes) -> int:
        return write(descriptor, line[:20])

    monkeypatch.setattr(os, "write", write_some)
    audit = AuditLog(tmp_path / "audit.log", "zone1-0000000100")
    caller = Caller(role=Role.ADMIN, user="ann")
    await audit.note(caller, "a/method", {}, code="OK", reason="", began_seconds=0.0)
    (said,) = caplog.messages
    assert "No space left on device" in said
    assert '"user": "ann"' in said


def test_a_target_is_what_the_request_names() -> None:
    request = vtctldata_pb2.CancelSchemaMigrationRequest(keyspace="shop", uuid="u")
    assert target(request) == {"keyspace": "shop", "uuid": "u"}
    writable = vtctldata_pb2.SetWritableRequest(writable=True)
    writable.tablet_alias.cell, writable.tablet_alias.uid = "zone1", 100
    assert target(writable) == {"tablet_alias": "zone1-0000000100", "writable": True}
    execute = query_pb2.ExecuteRequest(query=query_pb2.BoundQuery(sql="SELECT 1"))
    assert target(execute) == {"query": "SELECT 1"}
    fetch = tm.ExecuteFetchAsDbaRequest(query=b"\xff", db_name="shop")
    assert target(fetch) == {"db_name": "shop", "query": "\ufffd"}
    assert target(tm.SetReadOnlyRequest()) == {}
