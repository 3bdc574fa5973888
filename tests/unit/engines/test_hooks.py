"""Hook programs, tokens, reports, account names."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabletd.executor import hooks
from tabletd.executor.accounts import (
    is_run_account,
    native_hash,
    new_account,
    parse_account,
    user_of,
)
from tabletd.mysql.privileges import schema_object, schema_pattern

CALLBACK = hooks.Callback("", "a0638f6b_ec7b_11ea_9bf8_000d3a9b8a9a", "gh-ost", "secret")


def test_the_token_is_not_shown() -> None:
    assert "secret" not in repr(CALLBACK)


def test_only_the_token_itself_matches_its_hash() -> None:
    token = hooks.new_token()
    kept = hooks.token_hash(token)
    assert hooks.token_matches(kept, token)
    assert not hooks.token_matches(kept, token + "x")
    assert not hooks.token_matches(kept, None)
    assert not hooks.token_matches(kept, kept)
    assert not hooks.token_matches("", "")
    assert not hooks.token_matches("", token)


def test_a_hook_writes_its_report_and_ends_well_though_nobody_answers(tmp_path: Path) -> None:
    unreachable = hooks.Callback("http://127.0.0.1:9", "uuid", "gh-ost", "secret")
    hooks.write_gh_ost_hooks(tmp_path, unreachable)
    done = subprocess.run(
        [tmp_path / "gh-ost-on-status"],
        env={
            "GH_OST_DRY_RUN": "false",
            "GH_OST_COPIED_ROWS": "42",
            "GH_OST_OLD_TABLE_NAME": "_t_del",
            "GH_OST_PROGRESS": "12.5",
        },
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    report = hooks.read_reports(tmp_path)["status"]
    assert report == hooks.Report("status", "running", False, 42, "_t_del")


def test_a_hook_that_cannot_write_its_report_tells_the_daemon_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "report.status").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        hooks.write_gh_ost_hooks(tmp_path, hooks.Callback(url, "uuid", "gh-ost", "secret"))
        with subprocess.Popen([tmp_path / "gh-ost-on-status"], env={}) as hook:
            connection, _ = listener.accept()
            with connection:
                request = connection.recv(4096)
        assert hook.returncode == 0
    assert request.startswith(b"GET /schema-migration/report-status?uuid=uuid&status=running")


def test_a_hook_gives_a_silent_daemon_two_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hooks.write_gh_ost_hooks(tmp_path, hooks.Callback(url, "uuid", "gh-ost", "secret"))
        began = time.monotonic()
        done = subprocess.run([tmp_path / "gh-ost-on-success"], env={}, timeout=60)
    assert done.returncode == 0
    assert time.monotonic() - began > 1.5
    assert hooks.read_reports(tmp_path)["success"].status == "complete"


def test_hooks_are_executable_and_their_secrets_are_private(tmp_path: Path) -> None:
    hooks.write_gh_ost_hooks(tmp_path, CALLBACK)
    scripts = sorted(path for path in tmp_path.iterdir() if path.name.startswith("gh-ost-on-"))
    assert len(scripts) == len(hooks.GH_OST_EVENTS)
    assert all(os.access(path, os.X_OK) for path in scripts)
    assert (tmp_path / "callback").stat().st_mode & 0o777 == 0o600
    assert all("secret" not in path.read_text() for path in scripts)


def test_no_reports_where_there_is_no_directory(tmp_path: Path) -> None:
    assert hooks.read_reports(tmp_path / "gone") == {}


@given(st.dictionaries(st.text(), st.text()))
def test_any_report_can_be_read(values: dict[str, str]) -> None:
    assert hooks.parse_report(values).rows_copied >= 0


def test_accounts_fit_old_servers_and_pass_password_validation() -> None:
    account = new_account("127.0.0.1", migration_uuid="u")
    assert len(account.user) <= 16
    assert len(account.password) == 32
    assert account.host == "127.0.0.1"
    assert account.password not in repr(account)
    assert new_account("db.example.com", migration_uuid="u").host == "%"
    assert new_account("db.example.com", "10.%", migration_uuid="u").host == "10.%"
    assert new_account("127.0.0.1", migration_uuid="other").user != account.user
    assert user_of("u") == account.user
    assert is_run_account(account.user)
    found = parse_account(str(account))
    assert found is not None
    assert (found.user, found.host) == (account.user, account.host)
    assert parse_account("") is None


@pytest.mark.parametrize(
    ("schema", "pattern"), [("shop", "shop"), ("my_db", "my\\_db"), ("50%", "50\\%")]
)
def test_a_schema_in_a_grant_means_itself_only(schema: str, pattern: str) -> None:
    assert schema_pattern(schema) == pattern


def test_a_pattern_that_gets_too_long_is_left_as_it_is() -> None:
    name = "a_" * 32
    assert schema_object(name, has_wildcards=True) == f"`{name}`.*"
    assert schema_object("a_b", has_wildcards=False) == "`a_b`.*"


def test_a_password_has_the_hash_that_servers_keep_of_it() -> None:
    # SELECT PASSWORD('secret') on MariaDB 10.11 and MySQL 5.7.
    assert native_hash("secret") == "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7"
