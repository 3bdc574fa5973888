"""What of the rig is pure: seeds, phases, the reading of the servers' logs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tabletd.sandbox.releases import ReleaseName
from tests.faults.fixed import plans
from tests.faults.general_log import Span, overlaps, spans
from tests.faults.kinds import KINDS, Family, Target, kind_named, may_join
from tests.faults.phases import Phase, is_reached, phase_of
from tests.faults.plan import draw
from tests.faults.tally import read_logs, without_directories

ONE, OTHER = (f"01234567_89ab_11f1_8123_02fc00000001_2026112310000{n}" for n in (1, 2))
MYSQL_LOG = f"""mysqld, Version: 5.7.22-log (MySQL Community Server (GPL)). started with:
Tcp port: 15001  Unix socket: /tmp/x/mysql.sock
Time                 Id Command    Argument
2026-11-23T10:00:00.000001Z\t    2 Connect\ttabletd_00000001@127.0.0.1 on shop using TCP/IP
2026-11-23T10:00:00.100001Z\t    2 Query\tinsert /* gh-ost */ ignore into
\t\t\t`shop`.`_{ONE}_gho`
2026-11-23T10:00:00.200001Z\t    3 Connect\troot@127.0.0.1 on  using TCP/IP
2026-11-23T10:00:00.300001Z\t    3 Query\tDROP TABLE IF EXISTS `shop`.`_{ONE}_gho`
2026-11-23T10:00:00.400001Z\t    2 Binlog Dump\tLog: 'binlog.000001'  Pos: 4
"""
MARIADB_LOG = f"""/usr/sbin/mariadbd, Version: 10.11.14-MariaDB (Debian 12). started with:
Tcp port: 15002  Unix socket: /tmp/x/mysql.sock
Time\t\t    Id Command\tArgument
261123 10:00:00\t     4 Connect\ttabletd_0000000a@127.0.0.1 on shop using TCP/IP
\t\t     4 Query\tINSERT LOW_PRIORITY IGNORE INTO `shop`.`_{ONE}_new` (`id`)
261123 10:00:02\t     5 Connect\ttabletd_0000000a@127.0.0.1 on shop using TCP/IP
\t\t     5 Query\tCREATE TABLE `shop`.`_{OTHER}_new` (
\t\t     4 Quit\t
"""


def row(status: str = "running", stage: str = "", copied: int = 0, progress: float = 0.0) -> Any:
    return {
        "migration_status": status,
        "stage": stage,
        "rows_copied": copied,
        "progress": progress,
    }


def test_a_seed_gives_the_same_plan_again() -> None:
    plans = [draw(seed) for seed in range(200)]
    assert plans == [draw(seed) for seed in range(200)]
    assert len({str(plan) for plan in plans}) == 200


def test_another_server_changes_nothing_else_of_a_plan() -> None:
    plans = [draw(seed, tool="pt-osc", server=ReleaseName.MYSQL_80) for seed in range(50)]
    assert {plan.server for plan in plans} == {ReleaseName.MYSQL_80}
    drawn = [draw(seed, tool="pt-osc") for seed in range(50)]
    assert [plan.faults for plan in plans] == [plan.faults for plan in drawn]


def test_a_line_of_the_log_names_no_directory_of_the_machine() -> None:
    text = 'File "/home/me/tests/faults/run.py", line 108: left /tmp/a-b/run-0/x_1, and/or y'
    assert without_directories(text) == 'File "run.py", line 108: left x_1, and/or y'


def test_lines_of_older_logs_without_a_message_are_counted_as_well(tmp_path: Path) -> None:
    log = tmp_path / "log.tsv"
    line = "7\tpt-osc\tmariadb\ttool-kill\tcopying 5%\tfailed\thit\t9.0\tok"
    log.write_text(f"{line}\n{line}\tpt-online-schema-change ended by signal 9\n")
    assert [(one.row, one.status, one.is_good) for one in read_logs([log])] == [
        ("tool-kill", "failed", True)
    ] * 2


def test_every_kind_that_may_fail_a_migration_says_what_the_message_names() -> None:
    for kind in KINDS:
        assert ("failed" in kind.ends) == bool(kind.words), kind.name
        assert re.search(kind.words or "x", "internal error a0df5ed82a92") is None, kind.name


def test_what_a_tool_does_not_need_does_not_restart_it() -> None:
    kept = {kind.name for kind in KINDS if kind.keeps_run}
    assert {"daemon-kill", "daemon-server-cut", "hook-daemon-stall", "replica-kill"} <= kept
    assert not kept & {"tool-kill", "server-kill", "role-change", "read-only", "sidecar-dropped"}


def test_every_kind_tool_and_phase_is_drawn_by_some_seed() -> None:
    plans = [draw(seed) for seed in range(3_000)]
    faults = [fault for plan in plans for fault in plan.faults]
    assert {fault.kind.name for fault in faults} == {kind.name for kind in KINDS}
    assert {fault.phase for fault in faults} == set(Phase)
    assert {plan.tool for plan in plans} == {"gh-ost", "pt-osc"}
    assert {len(plan.faults) for plan in plans} == {1, 2}
    assert all(plan.server is ReleaseName.MYSQL_57 for plan in plans if plan.tool == "gh-ost")


def test_kinds_have_names_of_their_own_and_two_at_once_hurt_different_things() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert not may_join(kind_named("daemon-kill"), kind_named("daemon-stop"))
    assert not may_join(kind_named("role-change"), kind_named("replica-kill"))
    assert may_join(kind_named("daemon-kill"), kind_named("read-only"))
    assert may_join(kind_named("read-only"), kind_named("daemon-kill"))
    with pytest.raises(LookupError, match="daemon-kill"):
        kind_named("daemon-tickled")


def test_the_runs_of_the_test_suite_hurt_every_target_by_every_family() -> None:
    fixed = [plan for tool in ("gh-ost", "pt-osc") for plan in plans(tool)]
    kinds = [fault.kind for plan in fixed for fault in plan.faults]
    assert len(fixed) == 12
    assert {kind.target for kind in kinds} == set(Target)
    assert {kind.family for kind in kinds} == set(Family)


@pytest.mark.parametrize(
    ("now", "is_swapped", "phase"),
    [
        (None, False, Phase.QUEUED),
        (row("queued"), False, Phase.QUEUED),
        (row(stage="gh-ost: validating"), False, Phase.QUEUED),
        (row(stage="gh-ost: dry run"), False, Phase.DRY_RUN),
        (row(stage="gh-ost: run"), False, Phase.COPYING),
        (row(stage="gh-ost: copying rows", copied=10, progress=3), False, Phase.COPYING),
        (row(stage="gh-ost: ready to swap", copied=10, progress=100), False, Phase.SWAPPING),
        (row(stage="gh-ost: swapping", copied=10, progress=100), True, Phase.ENDING),
        (row("failed"), False, Phase.ENDING),
    ],
)
def test_the_phase_is_read_from_the_row(now: Any, is_swapped: bool, phase: Phase) -> None:
    assert phase_of(now, is_swapped=is_swapped) is phase


def test_a_point_that_was_passed_counts_as_reached() -> None:
    copying = row(stage="pt-osc: copying rows", copied=10, progress=40)
    assert is_reached(Phase.DRY_RUN, 0.9, copying, is_swapped=False)
    assert is_reached(Phase.COPYING, 0.4, copying, is_swapped=False)
    assert not is_reached(Phase.COPYING, 0.5, copying, is_swapped=False)
    assert not is_reached(Phase.SWAPPING, 0.0, copying, is_swapped=False)


def test_a_mysql_log_tells_when_a_runs_tool_was_at_work() -> None:
    assert spans(MYSQL_LOG.splitlines()) == [Span(ONE, 6, 6)]


def test_a_mariadb_log_does_so_and_a_late_quit_is_no_work() -> None:
    found = spans(MARIADB_LOG.splitlines())
    assert found == [Span(ONE, 5, 5), Span(OTHER, 7, 7)]
    assert overlaps(found) == []


def test_runs_that_worked_at_the_same_time_are_named() -> None:
    assert overlaps([Span("one", 1, 9), Span("other", 5, 20)]) == [
        "one (lines 1 to 9) and other (lines 5 to 20)"
    ]


def test_threads_are_counted_anew_after_a_restart_of_the_server() -> None:
    again = [
        *MYSQL_LOG.splitlines(),
        "mysqld, Version: 5.7.22-log. started with:",
        f"2026-11-23T10:01:00.000001Z\t    2 Query\tDROP TABLE `shop`.`_{ONE}_gho`",
    ]
    assert spans(again) == [Span(ONE, 6, 6)]
