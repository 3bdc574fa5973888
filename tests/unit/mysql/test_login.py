"""Logins over TCP without TLS that no server of the ordinary test run asks for."""

from __future__ import annotations

from itertools import cycle

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tabletd.errors import Reason
from tabletd.mysql.errors import ConnectionRefused
from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tests.support.scripted_server import OK, SALT, Wire, packet, scripted_server

_PASSWORD = "pässwörd \N{SNOWMAN}"
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_PUBLIC_KEY = _KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


async def _full_login(wire: Wire) -> None:
    """Ask for the password under our public key, as a server does that has not seen it yet."""
    wire.write(packet(2, b"\x01\x04"))
    assert await wire.read() == b"\x02"
    wire.write(packet(4, b"\x01" + _PUBLIC_KEY))
    masked = _KEY.decrypt(await wire.read(), _OAEP)
    password = bytes(byte ^ salt for byte, salt in zip(masked, cycle(SALT), strict=False))
    known = password == _PASSWORD.encode() + b"\0"
    wire.write(packet(6, OK if known else b"\xff\x15\x04#28000Access denied"))


async def _ping(port: int, password: str) -> None:
    settings = MySQLSettings(port=port, user="clerk", password=password)
    pool = Pool(settings, name="TestPool")
    await pool.open()
    try:
        async with pool.session():
            pass
    finally:
        await pool.close()


async def test_the_default_login_of_mysql_8_works_without_tls() -> None:
    async with scripted_server(plugin="caching_sha2_password", log_in=_full_login) as port:
        await _ping(port, _PASSWORD)


async def test_a_wrong_password_is_refused_by_that_login_as_by_others() -> None:
    async with scripted_server(plugin="caching_sha2_password", log_in=_full_login) as port:
        with pytest.raises(ConnectionRefused) as caught:
            await _ping(port, "wrong")
    assert caught.value.reason is Reason.MYSQL_ACCESS_DENIED


async def test_a_login_that_we_have_not_is_named_with_those_that_we_have() -> None:
    async def ask_for_another(wire: Wire) -> None:
        wire.write(packet(2, b"\xfeauth_gssapi_client\0" + SALT))

    async with scripted_server(log_in=ask_for_another) as port:
        with pytest.raises(ConnectionRefused, match="auth_gssapi_client") as caught:
            await _ping(port, _PASSWORD)
    assert "caching_sha2_password" in str(caught.value.hint)


async def test_no_server_gets_the_password_as_it_is_without_tls() -> None:
    said: list[bytes] = []

    async def ask_for_it(wire: Wire) -> None:
        wire.write(packet(2, b"\xfemysql_clear_password\0"))
        said.append(await wire.read())

    # Asked for in the greeting already, it must not be in the first answer either.
    async with scripted_server(plugin="mysql_clear_password", log_in=ask_for_it, heard=said) as at:
        with pytest.raises(ConnectionRefused, match=r"mysql_clear_password, and .* no TLS"):
            await _ping(at, _PASSWORD)
    assert _PASSWORD.encode() not in b"".join(said)
    assert said


async def test_an_ancient_login_is_not_used() -> None:
    async def ask_for_it(wire: Wire) -> None:
        wire.write(packet(2, b"\xfemysql_old_password\0" + SALT))

    async with scripted_server(log_in=ask_for_it) as port:
        with pytest.raises(ConnectionRefused, match="mysql_old_password"):
            await _ping(port, _PASSWORD)
