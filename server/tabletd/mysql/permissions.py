"""The accounts of a server and their rights, and nothing that helps to find a password."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tabletd.mysql.session import Session

_PASSWORD_COLUMNS: Final = frozenset({"password", "authentication_string"})
# Changes with each password, and says nothing about rights.
_LEFT_OUT: Final = frozenset({"password_last_changed"})
_CRC64_ISO: Final = 0xD800000000000000
_ALL_ONES: Final = 2**64 - 1


@dataclass(frozen=True)
class AccountRights:
    """One row of `mysql.user` or `mysql.db`.

    Attributes:
        host: pattern of the account.
        user: name of the account.
        db: for a row of `mysql.db`, the database or a pattern of names; else empty.
        password_checksum: CRC-64 (ISO) of the password's hash; 0: there is none.
        privileges: the other columns, by name.
    """

    host: str
    user: str
    db: str
    password_checksum: int
    privileges: Mapping[str, str]


@dataclass(frozen=True)
class Permissions:
    """All accounts: rights on the whole server, and on single databases."""

    users: tuple[AccountRights, ...]
    databases: tuple[AccountRights, ...]


async def read_permissions(session: Session) -> Permissions:
    """Read the accounts of the server.

    Raises:
        TabletdError: the server's errors; the account needs SELECT on the schema `mysql`.
    """
    users = await session.execute("SELECT * FROM mysql.user ORDER BY host, user")
    databases = await session.execute("SELECT * FROM mysql.db ORDER BY host, db, user")
    return Permissions(
        users=tuple(_rights(row) for row in users.dicts()),
        databases=tuple(_rights(row) for row in databases.dicts()),
    )


def _rights(row: Mapping[str, Any]) -> AccountRights:
    keys = {"host": "", "user": "", "db": ""}
    privileges: dict[str, str] = {}
    checksum = 0
    for name, value in row.items():
        lower = name.lower()
        if lower in keys:
            keys[lower] = _text(value)
        elif lower in _PASSWORD_COLUMNS:
            checksum = crc64(_text(value).encode()) or checksum
        elif lower not in _LEFT_OUT:
            privileges[name] = _text(value)
    return AccountRights(keys["host"], keys["user"], keys["db"], checksum, privileges)


def _text(value: object) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def crc64(data: bytes) -> int:
    """Return the CRC-64 of ISO 3309, which Vitess shows in place of a password; of nothing 0."""
    crc = _ALL_ONES
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CRC64_ISO if crc & 1 else 0)
    return crc ^ _ALL_ONES
