"""What a shell offers for an argument: UUIDs, asked of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import typer

from tabletd_client.cli.options import Options

if TYPE_CHECKING:
    from tabletd_client.models import Migration

# A shell that waits is worse than one that offers nothing.
_SECONDS_MAX: Final = 1.5
_OFFERED_MAX: Final = 200


def pending_uuids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer migrations that have not ended, and `all`."""
    return [*_all(incomplete), *_offer(ctx, incomplete, lambda one: not one.status.ended)]


def ended_uuids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer migrations that have ended, and `all`."""
    return [*_all(incomplete), *_offer(ctx, incomplete, lambda one: one.status.ended)]


def failed_uuids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer migrations that failed or were cancelled."""
    return _offer(ctx, incomplete, lambda one: one.status in ("failed", "cancelled"))


def complete_uuids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer migrations that are complete."""
    return _offer(ctx, incomplete, lambda one: one.status == "complete")


def uuids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer every migration."""
    return _offer(ctx, incomplete, lambda _: True)


def reasons(incomplete: str) -> list[str]:
    """Offer the reasons of failures; asks nobody."""
    return [name for name in all_reasons() if name.startswith(incomplete.upper())]


def all_reasons() -> list[str]:
    """Return the reasons that have a page, sorted."""
    pages = files("tabletd_client").joinpath("runbooks").iterdir()
    return sorted(page.name.removesuffix(".md") for page in pages)


def _all(incomplete: str) -> list[tuple[str, str]]:
    return [("all", "all of them")] if "all".startswith(incomplete) else []


def _offer(
    ctx: typer.Context, incomplete: str, wanted: Callable[[Migration], bool]
) -> list[tuple[str, str]]:
    from tabletd_client.errors import TabletdClientError

    try:
        found = asyncio.run(_newest(_options(ctx)))
    except (TabletdClientError, TimeoutError, typer.BadParameter):
        return []
    offered = {
        one.uuid: f"{one.status} {one.ddl_action} {one.table}"
        for one in found
        if one.uuid.startswith(incomplete.lower()) and wanted(one)
    }
    return list(offered.items())


async def _newest(options: Options) -> list[Migration]:
    from tabletd_client.models import Order

    async with asyncio.timeout(_SECONDS_MAX), options.connect(_SECONDS_MAX) as client:
        keyspaces = [options.keyspace] if options.keyspace else await client.keyspaces()
        return [
            migration
            for keyspace in keyspaces
            for migration in await client.show(keyspace, order=Order.DESCENDING, limit=_OFFERED_MAX)
        ]


def _options(ctx: typer.Context) -> Options:
    """Return the flags that were typed so far, on this command or before it."""
    options = Options()
    context: Any = ctx
    while context is not None:
        given = {name: context.params.get(name) for name in Options.__slots__}
        options = options.over(Options(**given))
        context = context.parent
    return options
