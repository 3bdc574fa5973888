"""How the daemon logs in, by its settings, and what a change of the files does."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tabletd.access.renewal import Renewal
from tabletd.app.logins import Logins
from tabletd.config import Config, load_config
from tabletd.mysql.pool import Pool
from tabletd.mysql.tls import TlsMode
from tabletd.telemetry.logging import PlainFormatter
from tests.support.certificates import Authority


def config(**settings: str | Path) -> Config:
    flags = {"tablet_alias": "zone1-0000000100", "keyspace": "shop"}
    flags |= {key: str(value) for key, value in settings.items()}
    return load_config(flags, {}).config


def secret_file(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def mode_of(logins: Logins) -> TlsMode | None:
    tls = logins.dba.connection_tls
    return None if tls is None else tls.mode


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({}, None),
        ({"mysql_host": "localhost"}, None),
        ({"mysql_host": "::1"}, None),
        ({"mysql_host": "10.0.0.7"}, TlsMode.PREFERRED),
        ({"mysql_host": "db1", "mysql_ssl_mode": "disabled"}, None),
        ({"mysql_ssl_mode": "required"}, TlsMode.REQUIRED),
        ({"mysql_ssl_mode": "preferred"}, TlsMode.PREFERRED),
        ({"mysql_ssl_mode": "required", "mysql_socket": "/sock"}, None),
    ],
)
def test_the_mode_follows_from_where_the_server_is_unless_it_is_said(
    settings: dict[str, str], mode: TlsMode | None
) -> None:
    assert mode_of(Logins(config(**settings))) is mode


def test_files_ask_for_as_much_as_they_are_good_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("a client")
    assert mode_of(Logins(config(mysql_ssl_ca=authority.ca))) is TlsMode.VERIFY_IDENTITY
    shown = config(mysql_ssl_cert=pair.cert, mysql_ssl_key=pair.key)
    assert mode_of(Logins(shown)) is TlsMode.REQUIRED


def test_replicas_on_other_machines_have_tls_of_their_own(tmp_path: Path) -> None:
    logins = Logins(config(mysql_socket="/sock"))
    assert logins.at("127.0.0.1:3306").connection_tls is None
    login = logins.at("[fd00::7]:3307")
    assert (login.host, login.port, login.unix_socket) == ("fd00::7", 3307, None)
    assert login.connection_tls is not None
    assert login.connection_tls.mode is TlsMode.PREFERRED


async def test_a_new_password_is_taken_up_and_never_logged(tmp_path: Path) -> None:
    path = secret_file(tmp_path / "password", "first one\n")
    logins = Logins(config(mysql_password_file=path))
    pool = logins.feed(Pool(logins.dba, name="TestPool"), lambda: logins.dba)
    renewal = Renewal([logins], lambda: None)
    secret_file(path, "the second one\n")
    handler = logging.NullHandler()
    handler.setFormatter(PlainFormatter(["first one"]))
    logging.getLogger().addHandler(handler)
    try:
        renewal.look()
    finally:
        logging.getLogger().removeHandler(handler)
    assert pool.settings.password == "the second one"
    said = logging.makeLogRecord({"msg": "first one, the second one"})
    assert handler.format(said).endswith(": ***, ***")


async def test_a_file_that_became_readable_for_others_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = secret_file(tmp_path / "my.cnf", "[client]\npassword=first\n")
    logins = Logins(config(mysql_defaults_file=path))
    renewal = Renewal([logins], lambda: None)
    path.write_text("[client]\npassword=second one\n")
    path.chmod(0o644)
    renewal.look()
    assert logins.dba.password == "first"
    assert f"chmod 600 {path}" in caplog.text


async def test_another_user_and_password_are_taken_up_together_on_sighup(tmp_path: Path) -> None:
    path = secret_file(tmp_path / "my.cnf", "[client]\nuser=ann\npassword=first\n")
    logins = Logins(config(mysql_defaults_file=path))
    secret_file(path, "[client]\nuser=bob\npassword=second\n")
    logins.reconfigure(config(mysql_defaults_file=path))
    logins.reload()
    assert (logins.dba.user, logins.dba.password) == ("bob", "second")


def test_data_that_crosses_a_network_as_it_is_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Logins(config(mysql_host="db1", mysql_ssl_mode="disabled")).warn_of_plain_text()
    assert "db1:3306 have no TLS" in caplog.text
    caplog.clear()
    Logins(config()).warn_of_plain_text()
    Logins(config(mysql_host="db1")).warn_of_plain_text()
    assert not caplog.text
