"""Certificates: names, revocation, and what is refused before a port is opened with it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tabletd.access.certificates import PeerCertificates, RevocationLists, days_left
from tabletd.access.tls import ServerTls, TlsFiles
from tabletd.errors import Reason, TabletdError
from tests.support.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def refusal(files: TlsFiles) -> str:
    with pytest.raises(TabletdError) as caught:
        ServerTls(files)
    assert caught.value.reason is Reason.INVALID_CONFIG
    return str(caught.value)


def test_a_callers_certificate_has_its_common_name_and_those_beside_it(
    authority: Authority,
) -> None:
    found = PeerCertificates().read(authority.pair("vtctld.example").pem)
    assert found.names == ("vtctld.example", "localhost", "127.0.0.1")
    assert (found.name, found.subject) == ("vtctld.example", "CN=vtctld.example")


def test_what_is_no_certificate_is_not_let_in() -> None:
    with pytest.raises(TabletdError) as caught:
        PeerCertificates().read(b"-----BEGIN CERTIFICATE-----\n")
    assert caught.value.reason is Reason.UNAUTHENTICATED


def test_a_list_has_the_certificates_that_its_authority_took_back(
    authority: Authority, tmp_path: Path
) -> None:
    lost, kept = authority.pair("lost"), authority.pair("kept")
    revoked = RevocationLists(authority.revoke(lost), authority.ca)
    read = PeerCertificates().read
    assert revoked.has(read(lost.pem))
    assert not revoked.has(read(kept.pem))


def test_lists_of_several_authorities_may_be_in_one_file(tmp_path: Path) -> None:
    one, other = Authority(tmp_path, "one"), Authority(tmp_path, "other")
    lost = [one.pair("a"), other.pair("b")]
    lists, both = tmp_path / "both.crl", tmp_path / "both.pem"
    lists.write_bytes(one.revoke(lost[0]).read_bytes() + other.revoke(lost[1]).read_bytes())
    both.write_bytes(one.ca.read_bytes() + other.ca.read_bytes())
    revoked = RevocationLists(lists, both)
    assert all(revoked.has(PeerCertificates().read(pair.pem)) for pair in lost)


def test_a_list_that_none_of_our_authorities_signed_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "..", "the authority")  # the same name, another key
    path = Authority(tmp_path, "stranger").revoke()
    with pytest.raises(TabletdError, match="signed by nobody in grpc_ca"):
        RevocationLists(path, authority.ca)
    assert stranger is not authority


def test_a_key_that_is_not_the_certificates_is_refused(authority: Authority) -> None:
    server, other = authority.pair("server"), authority.pair("other")
    assert "grpc_key: it is not the key of" in refusal(TlsFiles(server.cert, other.key))


def test_a_file_of_tls_that_is_missing_or_no_pem_is_named_by_its_setting(
    authority: Authority, tmp_path: Path
) -> None:
    server = authority.pair("server")
    empty = tmp_path / "empty.pem"
    empty.touch()
    assert "grpc_cert: cannot read" in refusal(TlsFiles(tmp_path / "none", server.key))
    assert "grpc_cert: " in refusal(TlsFiles(empty, server.key))
    assert "grpc_key: " in refusal(TlsFiles(server.cert, empty))
    assert "grpc_ca: " in refusal(TlsFiles(server.cert, server.key, ca=empty))
    assert "grpc_server_ca: " in refusal(TlsFiles(server.cert, server.key, server_ca=empty))
    assert "grpc_crl: " in refusal(TlsFiles(server.cert, server.key, ca=authority.ca, crl=empty))


def test_a_certificate_that_became_wrong_leaves_the_one_before(authority: Authority) -> None:
    server = authority.pair("server", days=90)
    tls = ServerTls(TlsFiles(server.cert, server.key))
    server.key.write_bytes(b"")
    with pytest.raises(TabletdError):
        tls.reload()
    assert days_left(tls.valid_until) == pytest.approx(90, abs=0.1)
    authority.pair("server", days=50)
    tls.reload()
    assert days_left(tls.valid_until) == pytest.approx(50, abs=0.1)


@pytest.mark.parametrize(
    ("days", "said"), [(31.0, ""), (29.0, "ends in 29.0 days"), (-2.0, "ended 2.0 days ago")]
)
def test_a_certificate_is_spoken_of_from_thirty_days_before_its_end(
    authority: Authority, caplog: pytest.LogCaptureFixture, days: float, said: str
) -> None:
    server = authority.pair("server", days=days + 0.01)
    with caplog.at_level(logging.WARNING):
        ServerTls(TlsFiles(server.cert, server.key)).warn_of_the_end()
    assert said in caplog.text
    assert bool(caplog.text) is bool(said)
