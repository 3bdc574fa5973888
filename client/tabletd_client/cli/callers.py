"""Who submitted a migration, and who steered it: a watch tells, Vitess's own list does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tabletd_client.models import Changed, Disconnected, Migration, UpToDate

if TYPE_CHECKING:
    from tabletd_client.client import Client

_SECONDS_MAX: Final = 5.0


async def with_callers(
    client: Client, keyspace: str, found: Sequence[Migration]
) -> list[Migration]:
    """Return the rows of one migration with its callers, where the primaries tell them in time."""
    from tabletd_client.errors import TabletdClientError

    told: dict[str, Migration] = {}
    heard: set[str] = set()
    try:
        async with (
            asyncio.timeout(_SECONDS_MAX),
            client.watch(keyspace, uuids=[found[0].uuid]) as events,
        ):
            async for event in events:
                if isinstance(event, Changed):
                    told[event.migration.shard] = event.migration
                elif isinstance(event, UpToDate | Disconnected):
                    heard.add(event.shard)
                if len(heard | told.keys()) >= len(found):
                    break
    except (TimeoutError, TabletdClientError):
        pass
    return [
        replace(one, requested_by=seen.requested_by, changed_by=seen.changed_by) if seen else one
        for one in found
        for seen in (told.get(one.shard),)
    ]
