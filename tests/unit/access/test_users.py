"""Passwords, their hashes, and the file of users."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabletd.access.passwords import PasswordHash
from tabletd.access.peers import Peers, PeerSettings
from tabletd.access.roles import Role
from tabletd.access.tls import ServerTls, TlsFiles
from tabletd.access.users import Users, read_users
from tabletd.errors import Reason, TabletdError

CHEAP = 2
# The same in every process: names of tests are made of them.
SALT_AND_KEY = "aKAPkbg50G45lZqydjbOnA==:iLtfSjH/OBjYaYJwHWpNAs87xpX3UyFbBi6CwUPMMVE="


def hashed(password: str) -> str:
    return str(PasswordHash.make(password, n=CHEAP))


def user_file(directory: Path, *entries: object) -> Path:
    path = directory / "users.json"
    path.write_text(json.dumps(entries))
    path.chmod(0o600)
    return path


def refusal(directory: Path, *entries: object) -> str:
    with pytest.raises(TabletdError) as caught:
        read_users(user_file(directory, *entries), default_role=Role.READER)
    assert caught.value.reason is Reason.INVALID_CONFIG
    return str(caught.value)


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_hash_matches_its_own_password_only(password: str, other: str) -> None:
    made = PasswordHash.parse(hashed(password))
    assert made.matches(password)
    assert made.matches(other) is (password == other)


def test_a_hash_is_read_back() -> None:
    text = f"scrypt:2:8:3:{SALT_AND_KEY}"
    assert str(PasswordHash.parse(text)) == text


def test_two_hashes_of_one_password_differ() -> None:
    assert hashed("open sesame") != hashed("open sesame")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "open sesame",
        "bcrypt:2:8:3:AAAA:AAAA",
        f"scrypt:3:8:3:{SALT_AND_KEY}",
        "scrypt:2:8:3:AAAA:AAAA",
        "scrypt:2:8:3:!:!",
        f"scrypt:1073741824:8:3:{SALT_AND_KEY}",
        f"scrypt:2:8:3000:{SALT_AND_KEY}",
    ],
)
def test_a_text_that_is_no_hash_or_too_dear_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        PasswordHash.parse(text)


async def test_the_file_of_vitess_is_taken_as_it_is(tmp_path: Path) -> None:
    path = user_file(tmp_path, {"Username": "vt", "Password": "one"})
    users = Users(path, default_role=Role.OPERATOR)
    assert await users.role("vt", "one") is Role.OPERATOR
    assert await users.role("vt", "two") is None
    assert await users.role("", "one") is None


async def test_a_user_has_the_role_of_the_entry_whose_password_was_given(tmp_path: Path) -> None:
    path = user_file(
        tmp_path,
        {"Username": "ann", "PasswordHash": hashed("new"), "Role": "admin"},
        {"Username": "ann", "PasswordHash": hashed("old"), "Role": "reader"},
        {"Username": "bob", "Password": "plain", "Role": "operator"},
    )
    users = Users(path, default_role=Role.READER)
    for _ in range(2):  # the second time from memory
        assert await users.role("ann", "new") is Role.ADMIN
        assert await users.role("ann", "old") is Role.READER
        assert await users.role("bob", "plain") is Role.OPERATOR
        assert await users.role("bob", "new") is None
        assert await users.role("nobody", "new") is None


async def test_a_password_that_was_right_is_forgotten_with_its_file(tmp_path: Path) -> None:
    path = user_file(tmp_path, {"Username": "ann", "PasswordHash": hashed("one")})
    users = Users(path, default_role=Role.READER)
    assert await users.role("ann", "one") is Role.READER
    user_file(tmp_path, {"Username": "ann", "PasswordHash": hashed("two"), "Role": "admin"})
    users.reload()
    assert await users.role("ann", "one") is None
    assert await users.role("ann", "two") is Role.ADMIN


async def test_a_file_that_became_wrong_leaves_the_users_as_they_were(tmp_path: Path) -> None:
    path = user_file(tmp_path, {"Username": "ann", "Password": "one"})
    users = Users(path, default_role=Role.READER)
    path.write_text("[")
    with pytest.raises(TabletdError):
        users.reload()
    assert await users.role("ann", "one") is Role.READER


async def test_a_pair_is_not_taken_for_another_that_reads_the_same(tmp_path: Path) -> None:
    path = user_file(tmp_path, {"Username": "ab", "Password": "c"})
    users = Users(path, default_role=Role.READER)
    assert await users.role("ab", "c") is Role.READER
    assert await users.role("a", "bc") is None


def test_a_user_is_shown_without_his_password(tmp_path: Path) -> None:
    path = user_file(tmp_path, {"Username": "ann", "Password": "sesame"})
    shown = repr(read_users(path, default_role=Role.READER))
    assert "ann" in shown
    assert "sesame" not in shown


def test_an_entry_that_is_wrong_is_named_without_its_password(tmp_path: Path) -> None:
    right = {"Username": "ann", "Password": "sesame"}
    assert "entry 2: Username is missing" in refusal(tmp_path, right, {"Password": "sesame"})
    assert "ann needs one of Password and PasswordHash" in refusal(tmp_path, {"Username": "ann"})
    assert "needs one of" in refusal(tmp_path, {**right, "PasswordHash": hashed("x")})
    assert "unknown key 'Roel'" in refusal(tmp_path, {**right, "Roel": "admin"})
    assert "'chief' is no role (there are reader, operator, admin)" in refusal(
        tmp_path, {**right, "Role": "chief"}
    )
    assert "a hashed password looks like" in refusal(
        tmp_path, {"Username": "ann", "PasswordHash": "sesame"}
    )
    for wrong in (right, {**right, "Role": "chief"}, "sesame"):
        assert "sesame" not in refusal(tmp_path, {**right, "Roel": "x"}, wrong)


def test_a_file_that_is_nested_without_end_is_refused_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    path.write_text("[" * 100_000)
    with pytest.raises(TabletdError, match="no JSON"):
        read_users(path, default_role=Role.READER)
    with pytest.raises(TabletdError, match="has to hold"):
        Peers(PeerSettings(credentials=path))


def test_a_pipe_is_refused_without_a_wait_for_somebody_to_write(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    os.mkfifo(path, 0o600)
    with pytest.raises(TabletdError, match="no ordinary file"):
        read_users(path, default_role=Role.READER)
    with pytest.raises(TabletdError, match="no ordinary file"):
        Peers(PeerSettings(credentials=path))
    with pytest.raises(TabletdError, match="no ordinary file"):
        ServerTls(TlsFiles(path, path))


def test_a_file_that_is_not_there_or_no_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(TabletdError, match="No such file"):
        read_users(tmp_path / "none.json", default_role=Role.READER)
    path = tmp_path / "users.json"
    path.write_text("{}")
    with pytest.raises(TabletdError, match="no JSON list"):
        read_users(path, default_role=Role.READER)
