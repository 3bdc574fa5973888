"""Tells who makes a call, and keeps what it needs for that up to date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from tabletd.access.addresses import peer_address
from tabletd.access.caller import ON_BEHALF_KEY, Caller
from tabletd.access.certificates import PeerCertificate, PeerCertificates, days_left
from tabletd.access.renewal import Renewable
from tabletd.access.roles import Role, role_of_names
from tabletd.access.tls import ServerTls, TlsFiles
from tabletd.access.users import Users
from tabletd.errors import Reason, TabletdError
from tabletd.private_files import warn_of_open_files
from tabletd.telemetry.vars import Registry


@dataclass(frozen=True)
class AccessSettings:
    """Who may call.

    Attributes:
        mode: `static`: by password; `mtls`: by certificate, and by password where none is asked
            for; empty: by certificate if `tls` has authorities, else everybody may do everything.
        tls: None: plain text.
        users: the file of users.
        allowed_substrings: of the subjects of certificates; with these and `certificate_roles`
            both empty every certificate of the authorities will do.
        certificate_roles: by a name in the certificate.
        default_role: of callers that none is given to by name.
    """

    mode: Literal["", "static", "mtls"] = ""
    tls: TlsFiles | None = None
    users: Path | None = None
    allowed_substrings: tuple[str, ...] = ()
    certificate_roles: Mapping[str, Role] = field(default_factory=dict[str, Role])
    default_role: Role = Role.READER

    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything."""
        return not self.mode and (self.tls is None or self.tls.ca is None)


class Access:
    """Tells who makes a call.

    Args:
        settings: who may.
        registry: gets `AccessRefused`, and with TLS `CertificateSecondsLeft`.

    Raises:
        TabletdError: INVALID_CONFIG, a file cannot be read or is wrong.
    """

    def __init__(self, settings: AccessSettings, registry: Registry) -> None:
        self.settings = settings
        self.is_open = settings.is_open
        self.tls = None if settings.tls is None else ServerTls(settings.tls)
        self._users: Users | None = None
        if settings.users is not None:
            self._users = Users(settings.users, default_role=settings.default_role)
        key = None if settings.tls is None else settings.tls.key
        warn_of_open_files(key, settings.users)
        self._certificates = PeerCertificates()
        self._refused = registry.counter("AccessRefused", "callers that were not let in")
        if self.tls is not None:
            registry.gauge(
                "CertificateSecondsLeft",
                "time until the certificate of the gRPC port ends",
                self._seconds_left,
            )

    async def identify(
        self,
        *,
        peer: str,
        metadata: Iterable[tuple[str, str | bytes]],
        certificate: bytes | None,
    ) -> Caller:
        """Return who makes a call.

        Args:
            peer: as gRPC names it.
            metadata: of the call.
            certificate: what the caller proved to have, PEM.

        Raises:
            TabletdError: UNAUTHENTICATED, PERMISSION_DENIED: he is not let in.
        """
        texts = {key: value for key, value in metadata if isinstance(value, str)}
        try:
            caller = await self._identify(texts, certificate)
        except TabletdError:
            self._refused.add()
            raise
        # Another daemon calls for somebody; its word counts where it may do everything itself.
        original = texts.get(ON_BEHALF_KEY, "") if caller.role is Role.ADMIN else ""
        return replace(caller, peer=peer_address(peer), on_behalf_of=original)

    async def check_password(self, user: str, password: str) -> Caller:
        """Return who gave a password, where that is all there is to tell him by.

        Raises:
            TabletdError: PERMISSION_DENIED: it is wrong. Text: Vitess.
        """
        try:
            return await self._caller_of(user, password)
        except TabletdError:
            self._refused.add()
            raise

    async def _caller_of(self, user: str, password: str) -> Caller:
        role = None if self._users is None else await self._users.role(user, password)
        if role is None:
            raise TabletdError(
                Reason.PERMISSION_DENIED,
                f'auth failure: caller "{user[:100]}" provided invalid credentials',
            )
        return Caller(role=role, user=user)

    async def _identify(self, texts: Mapping[str, str], pem: bytes | None) -> Caller:
        if self.is_open:
            return Caller(role=Role.ADMIN)
        certificate = None if pem is None else self._certificates.read(pem)
        if certificate is not None:
            self._check_valid(certificate)
        if self.settings.mode != "static" and certificate is not None:
            return Caller(role=self._certificate_role(certificate), certificate=certificate.name)
        return await self._by_password(texts, certificate)

    async def _by_password(
        self, texts: Mapping[str, str], certificate: PeerCertificate | None
    ) -> Caller:
        user, password = texts.get("username", ""), texts.get("password", "")
        if self._users is None:
            raise TabletdError(
                Reason.UNAUTHENTICATED, "a client certificate is needed, and none was shown"
            )
        if not user or not password:
            # Text: Vitess.
            raise TabletdError(Reason.UNAUTHENTICATED, "username and password must be provided")
        caller = await self._caller_of(user, password)
        if certificate is None:
            return caller
        return replace(caller, certificate=certificate.name)

    def _check_valid(self, certificate: PeerCertificate) -> None:
        if days_left(certificate.valid_until) < 0:
            raise TabletdError(
                Reason.UNAUTHENTICATED,
                f"the certificate of {certificate.name[:100]} is over since "
                f"{certificate.valid_until:%Y-%m-%d %H:%M:%S} UTC",
                serial_number=f"{certificate.serial_number:x}",
            )
        revoked = None if self.tls is None else self.tls.revoked
        if revoked is not None and revoked.has(certificate):
            raise TabletdError(
                Reason.UNAUTHENTICATED,
                f"the certificate of {certificate.name[:100]} was revoked by its authority",
                serial_number=f"{certificate.serial_number:x}",
            )

    def _certificate_role(self, certificate: PeerCertificate) -> Role:
        settings = self.settings
        role = role_of_names(certificate.names, settings.certificate_roles)
        if role is not None:
            return role
        names_any = not settings.allowed_substrings and not settings.certificate_roles
        if names_any or any(part in certificate.subject for part in settings.allowed_substrings):
            return settings.default_role
        raise TabletdError(
            Reason.UNAUTHENTICATED,
            f"client certificate not authorized: {certificate.subject[:200]}",
            hint="grpc_auth_mtls_roles and grpc_auth_mtls_allowed_substrings say which are",
        )

    @property
    def renewable(self) -> Sequence[Renewable]:
        """What is read again when its files change."""
        return [part for part in (self._users, self.tls) if part is not None]

    def remind(self) -> None:
        """Say so while our certificate is about to end."""
        if self.tls is not None:
            self.tls.warn_of_the_end()

    def _seconds_left(self) -> float:
        return 0.0 if self.tls is None else round(days_left(self.tls.valid_until) * 86400, 3)
