"""TLS on connections to a server, as it is asked for."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.private_files import check_private

_KEY: Final = "mysql_ssl_"


class TlsMode(StrEnum):
    """How much is asked of a connection over TCP, in MySQL's words."""

    PREFERRED = "preferred"
    REQUIRED = "required"
    VERIFY_CA = "verify_ca"
    VERIFY_IDENTITY = "verify_identity"

    @property
    def verifies(self) -> bool:
        """Whether the server has to prove who it is."""
        return self in (TlsMode.VERIFY_CA, TlsMode.VERIFY_IDENTITY)


@dataclass(frozen=True)
class Tls:
    """TLS as it is asked for.

    Attributes:
        mode: how much is asked.
        ca: PEM file with the authorities that may have signed the server's certificate.
        cert: PEM file with the certificate that we show.
        key: PEM file with its key.
        context: all of it as read from the files.
    """

    mode: TlsMode
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    context: ssl.SSLContext = field(repr=False, compare=False, kw_only=True)


def load_tls(
    mode: TlsMode, *, ca: Path | None = None, cert: Path | None = None, key: Path | None = None
) -> Tls:
    """Read the files; see `Tls`.

    Raises:
        TabletdError: INVALID_CONFIG when they do not go together or cannot be read, or when others
            may read the key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = mode is TlsMode.VERIFY_IDENTITY
    context.verify_mode = ssl.CERT_REQUIRED if mode.verifies else ssl.CERT_NONE
    if mode.verifies and ca is None:
        raise _wrong(
            "mode",
            f"{mode} needs mysql_ssl_ca",
            "for the authorities of this machine: /etc/ssl/certs/ca-certificates.crt",
        )
    if not mode.verifies and ca is not None:
        raise _wrong(
            "ca", f"is of no use with mysql_ssl_mode {mode}", "set verify_identity or verify_ca"
        )
    if (cert is None) != (key is None):
        raise _wrong(
            "cert" if key is None else "key", "is half of a pair", "set mysql_ssl_cert and _key"
        )
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except (OSError, ValueError) as error:
            raise _wrong("ca", f"no authorities can be read from {ca}: {_cause(error)}") from None
    if cert is not None and key is not None:
        check_private(key, f"{_KEY}key")
        _load_pair(context, cert, key)
    return Tls(mode, ca, cert, key, context=context)


def _load_pair(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    def refuse_to_ask() -> str:
        raise ValueError("it is encrypted, and nobody is there to ask for its password")

    try:
        context.load_cert_chain(cert, key, password=refuse_to_ask)
    except (OSError, ValueError) as error:
        pair = f"{cert} and {key}"
        raise _wrong("cert", f"no pair can be read from {pair}: {_cause(error)}") from None


def _cause(error: Exception) -> str:
    """Return what is wrong with a file in words: OpenSSL's have numbers and lines in them."""
    if isinstance(error, ssl.SSLError):
        reason = error.reason or "no PEM text"
        return reason.lower().replace("_", " ")
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _wrong(key: str, what: str, hint: str | None = None) -> TabletdError:
    return TabletdError(
        Reason.INVALID_CONFIG, f"{_KEY}{key}: {what}", hint=hint, key=f"{_KEY}{key}"
    )
