"""What callers give, checked before it is sent; and many calls at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from tabletd_client.errors import Reason, TabletdClientError
from tabletd_pb import vttime_pb2

ALL: Final = "all"
_UUID: Final = re.compile(r"[0-9a-f]{8}(_[0-9a-f]{4}){3}_[0-9a-f]{12}", re.IGNORECASE)
_SHARD: Final = re.compile(r"[0-9A-Za-z_-]+")
_CALLS_AT_ONCE_MAX: Final = 16

_T = TypeVar("_T")
_U = TypeVar("_U")


def checked_uuid(text: str) -> str:
    """Return the UUID of a migration in lower case.

    Raises:
        TabletdClientError: INVALID_REQUEST.
    """
    if not _UUID.fullmatch(text):
        digits = re.sub(r"[\s_-]", "", text.lower())
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        meant = "_".join(parts)
        raise TabletdClientError(
            Reason.INVALID_REQUEST,
            f"{text[:80]!r} is no UUID of a migration: hexadecimal digits with underscores, "
            f"8_4_4_4_12" + (f"; did you mean {meant}?" if _UUID.fullmatch(meant) else ""),
        )
    return text.lower()


def uuid_or_all(text: str) -> str:
    """Return a UUID or `all` in lower case.

    Raises:
        TabletdClientError: INVALID_REQUEST.
    """
    return ALL if text.lower() == ALL else checked_uuid(text)


def shards_clause(names: Sequence[str]) -> str:
    """Return the words that limit a statement to some shards.

    Raises:
        TabletdClientError: INVALID_REQUEST.
    """
    for name in names:
        if not _SHARD.fullmatch(name):
            raise TabletdClientError(Reason.INVALID_REQUEST, f"{name!r} is no name of a shard")
    return f"VITESS_SHARDS '{','.join(names)}'"


def to_duration(span: timedelta) -> vttime_pb2.Duration:
    """Return a span of time as the wire has it."""
    return vttime_pb2.Duration(seconds=span // timedelta(seconds=1), nanos=span.microseconds * 1000)


def not_found(uuid: str) -> TabletdClientError:
    """Return the error for a migration that is not there."""
    return TabletdClientError(
        Reason.MIGRATION_NOT_FOUND, f"Migration not found: {uuid}", facts={"migration_uuid": uuid}
    )


async def at_once(ask: Callable[[_T], Awaitable[_U]], whom: Sequence[_T]) -> list[_U]:
    """Ask all at once, within bounds; the first failure ends the others."""
    slots = asyncio.Semaphore(_CALLS_AT_ONCE_MAX)

    async def one(each: _T) -> _U:
        async with slots:
            return await ask(each)

    failure: BaseException | None = None
    tasks: list[asyncio.Task[_U]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(each)) for each in whom]
    except* TabletdClientError as failures:
        failure = failures.exceptions[0]
    if failure is not None:
        raise failure
    return [task.result() for task in tasks]
