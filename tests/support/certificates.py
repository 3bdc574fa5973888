"""Certificates of an authority that lives as long as a test."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files and as they are.

    Attributes:
        cert: PEM file.
        key: likewise.
        certificate: what is in `cert`.
    """

    cert: Path
    key: Path
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The certificate's own text."""
        return self.cert.read_bytes()


class Authority:
    """Signs certificates, usually for `localhost` and 127.0.0.1 as well, and takes them back.

    Args:
        directory: where the files are.
        name: its own.
    """

    def __init__(self, directory: Path, name: str = "the authority") -> None:
        self._directory = directory
        self._slug = name.replace(" ", "-")
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._revoked: list[int] = []

    @cached_property
    def ca(self) -> Path:
        """PEM file of its certificate."""
        certificate = self._sign(self._name, self._key, 3650, x509.BasicConstraints(True, None))
        return self._write(f"{self._slug}.pem", certificate.public_bytes(Encoding.PEM))

    def pair(
        self,
        name: str,
        *,
        days: float = 90,
        file: str = "",
        is_local: bool = True,
        has_rsa: bool = False,
    ) -> Pair:
        """Make a certificate; writing over the files of an earlier one where `file` is the same.

        Args:
            name: whose it is.
            days: how long it lasts.
            file: beginning of the files' names; default: `name`.
            is_local: it is for `localhost` and 127.0.0.1 as well.
            has_rsa: its key is for RSA, as old servers need it.
        """
        key: _Key = ec.generate_private_key(ec.SECP256R1())
        if has_rsa:
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        local = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        names = x509.SubjectAlternativeName([x509.DNSName(name), *(local if is_local else ())])
        certificate = self._sign(_name(name), key, days, names)
        slug = file or name
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Pair(
            self._write(f"{slug}.cert.pem", certificate.public_bytes(Encoding.PEM)),
            self._write(f"{slug}.key.pem", text, mode=0o600),
            certificate,
        )

    def revoke(self, *pairs: Pair) -> Path:
        """Take certificates back; return the PEM file of all that were."""
        self._revoked += [pair.certificate.serial_number for pair in pairs]
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now).next_update(now + timedelta(days=30))
        for number in self._revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now)
            builder = builder.add_revoked_certificate(entry.build())
        revocations = builder.sign(self._key, hashes.SHA256())
        return self._write(f"{self._slug}.crl.pem", revocations.public_bytes(Encoding.PEM))

    def _sign(
        self,
        subject: x509.Name,
        key: _Key,
        days: float,
        extension: x509.ExtensionType,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=5))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, content: bytes, mode: int = 0o644) -> Path:
        """Put a file in place at once, so that nobody reads half of it."""
        path = self._directory / name
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.chmod(mode)
        fresh.replace(path)
        return path


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def shown_serial_number(port: int, version: ssl.TLSVersion | None = None) -> int:
    """Return the number of the certificate that a port shows; blocks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if version is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain) as secured,
    ):
        return x509.load_der_x509_certificate(secured.getpeercert(True) or b"").serial_number
