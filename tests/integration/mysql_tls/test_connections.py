"""Connections with TLS to real servers, and what is said where they cannot be had."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tabletd.access.renewal import Renewal
from tabletd.app.logins import Logins
from tabletd.config import load_config
from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.mysql.errors import ConnectionRefused
from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.mysql.tls import Tls, TlsMode, load_tls
from tabletd.mysql.tls_errors import TlsRefused
from tests.integration.mysql_tls.conftest import PASSWORD, USER, Trust
from tests.support.pools import settings_of
from tests.support.servers import RealServer
from tests.support.waiting import eventually


async def cipher(settings: MySQLSettings) -> str:
    """Log in and return what the server says of the connection's encryption."""
    pool = Pool(settings, name="TestPool")
    await pool.open()
    try:
        return str((await pool.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).rows[0][1])
    finally:
        await pool.close()


async def refusal(settings: MySQLSettings) -> MySQLUnavailable:
    with pytest.raises(MySQLUnavailable) as caught:
        await cipher(settings)
    assert PASSWORD not in str(caught.value)
    return caught.value


def keeper(server: RealServer, tls: Tls | None) -> MySQLSettings:
    return settings_of(server, user=USER, password=PASSWORD, tls=tls)


@pytest.mark.parametrize("mode", list(TlsMode))
async def test_every_mode_encrypts_where_the_certificate_is_right(
    secure_mariadb: RealServer, trust: Trust, mode: TlsMode
) -> None:
    assert await cipher(keeper(secure_mariadb, trust.tls(mode)))


async def test_a_socket_needs_no_tls(secure_mariadb: RealServer, trust: Trust) -> None:
    settings = settings_of(secure_mariadb, tls=trust.tls(TlsMode.VERIFY_IDENTITY))
    assert await cipher(replace(settings, unix_socket=secure_mariadb.socket)) == ""


async def test_an_account_that_asks_for_tls_is_explained_without_it(
    secure_mariadb: RealServer,
) -> None:
    error = await refusal(keeper(secure_mariadb, None))
    assert error.reason is Reason.MYSQL_ACCESS_DENIED
    assert "mysql_ssl_mode" in str(error.hint)


async def test_a_server_that_asks_for_tls_is_explained_without_it(
    secure_mysql: RealServer, secure_mariadb: RealServer
) -> None:
    errors: list[MySQLUnavailable] = []
    for server in (secure_mysql, secure_mariadb):
        server.query("SET GLOBAL require_secure_transport = ON")
        try:
            errors.append(await refusal(settings_of(server)))
        finally:
            server.query("SET GLOBAL require_secure_transport = OFF")
    # A MariaDB does not say why.
    assert [error.reason for error in errors] == [Reason.MYSQL_TLS, Reason.MYSQL_ACCESS_DENIED]
    assert all("mysql_ssl_mode" in str(error.hint) for error in errors)


async def test_a_server_without_tls_gets_no_password(mariadb: RealServer, trust: Trust) -> None:
    error = await refusal(settings_of(mariadb, tls=trust.tls(TlsMode.REQUIRED)))
    assert isinstance(error, TlsRefused)
    assert "offers none" in str(error)
    assert "ssl_cert" in str(error.hint)
    assert await cipher(settings_of(mariadb, tls=trust.tls(TlsMode.PREFERRED))) == ""


async def test_a_certificate_of_a_stranger_is_not_believed(
    secure_mariadb: RealServer, trust: Trust
) -> None:
    tls = load_tls(TlsMode.VERIFY_CA, ca=trust.stranger.ca)
    error = await refusal(keeper(secure_mariadb, tls))
    assert error.reason is Reason.MYSQL_TLS
    assert f"nobody in {trust.stranger.ca} has signed" in str(error)
    assert "openssl s_client -starttls mysql" in str(error.hint)


async def test_a_certificate_for_another_name_is_enough_for_verify_ca_alone(
    secure_mysql: RealServer, trust: Trust
) -> None:
    assert await cipher(keeper(secure_mysql, trust.tls(TlsMode.VERIFY_CA)))
    error = await refusal(keeper(secure_mysql, trust.tls(TlsMode.VERIFY_IDENTITY)))
    assert error.reason is Reason.MYSQL_TLS
    assert "is not for 127.0.0.1" in str(error)
    assert "verify_ca" in str(error.hint)


async def test_an_account_that_asks_for_a_certificate_gets_ours(
    secure_mariadb: RealServer, trust: Trust
) -> None:
    secure_mariadb.query("CREATE USER shown@'%' IDENTIFIED BY 'x' REQUIRE X509")
    settings = settings_of(secure_mariadb, user="shown", password="x")
    error = await refusal(replace(settings, tls=trust.tls(TlsMode.REQUIRED)))
    assert "mysql_ssl_cert" in str(error.hint)
    tls = load_tls(TlsMode.REQUIRED, cert=trust.client.cert, key=trust.client.key)
    assert await cipher(replace(settings, tls=tls))


async def test_a_certificate_that_the_server_does_not_know_is_said_to_be_ours(
    secure_mariadb: RealServer, trust: Trust
) -> None:
    pair = trust.stranger.pair("nobody")
    tls = load_tls(TlsMode.REQUIRED, cert=pair.cert, key=pair.key)
    # The server says so and closes; which of the two is seen first is a matter of luck.
    error = await refusal(keeper(secure_mariadb, tls))
    assert f"accept the certificate {pair.cert}" in str(error)


async def test_caching_sha2_password_works_with_tls_and_without(
    secure_mysql: RealServer, trust: Trust
) -> None:
    method = "IDENTIFIED WITH caching_sha2_password BY 'sesame'"
    secure_mysql.script(f"CREATE USER cached@'%' {method}", f"CREATE USER plain@'%' {method}")
    account = settings_of(secure_mysql, user="cached", password="sesame")
    secure = replace(account, tls=trust.tls(TlsMode.REQUIRED))
    assert await cipher(secure)
    assert await cipher(secure)  # the server has it in its cache by now
    # The password goes under the server's key; nobody who only listens can read it.
    assert await cipher(replace(account, user="plain")) == ""


async def test_ed25519_works(secure_mariadb: RealServer, trust: Trust) -> None:
    if not (Path(str(secure_mariadb.scalar("SELECT @@plugin_dir"))) / "auth_ed25519.so").exists():
        pytest.skip("no auth_ed25519.so: run scripts/setup.sh mariadb-plugins")
    secure_mariadb.query("INSTALL SONAME 'auth_ed25519'")
    secure_mariadb.query(
        "CREATE USER edward@'%' IDENTIFIED VIA ed25519 USING PASSWORD('p\u00e4ss') REQUIRE SSL"
    )
    account = settings_of(secure_mariadb, user="edward", password="p\u00e4ss")
    account = replace(account, tls=trust.tls(TlsMode.VERIFY_CA))
    assert await cipher(account)
    error = await refusal(replace(account, password="wrong"))
    assert isinstance(error, ConnectionRefused)
    assert error.reason is Reason.MYSQL_ACCESS_DENIED


async def test_a_password_that_was_changed_is_used_from_the_next_connection_on(
    secure_mariadb: RealServer, trust: Trust, tmp_path: Path
) -> None:
    secure_mariadb.query("CREATE USER rotated@'%' IDENTIFIED BY 'before' REQUIRE SSL")
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("before\n")
    flags = {
        **{"tablet_alias": "zone1-0000000100", "keyspace": "shop"},
        **{"mysql_port": secure_mariadb.port, "mysql_ssl_ca": trust.authority.ca},
        **{"mysql_user": "rotated", "mysql_password_file": password},
    }
    logins = Logins(load_config(flags, {}).config)
    renewal = Renewal([logins], lambda: None)
    assert await cipher(logins.dba)
    secure_mariadb.query("SET PASSWORD FOR rotated@'%' = PASSWORD('afterwards')")
    assert (await refusal(logins.dba)).reason is Reason.MYSQL_ACCESS_DENIED
    password.write_text("afterwards\n")
    renewal.look()
    assert await cipher(logins.dba)


async def test_a_connection_with_tls_is_lent_again_and_ended_in_good_order(
    secure_mariadb: RealServer, trust: Trust
) -> None:
    pool = Pool(keeper(secure_mariadb, trust.tls(TlsMode.VERIFY_IDENTITY)), name="TestPool")
    await pool.open()
    first, second = [await pool.execute("SELECT CONNECTION_ID()") for _ in range(2)]
    await pool.close()
    number = first.scalar()
    assert second.scalar() == number
    gone = "SELECT COUNT(*) FROM information_schema.processlist WHERE id = %s"
    await eventually(lambda: secure_mariadb.scalar(gone, (number,)) == 0)
    assert f"Aborted connection {number} " not in secure_mariadb.server.log_tail(50)


async def test_a_statement_that_takes_too_long_is_ended_over_tls(
    secure_mariadb: RealServer, trust: Trust
) -> None:
    pool = Pool(keeper(secure_mariadb, trust.tls(TlsMode.VERIFY_CA)), name="TestPool")
    await pool.open()
    with pytest.raises(TabletdError, match="took longer"):
        async with pool.session() as session:
            await session.execute("SELECT SLEEP(1000)", timeout_seconds=0.1)
    running = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%%'"
    await eventually(lambda: secure_mariadb.scalar(running) == 0)
    await pool.close()
