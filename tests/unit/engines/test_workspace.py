"""Private directories and the logs that outlive them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.engines.workspace import Workspace, new_workspace, prune, read_log
from tabletd.executor.migration import Migration, Strategy

UUID = "a0638f6b_ec7b_11ea_9bf8_000d3a9b8a9a"


def settings(tmp_path: Path) -> EngineSettings:
    return EngineSettings(
        tablet_alias="zone1-0000000100",
        run_directory=tmp_path / "run",
        log_directory=tmp_path / "log",
        gh_ost_path="",
        pt_osc_path="",
        callback_url=lambda: "",
    )


def workspace(tmp_path: Path) -> Workspace:
    migration = Migration(1, UUID, "ks", "0", "shop", "orders", "", Strategy.GH_OST)
    return new_workspace(settings(tmp_path), migration)


def test_a_private_directory_is_private_and_named_after_its_run(tmp_path: Path) -> None:
    made = workspace(tmp_path)
    made.create()
    secret = made.write_secret("password", "s3cret")

    assert made.directory.name.startswith(f"zone1-0000000100-{UUID}-")
    assert made.directory.stat().st_mode & 0o777 == 0o700
    assert made.directory.parent.stat().st_mode & 0o777 == 0o700
    assert secret.stat().st_mode & 0o777 == 0o600
    made.remove()
    assert not made.directory.exists()
    made.remove()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file in the way")
    with pytest.raises(TabletdError) as refused:
        workspace(tmp_path).create()
    assert refused.value.reason is Reason.PREFLIGHT_REFUSED
    assert str(tmp_path / "run") in refused.value.message


def test_old_logs_go_but_not_those_of_unfinished_runs(tmp_path: Path) -> None:
    finished, unfinished, recent = (workspace(tmp_path) for _ in range(3))
    for made in (finished, unfinished, recent):
        made.create()
        made.write_heading("run")
    finished.remove()
    recent.remove()
    for made in (finished, unfinished):
        os.utime(made.log_file, (1000, 1000))
    os.utime(recent.log_file, (5000, 5000))

    in_use = {str(unfinished.directory)}
    assert prune(settings(tmp_path), in_use, retention_seconds=3600, now_seconds=5000) == 1
    assert not finished.log_file.exists()
    assert unfinished.log_file.exists()
    assert recent.log_file.exists()


def test_a_directory_that_no_row_names_is_removed_when_it_is_old(tmp_path: Path) -> None:
    named, left, fresh = (workspace(tmp_path) for _ in range(3))
    for made in (named, left, fresh):
        made.create()
        made.write_heading("started")
        os.utime(made.log_file, (5000, 5000))
        os.utime(made.directory, (1000, 1000))
    os.utime(fresh.directory, (4000, 4000))

    in_use = {str(named.directory)}
    assert prune(settings(tmp_path), in_use, retention_seconds=3600, now_seconds=5000) == 1
    assert not left.directory.exists()
    assert left.log_file.exists()
    assert prune(settings(tmp_path), in_use, retention_seconds=0, now_seconds=5000) == 0
    assert fresh.directory.exists()
    assert named.directory.exists()


def test_pruning_where_there_is_nothing_is_fine(tmp_path: Path) -> None:
    assert prune(settings(tmp_path), (), retention_seconds=0, now_seconds=5000) == 0


def test_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("first\n" + "x" * 1_000_000 + "last")
    text = read_log(log)
    assert text.endswith("last")
    assert len(text) == 256 * 1024
    assert read_log(log, 1_000_006) == "last"
    assert read_log(tmp_path / "absent.log") == ""
