"""Which settings of TLS go together, and what is said of files that do not."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tabletd.errors import Reason, TabletdError
from tabletd.executor.engines.tool_tls import (
    as_gh_ost_verifies,
    gh_ost_options,
    pt_osc_options,
)
from tabletd.mysql.settings import MySQLSettings
from tabletd.mysql.tls import TlsMode, load_tls
from tabletd.mysql.tls_errors import handshake_error
from tests.support.certificates import Authority, Pair


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.pair("a client")


def refusal(mode: TlsMode, **files: Path) -> str:
    with pytest.raises(TabletdError) as caught:
        load_tls(mode, **files)
    assert caught.value.reason is Reason.INVALID_CONFIG
    return str(caught.value)


def test_who_verifies_needs_an_authority_and_who_does_not_takes_none(authority: Authority) -> None:
    assert "verify_ca needs mysql_ssl_ca" in refusal(TlsMode.VERIFY_CA)
    assert "of no use with mysql_ssl_mode required" in refusal(TlsMode.REQUIRED, ca=authority.ca)


def test_a_pair_is_whole_and_fits_and_its_key_is_private(
    authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    assert "mysql_ssl_cert: is half" in refusal(TlsMode.REQUIRED, cert=pair.cert)
    assert "mysql_ssl_key: is half" in refusal(TlsMode.REQUIRED, key=pair.key)
    other = authority.pair("another")
    assert "key values mismatch" in refusal(TlsMode.REQUIRED, cert=pair.cert, key=other.key)
    readable = tmp_path / "key.pem"
    readable.write_bytes(pair.key.read_bytes())
    readable.chmod(0o644)
    assert "chmod 600" in refusal(TlsMode.REQUIRED, cert=pair.cert, key=readable)


def test_files_that_cannot_be_read_are_named(tmp_path: Path, pair: Pair) -> None:
    nothing = tmp_path / "nothing.pem"
    assert "No such file" in refusal(TlsMode.VERIFY_CA, ca=nothing)
    nothing.write_text("no PEM at all")
    nothing.chmod(0o600)
    assert f"no authorities can be read from {nothing}" in refusal(TlsMode.VERIFY_CA, ca=nothing)
    assert f"from {nothing} and" in refusal(TlsMode.REQUIRED, cert=nothing, key=pair.key)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(
    pair: Pair, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    plain = load_pem_private_key(pair.key.read_bytes(), None)
    encryption = BestAvailableEncryption(b"sesame")
    key.write_bytes(plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    key.chmod(0o600)
    assert "it is encrypted" in refusal(TlsMode.REQUIRED, cert=pair.cert, key=key)


def test_old_versions_of_tls_are_not_spoken(authority: Authority) -> None:
    for mode in TlsMode:
        tls = load_tls(mode, ca=authority.ca if mode.verifies else None)
        assert tls.context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_gh_ost_looks_at_the_name_where_it_looks_at_all(authority: Authority, pair: Pair) -> None:
    asked = load_tls(TlsMode.VERIFY_CA, ca=authority.ca, cert=pair.cert, key=pair.key)
    tls = as_gh_ost_verifies(asked)
    assert (tls.mode, tls.context.check_hostname) == (TlsMode.VERIFY_IDENTITY, True)
    assert gh_ost_options(tls) == (
        "--ssl", f"--ssl-ca={authority.ca}", f"--ssl-cert={pair.cert}", f"--ssl-key={pair.key}"
    )  # fmt: skip
    required = load_tls(TlsMode.REQUIRED)
    assert as_gh_ost_verifies(required) is required
    assert gh_ost_options(required) == ("--ssl", "--ssl-allow-insecure")
    assert gh_ost_options(None) == ()


def test_pt_osc_gets_in_words_of_its_library_as_much_as_is_asked(authority: Authority) -> None:
    cipher = ("ssl-cipher", "DEFAULT")
    ca = ("ssl-ca", str(authority.ca))
    name = ("ssl-verify-server-cert", "1")
    assert pt_osc_options(None) == ()
    assert pt_osc_options(load_tls(TlsMode.PREFERRED)) == (cipher,)
    assert pt_osc_options(load_tls(TlsMode.VERIFY_CA, ca=authority.ca)) == (ca, cipher)
    identity = load_tls(TlsMode.VERIFY_IDENTITY, ca=authority.ca)
    assert pt_osc_options(identity) == (ca, name, cipher)


def test_a_server_of_old_versions_is_told_from_one_that_refuses_us() -> None:
    settings, tls = MySQLSettings(), load_tls(TlsMode.REQUIRED)

    def said(reason: str) -> str:
        error = ssl.SSLError(1, reason)
        error.reason = reason
        refused = handshake_error(settings, tls, error)
        assert refused.reason is Reason.MYSQL_TLS
        return str(refused)

    assert "no version of TLS from 1.2 on" in said("TLSV1_ALERT_PROTOCOL_VERSION")
    assert "does not accept that we show no certificate" in said(
        "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    )
    assert "sslv3 alert handshake failure" in said("SSLV3_ALERT_HANDSHAKE_FAILURE")
