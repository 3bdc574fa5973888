"""TLS of our own ports: certificates that may change while we run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import grpc

from tabletd.access.certificates import (
    RevocationLists,
    check_pair,
    days_left,
    load_certificates,
    read_pem,
)

logger = logging.getLogger(__name__)

WARN_DAYS: Final = 30.0


@dataclass(frozen=True)
class TlsFiles:
    """PEM files; see the settings `grpc_*` of the same names."""

    cert: Path
    key: Path
    ca: Path | None = None
    server_ca: Path | None = None
    crl: Path | None = None


@dataclass(frozen=True)
class _Loaded:
    configuration: grpc.ServerCertificateConfiguration
    valid_until: datetime
    revoked: RevocationLists | None


class ServerTls:
    """What our ports show, and whom they believe.

    New connections get what was read last; those that are open keep what they began with, but for
    the revocation lists, which are looked at in each call.

    Args:
        files: where it is read.

    Raises:
        TabletdError: INVALID_CONFIG, a file cannot be read or does not fit the others.
    """

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self._loaded = _load(files)

    @property
    def paths(self) -> Sequence[Path]:
        """All files."""
        files = self.files
        named = (files.cert, files.key, files.ca, files.server_ca, files.crl)
        return [path for path in named if path is not None]

    def reload(self) -> None:
        """Read the files again.

        Raises:
            TabletdError: INVALID_CONFIG; nothing is changed.
        """
        self._loaded = _load(self.files)

    @property
    def valid_until(self) -> datetime:
        """When our certificate ends."""
        return self._loaded.valid_until

    @property
    def revoked(self) -> RevocationLists | None:
        """Certificates of clients that are believed no more."""
        return self._loaded.revoked

    def credentials(self, *, ask_certificate: bool) -> grpc.ServerCredentials:
        """Make what a port is opened with.

        Args:
            ask_certificate: whether a client without one is refused by TLS itself.
        """
        return grpc.dynamic_ssl_server_credentials(
            self._loaded.configuration,
            # None stands for `the same`, which the types do not know.
            self._newer(),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            require_client_authentication=ask_certificate,
        )

    def _newer(self) -> Callable[[], grpc.ServerCertificateConfiguration | None]:
        """Return what gRPC asks at each handshake, in a thread of its own: None is `the same`."""
        last = self._loaded

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal last
            if self._loaded is last:
                return None
            last = self._loaded
            return last.configuration

        return fetch

    def warn_of_the_end(self) -> None:
        """Say so while our certificate, or a revocation list, is about to end or over."""
        days = days_left(self.valid_until)
        if days < WARN_DAYS:
            logger.warning(
                "the certificate %s %s; put a new one in its place, it is taken up at once",
                self.files.cert,
                f"ends in {days:.1f} days" if days > 0 else f"ended {-days:.1f} days ago",
            )
        due = None if self.revoked is None else self.revoked.next_update
        if due is not None and days_left(due) < 0:
            logger.warning("the revocation lists in %s are out of date", self.files.crl)


def _load(files: TlsFiles) -> _Loaded:
    chain, key = read_pem(files.cert, "grpc_cert"), read_pem(files.key, "grpc_key")
    valid_until = check_pair(chain, key, files.cert)
    if files.server_ca is not None:
        load_certificates(files.server_ca, "grpc_server_ca")
        chain = chain.rstrip(b"\n") + b"\n" + read_pem(files.server_ca, "grpc_server_ca")
    roots = None
    if files.ca is not None:
        load_certificates(files.ca, "grpc_ca")
        roots = read_pem(files.ca, "grpc_ca")
    revoked = None
    if files.crl is not None and files.ca is not None:
        revoked = RevocationLists(files.crl, files.ca)
    configuration = grpc.ssl_server_certificate_configuration([(key, chain)], roots)
    return _Loaded(configuration, valid_until, revoked)
