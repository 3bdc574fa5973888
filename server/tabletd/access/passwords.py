"""Passwords kept as scrypt hashes: `scrypt:<n>:<r>:<p>:<salt>:<hash>`, both in base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import Final

_SCHEME: Final = "scrypt"
# What one guess costs: about a fifth of a second and 32 MiB. We ask once for each pair.
_N: Final = 2**15
_R: Final = 8
_P: Final = 3
_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
# A file that somebody else wrote must not take all memory.
_N_MAX: Final = 2**18
_R_MAX: Final = 16
_P_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A password that can be compared and not read."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def make(cls, password: str, *, n: int = _N) -> PasswordHash:
        """Hash a password with a fresh salt; blocks for `n` steps."""
        salt = os.urandom(_SALT_BYTES)
        return cls(n, _R, _P, salt, _scrypt(password, n, _R, _P, salt, _HASH_BYTES))

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Read what `str` wrote.

        Raises:
            ValueError: it is no such text, or asks for more work than we do for a caller.
        """
        scheme, *parts = text.split(":")
        if scheme != _SCHEME or len(parts) != 5:
            raise ValueError("a hashed password looks like scrypt:32768:8:3:SALT:HASH")
        n, r, p = (int(part) if part.isdecimal() else 0 for part in parts[:3])
        try:
            salt, digest = (base64.b64decode(part, validate=True) for part in parts[3:])
        except binascii.Error:
            raise ValueError("salt and hash are written in base64") from None
        if not (1 < n <= _N_MAX and n & (n - 1) == 0 and 0 < r <= _R_MAX and 0 < p <= _P_MAX):
            raise ValueError(
                f"n is a power of two up to {_N_MAX}, r at most {_R_MAX}, p at most {_P_MAX}"
            )
        if len(salt) < _SALT_BYTES or len(digest) < _HASH_BYTES:
            raise ValueError(f"salt has {_SALT_BYTES} bytes at least, hash {_HASH_BYTES}")
        return cls(n, r, p, salt, digest)

    def __str__(self) -> str:
        salt, digest = (base64.b64encode(part).decode() for part in (self.salt, self.digest))
        return f"{_SCHEME}:{self.n}:{self.r}:{self.p}:{salt}:{digest}"

    def matches(self, password: str) -> bool:
        """Tell whether it is the password's; takes as long for a wrong one. Blocks."""
        found = _scrypt(password, self.n, self.r, self.p, self.salt, len(self.digest))
        return hmac.compare_digest(found, self.digest)


def _scrypt(password: str, n: int, r: int, p: int, salt: bytes, length: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=n,
        r=r,
        p=p,
        maxmem=256 * r * (n + p) + 2**16,
        dklen=length,
    )
