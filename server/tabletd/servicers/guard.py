"""Lets a call in or not, by who makes it, and notes down what changes something."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, cast

import grpc.aio

from tabletd.access.access import Access
from tabletd.access.audit import AuditLog, shown_sql
from tabletd.access.caller import Caller, enter
from tabletd.access.roles import Role
from tabletd.errors import Reason, TabletdError
from tabletd.servicers.limits import Place, TooManyChanges
from tabletd.servicers.roles import FREE, RULES, Rule, missing_role
from tabletd.servicers.status import STATUS_CODES

Context = grpc.aio.ServicerContext[Any, Any]

_CERTIFICATE: Final = "x509_pem_cert"
_OK: Final = "OK"
_TEXT_CHARACTERS_MAX: Final = 300
# Who is not let in decides neither how long a line is nor how many there are.
_ITEMS_MAX: Final = 20
_REFUSED_NOTES_PER_SECOND: Final = 10
_READ_BYTES_MAX: Final = 64 * 1024
_STATEMENTS: Final = frozenset({"sql", "query", "statement", "args"})
# What says on which thing a call acts, in whichever request it is.
_TARGETS: Final = (
    "keyspace",
    "shard",
    "uuid",
    "uuid_list",
    "migration_context",
    "ddl_strategy",
    "app_name",
    "db_name",
    "tablet_type",
    "writable",
    "args",
    "sql",
    "query",
    "statement",
)
_UNKNOWN: Final = Rule(Role.READER)


class Guard:
    """Surrounds calls.

    Args:
        access: tells who calls.
        audit: None: nothing is noted.
        clock: seconds, of any origin.
    """

    def __init__(
        self,
        access: Access,
        audit: AuditLog | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._audit = audit
        self._clock = clock
        self._refused_second = -math.inf
        self._refused_notes = 0

    def covers(self, method: str) -> bool:
        """Tell whether a method of a service that is not ours asks who calls."""
        return not self._access.is_open and method not in FREE

    def rule(self, method: str) -> Rule | None:
        """Return what a method needs; None: the guard has nothing to do with it."""
        if method in FREE:
            return None
        rule = RULES.get(method, _UNKNOWN)
        reads_only = rule.role is Role.READER and rule.judge is None
        return None if self._access.is_open and reads_only else rule

    @asynccontextmanager
    async def watch(
        self, rule: Rule, method: str, request: Any, context: Context, place: Place | None
    ) -> AsyncGenerator[None]:
        """Check the caller of the enclosed call, and note it down if it is to change something.

        Args:
            rule: what the method needs.
            method: full name.
            request: what is asked.
            context: of the call.
            place: the call's, which from here on counts for its caller; None: it has none.

        Raises:
            TabletdError: UNAUTHENTICATED, PERMISSION_DENIED, TOO_MANY_CALLS.
        """
        if self._access.is_open and rule.role_for(request) is Role.READER:
            yield
            return
        began_seconds = time.monotonic()
        needed, caller = rule.role, Caller(role=Role.READER, peer=context.peer())
        error: BaseException | None = None
        is_let_in = False
        try:
            caller = await self._identify(request, context)
            if place is not None:
                place.belongs_to(caller.user or caller.certificate)
            if caller.role < rule.role or rule.judge is not None:
                needed = rule.role_for(request)
            if caller.role < needed:
                raise missing_role(method, needed, caller.name, caller.role)
            # What another daemon hands on was counted where it came in.
            if needed > Role.READER and place is not None and not caller.on_behalf_of:
                place.changes_something()
            enter(caller)
            is_let_in = True
            yield
        except BaseException as failure:
            error = failure
            raise
        finally:
            if (
                self._audit is not None
                and needed > Role.READER
                and (is_let_in or self._notes_refusal(error))
            ):
                code, reason = _answer(error)
                await self._audit.note(
                    caller,
                    method.removeprefix("/"),
                    target(request),
                    code=code,
                    reason=reason,
                    began_seconds=began_seconds,
                )

    async def let_in_still(self, rule: Rule, method: str, request: Any, context: Context) -> None:
        """Ask again who makes a call that lasts: he may have lost his certificate or his role.

        Raises:
            TabletdError: UNAUTHENTICATED, PERMISSION_DENIED.
        """
        if self._access.is_open:
            return
        caller = await self._identify(request, context)
        needed = rule.role_for(request)
        if caller.role < needed:
            raise missing_role(method, needed, caller.name, caller.role)

    def _notes_refusal(self, error: BaseException | None) -> bool:
        """Tell whether a call that was not let in is noted: a flood does not fill the disk."""
        if isinstance(error, TooManyChanges):
            return error.is_told
        now = self._clock()
        if now - self._refused_second >= 1:
            self._refused_second, self._refused_notes = now, 0
        self._refused_notes += 1
        return self._refused_notes <= _REFUSED_NOTES_PER_SECOND

    async def _identify(self, request: Any, context: Context) -> Caller:
        caller = await self._access.identify(
            peer=context.peer(),
            metadata=cast(Any, context.invocation_metadata() or ()),
            certificate=None if self._access.tls is None else _certificate(context),
        )
        effective = _effective(request)
        return replace(caller, effective=effective) if effective else caller


def _certificate(context: Context) -> bytes | None:
    found = cast(Mapping[str, list[bytes]], context.auth_context()).get(_CERTIFICATE)
    return found[0] if found else None


def _effective(request: Any) -> str:
    """Return in whose name a request says that it is made."""
    for name in ("caller_id", "effective_caller_id"):
        caller_id = getattr(request, name, None)
        if caller_id is not None and caller_id.principal:
            return str(caller_id.principal)[:_TEXT_CHARACTERS_MAX]
    return ""


def _answer(error: BaseException | None) -> tuple[str, str]:
    match error:
        case None:
            return _OK, ""
        case TabletdError():
            return STATUS_CODES[error.reason].name, error.reason.value
        case Exception():
            return grpc.StatusCode.INTERNAL.name, Reason.INTERNAL.value
        case _:  # the caller hung up, or his time was over
            return grpc.StatusCode.CANCELLED.name, ""


def target(request: Any) -> dict[str, object]:
    """Return on what a request acts, by the names of its fields; only what it says."""
    found: dict[str, object] = {}
    alias = getattr(request, "tablet_alias", None)
    if alias is not None and alias.cell:
        found["tablet_alias"] = f"{alias.cell}-{alias.uid:010d}"
    for name in _TARGETS:
        value = getattr(request, name, None)
        if not value:
            continue
        if name == "query" and not isinstance(value, str | bytes):  # a BoundQuery
            value = value.sql
        found[name] = _shown(name, value)
    return found


def _shown(name: str, value: Any) -> object:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, bytes):
        value = value[:_READ_BYTES_MAX].decode("utf-8", "replace")
    if not isinstance(value, str):
        shown = [_shown(name, one) for one in value[:_ITEMS_MAX]]
        more = len(value) - len(shown)
        return [*shown, f"... and {more} more"] if more else shown
    return shown_sql(value) if name in _STATEMENTS else value[:_TEXT_CHARACTERS_MAX]
