"""Option files, held against what the servers' own programs read in them."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tabletd.config import LoadedConfig, load_config, shown_settings
from tabletd.errors import Reason, TabletdError
from tabletd.option_file import read_client_options

NEEDED = {"tablet_alias": "zone1-0000000100", "keyspace": "shop"}
KEY = "mysql_defaults_file"
_PIECES = ("a", " ", "#", ";", '"', "'", "\\", "\\n", "\\s", "\\q", "=", "[", "!", "\t", "é")


def option_file(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "my.cnf"
    path.write_text(text)
    path.chmod(mode)
    return path


def loaded(path: Path, **flags: Any) -> LoadedConfig:
    return load_config({**NEEDED, KEY: str(path), **flags}, {})


def refusal(path: Path) -> str:
    with pytest.raises(TabletdError) as caught:
        loaded(path)
    assert caught.value.reason is Reason.INVALID_CONFIG
    return str(caught.value)


@pytest.mark.skipif(not shutil.which("my_print_defaults"), reason="no my_print_defaults here")
def test_values_are_read_as_the_servers_own_programs_read_them(tmp_path: Path) -> None:
    values = ["".join(pieces) for pieces in itertools.product(_PIECES, repeat=3)]
    lines = [f"v{number}={value}" for number, value in enumerate(values)]
    path = option_file(tmp_path, "\n".join(["[client]", *lines, ""]))
    command = ["my_print_defaults", f"--defaults-file={path}", "client"]
    said = subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.decode()
    options = read_client_options(path, KEY)
    assert said == "".join(f"--{name}={value}\n" for name, value in options.items())


def test_names_spaces_comments_and_repetitions_are_as_usual(tmp_path: Path) -> None:
    path = option_file(
        tmp_path,
        "user=nobody\n# a remark\n; another\n[client]\n  loose_SSL-ca = /ca.pem # mine\n"
        "user=first\nuser = second\nskip\n[mysqld]\nuser=mysql\n[client]\nport=3307\n",
    )
    assert read_client_options(path, KEY) == {
        "ssl-ca": "/ca.pem", "user": "second", "skip": "", "port": "3307"
    }  # fmt: skip


def test_its_settings_come_before_the_defaults_and_after_all_others(tmp_path: Path) -> None:
    path = option_file(
        tmp_path,
        "[client]\nuser=ann\npassword=sesame\nhost=db1\nport=3307\nsocket=/sock\n"
        "ssl-mode=VERIFY_CA\nssl-ca=/ca.pem\n",
    )
    found = loaded(path, mysql_user="bob")
    config = found.config
    assert (config.mysql_user, config.mysql_host, config.mysql_port) == ("bob", "db1", 3307)
    assert (config.mysql_ssl_mode, config.mysql_ssl_ca) == ("verify_ca", Path("/ca.pem"))
    assert config.mysql_socket is None  # another host than this one is meant by its name
    assert config.secret("mysql_password") == "sesame"
    assert found.sources["mysql_host"] == str(path)
    assert "sesame" not in f"{shown_settings(found)} {config!r}"


def test_an_address_that_is_given_elsewhere_is_taken_whole(tmp_path: Path) -> None:
    path = option_file(tmp_path, "[client]\nuser=ann\nport=3307\nsocket=/sock\n")
    assert loaded(path).config.mysql_socket == Path("/sock")
    config = loaded(path, mysql_host="db2").config
    assert (config.mysql_host, config.mysql_port, config.mysql_socket) == ("db2", 3306, None)
    assert config.mysql_user == "ann"


def test_a_password_that_is_given_elsewhere_goes_first(tmp_path: Path) -> None:
    path = option_file(tmp_path, "[client]\npassword=sesame\n")
    assert loaded(path, mysql_password="other").config.secret("mysql_password") == "other"


@pytest.mark.parametrize(
    ("lines", "mode"),
    [
        ("ssl", "required"),
        ("ssl=0", "disabled"),
        ("ssl\nssl-verify-server-cert", "verify_identity"),
        ("ssl\nssl-verify-server-cert=0", "required"),
        ("ssl-verify-server-cert=OFF", ""),
        ("ssl-mode=REQUIRED\nssl=0", "required"),
        ("", ""),
    ],
)
def test_the_switches_of_mariadb_are_understood(tmp_path: Path, lines: str, mode: str) -> None:
    assert loaded(option_file(tmp_path, f"[client]\n{lines}\n")).config.mysql_ssl_mode == mode


def test_what_would_make_connections_less_safe_than_said_is_refused(tmp_path: Path) -> None:
    assert "ssl-crl" in refusal(option_file(tmp_path, "[client]\nssl-crl=/crl.pem\n"))
    assert "enable-ssl" in refusal(option_file(tmp_path, "[client]\nenable-ssl\n"))
    assert "line 2" in refusal(option_file(tmp_path, "[client]\n!includedir /etc\n"))
    assert "chmod 600" in refusal(option_file(tmp_path, "[client]\nuser=x\n", mode=0o644))
    assert "mysql_port" in refusal(option_file(tmp_path, "[client]\nport=x\n"))


def test_a_file_of_settings_with_a_password_must_be_private(tmp_path: Path) -> None:
    path = tmp_path / "tabletd.toml"
    path.write_text('mysql_password = "sesame"\n')
    path.chmod(0o644)
    with pytest.raises(TabletdError, match=r"mysql_password: .*mode 0644"):
        load_config(NEEDED, {}, path)
    path.chmod(0o600)
    assert load_config(NEEDED, {}, path).config.secret("mysql_password") == "sesame"
    path.write_text('mysql_password = ""\n')
    path.chmod(0o644)
    load_config(NEEDED, {}, path)
