"""The file of users: Vitess's list of `Username` and `Password`, with hashes and roles beside."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from tabletd.access.passwords import PasswordHash
from tabletd.access.roles import Role, parse_role
from tabletd.errors import Reason, TabletdError
from tabletd.private_files import read_again

_KEYS: Final = frozenset({"Username", "Password", "PasswordHash", "Role", "UserData"})
_KNOWN_MAX: Final = 1024
_CHARACTERS_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class User:
    """One entry of the file; a name may have several, each with a password of its own."""

    name: str
    password: PasswordHash | bytes = field(repr=False)
    role: Role


class Users:
    """Tells whether a user gave the right password.

    A pair that was right once is remembered, so that a hash is computed once for each and not for
    each call; what is kept of it is a keyed digest. Hashes are computed one at a time, beside the
    event loop.

    Args:
        path: the file.
        default_role: of entries that name none.

    Raises:
        TabletdError: INVALID_CONFIG, the file cannot be read or is wrong.
    """

    def __init__(self, path: Path, *, default_role: Role) -> None:
        self._path = path
        self._default_role = default_role
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, Role] = {}
        self._turn = asyncio.Semaphore()
        self._users: Mapping[str, Sequence[User]] = {}
        # Compared with for names that nobody has, so that these take as long.
        self._decoy: Sequence[User] = ()
        self.reload()

    @property
    def paths(self) -> Sequence[Path]:
        """The file."""
        return (self._path,)

    def reload(self) -> None:
        """Read the file again; what was known is asked anew.

        Raises:
            TabletdError: INVALID_CONFIG; the users are unchanged.
        """
        users: dict[str, list[User]] = {}
        for user in read_users(self._path, default_role=self._default_role):
            users.setdefault(user.name, []).append(user)
        hashed = [u for found in users.values() for u in found if not isinstance(u.password, bytes)]
        self._decoy = hashed[:1]
        self._users = users
        self._known = {}

    async def role(self, name: str, password: str) -> Role | None:
        """Return the role of a user; None: there is no such user with that password."""
        if len(name) + len(password) > _CHARACTERS_MAX:
            return None
        pair = self._digest(f"{len(name)}:{name}{password}")
        known = self._known
        role = known.get(pair)
        if role is not None:
            return role
        for user in self._users.get(name, self._decoy):
            if await self._matches(user, password) and user.name == name:
                role = user.role
        if role is not None:
            if len(known) >= _KNOWN_MAX:
                known.clear()
            known[pair] = role  # of the file that was read before: lost with it
        return role

    async def _matches(self, user: User, password: str) -> bool:
        if isinstance(user.password, bytes):
            return hmac.compare_digest(self._digest(password), self._digest(user.password))
        async with self._turn:
            return await asyncio.to_thread(user.password.matches, password)

    def _digest(self, text: str | bytes) -> bytes:
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        return hmac.digest(self._key, data, hashlib.sha256)


def read_users(path: Path, *, default_role: Role) -> list[User]:
    """Read the file of users.

    Args:
        path: a JSON list of objects with `Username`, `Password` or `PasswordHash`, and `Role`.
        default_role: of entries without one.

    Raises:
        TabletdError: INVALID_CONFIG; the text names the entry and never holds a password.
    """
    try:
        entries: Any = json.loads(read_again(path))
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise _wrong(path, "is no JSON") from None
    if not isinstance(entries, list):
        raise _wrong(path, "is no JSON list of users")
    users: list[User] = []
    listed: list[Any] = entries  # pyright: ignore[reportUnknownVariableType]
    for number, entry in enumerate(listed, 1):
        try:
            users.append(_user(entry, default_role))
        except (ValueError, TabletdError) as error:
            raise _wrong(path, f"entry {number}: {error}") from None
    return users


def _user(entry: Any, default_role: Role) -> User:
    if not isinstance(entry, dict):
        raise ValueError('it is no object such as {"Username": "...", "Password": "..."}')
    fields = cast(dict[str, Any], entry)
    unknown = sorted(fields.keys() - _KEYS)
    if unknown:
        raise ValueError(f"unknown key {unknown[0][:100]!r}; there are {', '.join(sorted(_KEYS))}")
    if not all(isinstance(value, str) for value in fields.values()):
        raise ValueError("each value is a text")
    name = fields.get("Username", "")
    if not name:
        raise ValueError("Username is missing")
    if bool(fields.get("Password")) == bool(fields.get("PasswordHash")):
        raise ValueError(f"{name} needs one of Password and PasswordHash")
    role = parse_role(fields["Role"]) if fields.get("Role") else default_role
    if fields.get("Password"):
        return User(name, fields["Password"].encode("utf-8", "surrogatepass"), role)
    return User(name, PasswordHash.parse(fields["PasswordHash"]), role)


def _wrong(path: Path, what: str) -> TabletdError:
    return TabletdError(
        Reason.INVALID_CONFIG,
        f"grpc_auth_static_password_file: {path} {what}",
        hint="`tabletd password` makes an entry",
        key="grpc_auth_static_password_file",
    )
