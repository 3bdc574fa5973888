"""Following migrations to their end: on a board, as lines, or as JSON."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import typer

from tabletd_client.cli.follow import Followed
from tabletd_client.cli.json_shapes import dump_line, event_object
from tabletd_client.cli.session import EXIT_STILL_RUNNING, warn
from tabletd_client.cli.text import migration_in_full, status_line
from tabletd_client.models import Changed, Disconnected, Event, Migration, Status

if TYPE_CHECKING:
    from tabletd_client.client import Client

# Progress alone is worth a line of a log only so often.
_SECONDS_BETWEEN_LINES: Final = 5.0

Show = Callable[[Event], None]


async def follow(
    client: Client,
    keyspace: str,
    *,
    uuids: Sequence[str] = (),
    context: str = "",
    pending_only: bool = False,
    expected: Sequence[Migration] = (),
    endless: bool = False,
    seconds_max: float | None = None,
    style: str,
) -> Followed:
    """Follow migrations until they have ended, time is over, or the user has had enough.

    Args:
        client: connected.
        keyspace: where.
        uuids: only these.
        context: only those of this group.
        pending_only: only those that have not ended.
        expected: what has to be waited for even before it is told.
        endless: go on after the last end.
        seconds_max: None: as long as it takes.
        style: `auto` (a board on a terminal, else lines), `json` or `silent`.

    Returns:
        what was known at last.
    """
    followed = Followed(await client.shards(keyspace), expected)
    async with _shown(followed, style) as show:
        try:
            async with (
                asyncio.timeout(seconds_max),
                client.watch(
                    keyspace, uuids=uuids, context=context, pending_only=pending_only
                ) as events,
            ):
                while endless or not followed.ended:
                    event = await anext(events)
                    followed.take(event)
                    show(event)
        except TimeoutError:
            pass
        except asyncio.CancelledError:  # Ctrl-C; this is the command's last work
            _uncancel()
    return followed


def again(uuids: Sequence[str], context: str) -> str:
    """Return the command that shows the same once more."""
    return " ".join(["tabletctl watch", *uuids, *(["--context", context] if context else [])])


def conclude(followed: Followed, uuids: Sequence[str], context: str = "") -> int:
    """Say why migrations failed, or how to see those again that go on; return the exit code."""
    for one in followed.states.values():
        if one.status in (Status.FAILED, Status.CANCELLED) and one.message:
            warn(f"{one.uuid} {one.shard} {one.status}: {one.message}")
    code = followed.exit_code
    if code == EXIT_STILL_RUNNING:
        typer.echo(f"it goes on; see it again: {again(uuids, context)}", err=True)
    return code


def _uncancel() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()


@asynccontextmanager
async def _shown(followed: Followed, style: str) -> AsyncGenerator[Show]:
    if style == "json":
        yield lambda event: typer.echo(dump_line(event_object(event)))
    elif style == "silent":
        yield lambda event: None
    elif sys.stdout.isatty():
        from tabletd_client.cli.board import Board

        with Board(followed).live():
            yield lambda event: None
    else:
        yield _Lines().show


class _Lines:
    """Prints a line for every change that says something, and for progress now and then."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], tuple[object, float]] = {}

    def show(self, event: Event) -> None:
        if isinstance(event, Disconnected):
            typer.echo(f"{event.shard}: connection lost, trying again: {event.message}", err=True)
        if not isinstance(event, Changed):
            return
        one = event.migration
        key = (one.uuid, one.shard)
        news = (one.status, one.stage, one.message, one.throttle_reason)
        said, at = self._said.get(key, (None, 0.0))
        now = time.monotonic()
        if news != said or now - at >= _SECONDS_BETWEEN_LINES:
            self._said[key] = (news, now)
            typer.echo(status_line(one))


def in_full(migrations: Sequence[Migration], width: int | None) -> str:
    """Return migrations in full, with a blank line between them."""
    return "\n\n".join(migration_in_full(one, width) for one in migrations)
