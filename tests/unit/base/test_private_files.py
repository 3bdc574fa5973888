"""Which files with a secret are read, and what is said of the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.private_files import check_private, read_secret

KEY = "mysql_password_file"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("se cret\n")
    path.chmod(0o600)
    return path


def refusal(path: Path) -> TabletdError:
    with pytest.raises(TabletdError) as caught:
        read_secret(path, KEY)
    assert caught.value.reason is Reason.INVALID_CONFIG
    assert caught.value.message.startswith(f"{KEY}: ")
    assert "se cret" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_our_own_is_read_without_its_last_newline(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    assert read_secret(secret, KEY) == "se cret"


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o660, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused_with_the_remedy(
    secret: Path, mode: int
) -> None:
    secret.chmod(mode)
    error = refusal(secret)
    assert f"mode {mode:04o}" in error.message
    assert error.hint == f"chmod 600 {secret}"
    with pytest.raises(TabletdError):
        check_private(secret, KEY)


@pytest.fixture
def as_somebody_else(monkeypatch: pytest.MonkeyPatch) -> int:
    """Run as a service does, whose files are root's: the user id is another one."""
    other = os.geteuid() + 4711
    monkeypatch.setattr(os, "geteuid", lambda: other)
    return other


@pytest.mark.skipif(os.geteuid() != 0, reason="the files are to be root's")
@pytest.mark.usefixtures("as_somebody_else")
def test_a_file_of_root_may_be_read_by_the_group_of_a_service(secret: Path) -> None:
    secret.chmod(0o640)
    assert read_secret(secret, KEY) == "se cret"
    secret.chmod(0o660)
    assert refusal(secret).hint == f"chmod 640 {secret}"


@pytest.mark.skipif(os.geteuid() != 0, reason="the file is to be somebody else's")
def test_a_file_of_another_account_is_refused_with_the_remedy(
    secret: Path, as_somebody_else: int
) -> None:
    os.chown(secret, as_somebody_else + 1, -1)
    error = refusal(secret)
    assert f"belongs to {as_somebody_else + 1}" in error.message
    assert error.hint == f"chown {as_somebody_else} {secret} && chmod 600 {secret}"


def test_a_pipe_is_refused_and_does_not_hold_us_up(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    assert "no ordinary file" in refusal(path).message


def test_what_is_missing_or_no_text_is_named(tmp_path: Path, secret: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere").message
    secret.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in refusal(secret).message
