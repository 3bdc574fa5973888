"""Who makes a call, as the code that carries it out can ask."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from tabletd.access.roles import Role

ON_BEHALF_KEY: Final = "tabletd-on-behalf-of"
ANONYMOUS: Final = "anonymous"
_TEXT_CHARACTERS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller, as far as he could be told.

    Attributes:
        role: what he may do.
        user: who gave the right password; empty: nobody did.
        certificate: the name in his certificate; empty: he showed none.
        peer: address that the call came from.
        on_behalf_of: the caller of the daemon that hands this call on, as it says.
        effective: in whose name he says that he calls; nobody has proved it.
    """

    role: Role
    user: str = ""
    certificate: str = ""
    peer: str = ""
    on_behalf_of: str = ""
    effective: str = ""

    @property
    def name(self) -> str:
        """The name that he has proved to have."""
        return self.user or self.certificate or ANONYMOUS

    @property
    def text(self) -> str:
        """Who he is, for people: `alice from 10.0.0.7:5000, in the name of bob`.

        Who gave a password beside a certificate: `alice with the certificate app1 from ...`.
        """
        if self.on_behalf_of:
            return self.on_behalf_of[:_TEXT_CHARACTERS_MAX]
        shown = f" with the certificate {self.certificate}" if self._has_both else ""
        text = f"{self.name}{shown} from {self.peer or 'this daemon'}"
        if self.effective:
            text += f", in the name of {self.effective}"
        return text[:_TEXT_CHARACTERS_MAX]

    @property
    def _has_both(self) -> bool:
        return bool(self.user and self.certificate)


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def enter(caller: Caller) -> None:
    """Say who makes the call that this task carries out; holds to the task's end."""
    _caller.set(caller)


def current() -> Caller | None:
    """Return who makes the call that this task carries out; None: the daemon itself."""
    return _caller.get()


def current_text() -> str:
    """Return the same for people; empty: the daemon itself."""
    caller = _caller.get()
    return "" if caller is None else caller.text
