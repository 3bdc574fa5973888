"""How the doctor's report is written, and what a server's variables make it say."""

from __future__ import annotations

import json

import pytest

from tabletd.doctor.findings import Finding, Line, Verdict, fail, ok, warn
from tabletd.doctor.report import as_json, as_text, is_fit
from tabletd.doctor.variables import variable_findings

LINES = [
    Line("ports", ok("16100 is free")),
    Line("clock", warn("apart", "timedatectl set-ntp true")),
    Line("grants", fail("SELECT missing", "GRANT SELECT ON `shop`.* TO 'tabletd'@'%';")),
]
GOOD = {
    "log_bin": "ON",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "log_slave_updates": "ON",
    "gtid_mode": "ON",
    "innodb_flush_log_at_trx_commit": "1",
    "sync_binlog": "1",
    "innodb_file_per_table": "ON",
    "expire_logs_days": "10",
}


def test_each_finding_is_a_line_with_its_remedy_below() -> None:
    assert as_text(LINES).splitlines() == [
        "ok    ports: 16100 is free",
        "warn  clock: apart",
        "      -> timedatectl set-ntp true",
        "FAIL  grants: SELECT missing",
        "      -> GRANT SELECT ON `shop`.* TO 'tabletd'@'%';",
        "1 ok, 1 warn, 1 FAIL",
    ]


def test_programs_get_the_same_as_json() -> None:
    told = json.loads(as_json(LINES))
    assert told["fit"] is False
    assert told["findings"][1] == {
        "check": "clock",
        "verdict": "warn",
        "text": "apart",
        "remedy": "timedatectl set-ntp true",
    }


def test_doubts_alone_are_no_failure() -> None:
    assert is_fit(LINES[:2])
    assert not is_fit(LINES)


def test_a_server_that_is_set_as_it_should_be_is_fit() -> None:
    assert variable_findings(GOOD) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_bin", "OFF"),
        ("binlog_format", "STATEMENT"),
        ("binlog_row_image", "MINIMAL"),
        ("log_slave_updates", "OFF"),
        ("gtid_mode", "OFF"),
        ("innodb_flush_log_at_trx_commit", "2"),
        ("sync_binlog", "0"),
        ("innodb_file_per_table", "OFF"),
    ],
)
def test_a_variable_that_is_set_otherwise_is_named_with_what_mends_it(
    name: str, value: str
) -> None:
    (found,) = variable_findings({**GOOD, name: value})
    assert found.verdict is Verdict.WARN
    assert found.text.startswith(f"{name} is {value}: ")
    assert found.remedy


def test_without_a_binary_log_its_own_settings_do_not_matter() -> None:
    bad = {**GOOD, "log_bin": "OFF", "binlog_format": "STATEMENT", "sync_binlog": "0"}
    assert [found.text.split()[0] for found in variable_findings(bad)] == ["log_bin"]


@pytest.mark.parametrize(
    ("name", "value", "is_enough"),
    [
        ("binlog_expire_logs_seconds", "3600", False),
        ("binlog_expire_logs_seconds", "2592000", True),
        ("binlog_expire_logs_seconds", "0", True),
        ("expire_logs_days", "1", True),
        ("expire_logs_days", "0.5", False),
    ],
)
def test_binary_logs_are_kept_for_a_day(name: str, value: str, is_enough: bool) -> None:
    rest = {key: text for key, text in GOOD.items() if key != "expire_logs_days"}
    found: list[Finding] = variable_findings({**rest, name: value})
    assert (found == []) is is_enough
