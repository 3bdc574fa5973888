"""How long certificates and revocation lists are still good for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tabletd.access.certificates import RevocationLists, days_left, load_certificates
from tabletd.access.tls import WARN_DAYS
from tabletd.config import Config
from tabletd.doctor.findings import Finding, fail, ok, refused, warn
from tabletd.errors import TabletdError

_FILES: Final = (
    "grpc_cert",
    "grpc_server_ca",
    "grpc_ca",
    "tablet_manager_grpc_cert",
    "tablet_manager_grpc_ca",
    "mysql_ssl_cert",
    "mysql_ssl_ca",
)


def certificates(config: Config) -> Sequence[Finding]:
    """Nothing that TLS stands on has ended, or will soon."""
    findings: list[Finding] = []
    for key in _FILES:
        path: Path | None = getattr(config, key)
        if path is not None:
            findings.append(_file(key, path))
    if config.grpc_crl is not None and config.grpc_ca is not None:
        findings.append(_revocations(config.grpc_crl, config.grpc_ca))
    return findings or [ok("none are configured")]


def _file(key: str, path: Path) -> Finding:
    try:
        found = load_certificates(path, key)
    except TabletdError as error:
        return refused(error)
    if not found:
        return fail(f"{key}: {path} has no certificate in PEM form", "name a PEM file")
    first = min(found, key=lambda certificate: certificate.not_valid_after_utc)
    if first.not_valid_before_utc > datetime.now(UTC):
        text = f"{key}: {path} is not valid before {_day(first.not_valid_before_utc)}"
        return fail(text, "set this machine's clock right (timedatectl), or wait")
    return _end(f"{key}: {path}", first.not_valid_after_utc, "it is taken up without a restart")


def _revocations(path: Path, authorities: Path) -> Finding:
    try:
        due = RevocationLists(path, authorities).next_update
    except TabletdError as error:
        return refused(error)
    if due is None:
        return ok(f"grpc_crl: {path} has no end")
    if days_left(due) < 0:
        return warn(f"grpc_crl: {path} should have been renewed on {_day(due)}", "fetch a new list")
    return ok(f"grpc_crl: {path} is to be renewed by {_day(due)}")


def _end(what: str, end: datetime, note: str) -> Finding:
    days = days_left(end)
    remedy = f"put a new one in its place: {note}"
    if days < 0:
        return fail(f"{what} ended on {_day(end)}", remedy)
    if days < WARN_DAYS:
        return warn(f"{what} ends on {_day(end)}, in {days:.0f} days", remedy)
    return ok(f"{what} is valid until {_day(end)}")


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
