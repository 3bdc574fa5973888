"""Certificates: whose they are, until when, and whether they were revoked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from tabletd.errors import Reason, TabletdError
from tabletd.private_files import read_again

_KNOWN_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """The certificate of a caller; that an authority of ours signed it, TLS has checked.

    Attributes:
        names: its common name, and the names, addresses and URIs beside it.
        subject: the whole name of its subject.
        issuer: that of who signed it, as bytes.
        serial_number: tells it from the others of the same issuer.
        valid_until: TLS looks at it when a connection begins, and never again.
    """

    names: tuple[str, ...]
    subject: str
    issuer: bytes
    serial_number: int
    valid_until: datetime

    @property
    def name(self) -> str:
        """What a message calls it."""
        return self.names[0] if self.names else self.subject


class PeerCertificates:
    """Reads certificates, and remembers the latest: a connection shows the same for each call."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, PeerCertificate] = OrderedDict()

    def read(self, pem: bytes) -> PeerCertificate:
        """Return what a certificate says.

        Raises:
            TabletdError: UNAUTHENTICATED, it cannot be read.
        """
        found = self._known.get(pem)
        if found is None:
            found = self._known[pem] = _read_peer(pem)
            if len(self._known) > _KNOWN_MAX:
                self._known.popitem(last=False)
        return found


def _read_peer(pem: bytes) -> PeerCertificate:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        return PeerCertificate(
            names=_names(certificate),
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.public_bytes(),
            serial_number=certificate.serial_number,
            valid_until=certificate.not_valid_after_utc,
        )
    except (ValueError, UnsupportedAlgorithm):
        raise TabletdError(
            Reason.UNAUTHENTICATED, "the client's certificate cannot be read"
        ) from None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    names = [str(attribute.value) for attribute in common]
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return tuple(names)
    for kind in (x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name, x509.IPAddress):
        names += [str(value) for value in extension.value.get_values_for_type(kind)]
    return tuple(dict.fromkeys(name for name in names if name))


class RevocationLists:
    """Certificates that their authorities have taken back.

    Args:
        path: PEM file with one list or more.
        authorities: PEM file with those that may have signed them.

    Raises:
        TabletdError: INVALID_CONFIG, a list cannot be read, or was signed by none of them.
    """

    def __init__(self, path: Path, authorities: Path) -> None:
        self._revoked: set[tuple[bytes, int]] = set()
        self.next_update: datetime | None = None
        known = load_certificates(authorities, "grpc_ca")
        for revocations in _load_lists(path):
            _check_signature(revocations, known, path)
            issuer = revocations.issuer.public_bytes()
            self._revoked |= {(issuer, entry.serial_number) for entry in revocations}
            due = revocations.next_update_utc
            if due is not None and (self.next_update is None or due < self.next_update):
                self.next_update = due

    def has(self, certificate: PeerCertificate) -> bool:
        """Tell whether a certificate is in a list of its issuer."""
        return (certificate.issuer, certificate.serial_number) in self._revoked


def _load_lists(path: Path) -> Sequence[x509.CertificateRevocationList]:
    # The library reads one list of a file; authorities write several into one.
    end = b"-----END X509 CRL-----"
    blocks = [block + end for block in read_pem(path, "grpc_crl").split(end)[:-1]]
    try:
        lists = [x509.load_pem_x509_crl(block) for block in blocks]
    except ValueError:
        lists = []
    if not lists:
        raise wrong_file("grpc_crl", f"{path} has no revocation list in PEM form")
    return lists


def _check_signature(
    revocations: x509.CertificateRevocationList,
    authorities: Sequence[x509.Certificate],
    path: Path,
) -> None:
    for authority in authorities:
        if authority.subject != revocations.issuer:
            continue
        try:
            if revocations.is_signature_valid(authority.public_key()):  # type: ignore[arg-type]
                return
        except (InvalidSignature, TypeError, UnsupportedAlgorithm):
            continue
    issuer = revocations.issuer.rfc4514_string()
    raise wrong_file("grpc_crl", f"{path}: the list of {issuer} is signed by nobody in grpc_ca")


def load_certificates(path: Path, key: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM file.

    Raises:
        TabletdError: INVALID_CONFIG, naming the setting.
    """
    try:
        return x509.load_pem_x509_certificates(read_pem(path, key))
    except ValueError:
        raise wrong_file(key, f"{path} has no certificate in PEM form") from None


def check_pair(chain: bytes, key: bytes, path: Path) -> datetime:
    """Return until when a certificate is valid whose key is given.

    Args:
        chain: PEM; its first certificate is the one that counts.
        key: PEM of its private key.
        path: of the certificate, for messages.

    Raises:
        TabletdError: INVALID_CONFIG, they cannot be read, or do not belong together.
    """
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise wrong_file("grpc_cert", f"{path} has no certificate in PEM form") from None
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise wrong_file("grpc_key", "it has no key in PEM form without a password") from None
    if private.public_key() != certificate.public_key():
        raise wrong_file("grpc_key", f"it is not the key of {path}")
    return certificate.not_valid_after_utc


def days_left(until: datetime) -> float:
    """Return the days until a moment; negative: it is over."""
    return (until - datetime.now(UTC)).total_seconds() / 86400


def read_pem(path: Path, key: str) -> bytes:
    """Return what is in a file.

    Raises:
        TabletdError: INVALID_CONFIG, naming the setting.
    """
    try:
        return read_again(path)
    except OSError as error:
        raise wrong_file(key, f"cannot read {path}: {error.strerror}") from None


def wrong_file(key: str, what: str) -> TabletdError:
    """Return the refusal of a file that a setting names."""
    return TabletdError(Reason.INVALID_CONFIG, f"{key}: {what}", key=key)
