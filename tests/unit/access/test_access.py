"""Who is let in, and with which role."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tabletd.access.access import Access, AccessSettings
from tabletd.access.addresses import is_loopback, peer_address
from tabletd.access.caller import Caller
from tabletd.access.peers import Peers, PeerSettings
from tabletd.access.renewal import Renewal
from tabletd.access.roles import Role, parse_name_roles, role_of_names
from tabletd.access.tls import TlsFiles
from tabletd.errors import Reason, TabletdError
from tabletd.telemetry.vars import Registry
from tests.support.certificates import Authority, Pair

PEER = "ipv4:10.0.0.7:5000"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users.json"
    path.write_text(
        json.dumps(
            [
                {"Username": "ann", "Password": "sesame", "Role": "admin"},
                {"Username": "bob", "Password": "pw"},
            ]
        )
    )
    path.chmod(0o600)
    return path


def tls(authority: Authority, crl: Path | None = None) -> TlsFiles:
    server = authority.pair("server")
    return TlsFiles(server.cert, server.key, ca=authority.ca, crl=crl)


async def caller(
    settings: AccessSettings, certificate: Pair | None = None, **metadata: str
) -> Caller:
    found = {key.replace("_", "-"): value for key, value in metadata.items()}
    return await Access(settings, Registry()).identify(
        peer=PEER,
        metadata=tuple(found.items()),
        certificate=None if certificate is None else certificate.pem,
    )


async def refusal(
    settings: AccessSettings, certificate: Pair | None = None, **metadata: str
) -> tuple[Reason, str]:
    with pytest.raises(TabletdError) as caught:
        await caller(settings, certificate, **metadata)
    return caught.value.reason, caught.value.message


async def test_without_settings_everybody_may_do_everything() -> None:
    found = await caller(AccessSettings())
    assert (found.role, found.name, found.peer) == (Role.ADMIN, "anonymous", "10.0.0.7:5000")


async def test_a_certificate_that_is_over_is_refused_on_a_connection_that_is_open(
    authority: Authority,
) -> None:
    settings = AccessSettings(mode="mtls", tls=tls(authority))
    assert (await caller(settings, authority.pair("rita", days=1))).certificate == "rita"
    reason, text = await refusal(settings, authority.pair("rita", days=-1))
    assert reason is Reason.UNAUTHENTICATED
    assert text.startswith("the certificate of rita is over since 20")


async def test_a_password_is_asked_for_and_refused_as_vitess_does(users: Path) -> None:
    settings = AccessSettings(mode="static", users=users)
    missing = (Reason.UNAUTHENTICATED, "username and password must be provided")
    assert await refusal(settings) == missing
    assert await refusal(settings, username="ann") == missing
    assert await refusal(settings, username="ann", password="wrong") == (
        Reason.PERMISSION_DENIED,
        'auth failure: caller "ann" provided invalid credentials',
    )
    found = await caller(settings, username="ann", password="sesame")
    assert (found.role, found.text) == (Role.ADMIN, "ann from 10.0.0.7:5000")
    assert (await caller(settings, username="bob", password="pw")).role is Role.READER


async def test_with_passwords_a_certificate_is_not_enough(
    users: Path, authority: Authority
) -> None:
    settings = AccessSettings(mode="static", users=users, tls=tls(authority))
    client = authority.pair("client")
    assert (await refusal(settings, client))[0] is Reason.UNAUTHENTICATED
    found = await caller(settings, client, username="ann", password="sesame")
    assert (found.user, found.certificate) == ("ann", "client")


async def test_a_certificate_has_the_role_of_one_of_its_names(authority: Authority) -> None:
    settings = AccessSettings(
        mode="mtls",
        tls=tls(authority),
        certificate_roles=parse_name_roles(["vtctld=admin", "*.ops.example=operator"]),
    )
    found = await caller(settings, authority.pair("vtctld"))
    assert (found.role, found.certificate) == (Role.ADMIN, "vtctld")
    assert (await caller(settings, authority.pair("a.ops.example"))).role is Role.OPERATOR
    reason, text = await refusal(settings, authority.pair("ops.example"))
    assert (reason, text) == (
        Reason.UNAUTHENTICATED,
        "client certificate not authorized: CN=ops.example",
    )


async def test_a_certificate_with_an_allowed_part_in_its_subject_has_the_default_role(
    authority: Authority,
) -> None:
    settings = AccessSettings(
        mode="mtls",
        tls=tls(authority),
        allowed_substrings=("vtctl",),
        default_role=Role.OPERATOR,
    )
    assert (await caller(settings, authority.pair("vtctld"))).role is Role.OPERATOR
    assert (await refusal(settings, authority.pair("web")))[0] is Reason.UNAUTHENTICATED


async def test_with_authorities_alone_each_of_their_certificates_will_do(
    authority: Authority,
) -> None:
    settings = AccessSettings(tls=tls(authority))
    assert (await caller(settings, authority.pair("any"))).role is Role.READER
    reason, text = await refusal(settings)
    assert (reason, text) == (
        Reason.UNAUTHENTICATED,
        "a client certificate is needed, and none was shown",
    )


async def test_a_revoked_certificate_is_not_let_in_even_with_a_password(
    authority: Authority, users: Path
) -> None:
    lost = authority.pair("lost")
    crl = authority.revoke(lost)
    for settings in (
        AccessSettings(mode="mtls", tls=tls(authority, crl)),
        AccessSettings(mode="static", users=users, tls=tls(authority, crl)),
    ):
        reason, text = await refusal(settings, lost, username="ann", password="sesame")
        assert reason is Reason.UNAUTHENTICATED
        assert "the certificate of lost was revoked" in text


async def test_a_password_serves_where_no_certificate_is_asked_for(
    authority: Authority, users: Path
) -> None:
    settings = AccessSettings(mode="mtls", tls=tls(authority), users=users)
    assert (await caller(settings, username="ann", password="sesame")).user == "ann"
    assert (await refusal(settings))[1] == "username and password must be provided"


async def test_who_shows_a_certificate_beside_the_password_is_named_by_both(
    authority: Authority, users: Path
) -> None:
    settings = AccessSettings(mode="static", tls=tls(authority), users=users)
    found = await caller(settings, authority.pair("rita"), username="ann", password="sesame")
    assert found.name == "ann"
    assert found.text == "ann with the certificate rita from 10.0.0.7:5000"


def test_a_password_goes_over_http_only_where_other_daemons_are_called_without_tls(
    authority: Authority, tmp_path: Path
) -> None:
    login = tmp_path / "login.json"
    login.write_text('{"Username": "daemon", "Password": "sesame"}')
    login.chmod(0o600)
    assert Peers(PeerSettings(credentials=login)).basic_login == ("daemon", "sesame")
    client = authority.pair("client")
    for settings in (
        PeerSettings(credentials=login, ca=authority.ca),
        PeerSettings(credentials=login, cert=client.cert, key=client.key),
    ):
        peers = Peers(settings)
        assert peers.basic_login is None
        assert dict(peers.metadata())["password"] == "sesame"


async def test_only_who_may_do_everything_is_believed_to_call_for_another(users: Path) -> None:
    settings = AccessSettings(mode="static", users=users)
    eve = "eve from 1.2.3.4:5"
    trusted = await caller(settings, username="ann", password="sesame", tabletd_on_behalf_of=eve)
    assert trusted.text == eve
    other = await caller(settings, username="bob", password="pw", tabletd_on_behalf_of=eve)
    assert other.text == "bob from 10.0.0.7:5000"


async def test_users_and_revocations_are_taken_up_when_their_files_change(
    authority: Authority, users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = authority.pair("client")
    settings = AccessSettings(mode="mtls", tls=tls(authority, authority.revoke()), users=users)
    access = Access(settings, Registry())
    renewal = Renewal(access.renewable, access.remind)

    async def is_let_in(pem: bytes | None) -> bool:
        login = (("username", "eve"), ("password", "hole"))
        try:
            await access.identify(peer=PEER, metadata=login, certificate=pem)
        except TabletdError:
            return False
        return True

    assert (await is_let_in(client.pem), await is_let_in(None)) == (True, False)
    renewal.look()
    authority.revoke(client)
    users.write_text('[{"Username": "eve", "Password": "hole"}]')
    renewal.look()
    assert (await is_let_in(client.pem), await is_let_in(None)) == (False, True)
    users.write_text("[")
    with caplog.at_level(logging.ERROR):
        renewal.look()
    assert "unchanged: grpc_auth_static_password_file" in caplog.text
    assert await is_let_in(None)


async def test_what_is_refused_is_counted_and_the_end_of_the_certificate_is_shown(
    authority: Authority, users: Path
) -> None:
    registry = Registry()
    access = Access(AccessSettings(mode="static", users=users, tls=tls(authority)), registry)
    with pytest.raises(TabletdError):
        await access.identify(peer=PEER, metadata=(), certificate=None)
    shown = registry.export()
    assert shown["AccessRefused"] == 1
    with pytest.raises(TabletdError):
        await access.identify(
            peer=PEER, metadata=(("username", "ann"), ("password", "x")), certificate=None
        )
    assert registry.export()["AccessRefused"] == 2
    with pytest.raises(TabletdError):  # as the pages over HTTP do
        await access.check_password("ann", "x")
    assert registry.export()["AccessRefused"] == 3
    assert 80 * 86400 < float(str(shown["CertificateSecondsLeft"])) < 90 * 86400


def test_a_secret_that_every_account_can_read_is_said(
    authority: Authority, users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files, login = tls(authority), users.with_name("login.json")
    login.write_text('{"Username": "ann", "Password": "sesame"}')
    login.chmod(0o600)
    own = PeerSettings(cert=files.cert, key=files.key, credentials=login)
    settings = AccessSettings(mode="static", users=users, tls=files)
    Access(settings, Registry())
    Peers(own)
    assert not caplog.messages
    for path in (users, files.key, login):
        path.chmod(0o644)
    Access(settings, Registry())
    Peers(own)
    assert caplog.messages == [
        f"every account of this machine can read {path}"
        for path in (files.key, users, files.key, login)
    ]


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.7", False),
        ("db1.example", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_only_this_machines_own_addresses_are_loopback(host: str, is_own: bool) -> None:
    assert is_loopback(host) is is_own


def test_a_peer_is_named_as_addresses_are_written() -> None:
    assert peer_address(PEER) == "10.0.0.7:5000"
    assert peer_address("ipv6:%5B::1%5D:5000") == "[::1]:5000"
    assert peer_address("unknown") == "unknown"


def test_a_role_for_names_needs_a_name_and_a_role() -> None:
    for wrong in ("admin", "=admin", "name=", "name=chief"):
        with pytest.raises(TabletdError) as caught:
            parse_name_roles([wrong])
        assert caught.value.reason is Reason.INVALID_CONFIG


def test_the_highest_role_of_all_names_counts() -> None:
    roles = parse_name_roles(["a=reader", "b=admin", "*.example=operator"])
    assert role_of_names(["a", "b"], roles) is Role.ADMIN
    assert role_of_names(["a", "x.example"], roles) is Role.OPERATOR
    assert role_of_names(["example", "c"], roles) is None
