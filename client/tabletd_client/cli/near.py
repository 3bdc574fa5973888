"""What somebody may have meant who named a migration, a context or a status that is not there."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from tabletd_client.models import Migration, Order, Status

if TYPE_CHECKING:
    from tabletd_client.client import Client
    from tabletd_client.errors import TabletdClientError

_LOOKED_AT_MAX: Final = 500
# Up to three wrong characters: UUIDs of one host and hour have most of theirs in common.
_UUID_LIKENESS: Final = 0.9
_WORD_LIKENESS: Final = 0.7


async def existing(client: Client, keyspace: str, uuid: str) -> list[Migration]:
    """Return a migration, one for each shard.

    Raises:
        TabletdClientError: MIGRATION_NOT_FOUND, naming those that are near.
    """
    found = await client.show(keyspace, uuid=uuid)
    if not found:
        raise await _missing(client, keyspace, uuid)
    return found


async def check_exists(client: Client, keyspace: str, uuid_or_all: str) -> None:
    """Refuse the UUID of a migration that is not there, before something is set up for it.

    Raises:
        TabletdClientError: MIGRATION_NOT_FOUND, naming those that are near.
    """
    from tabletd_client.arguments import ALL

    if uuid_or_all.lower() != ALL:
        await existing(client, keyspace, uuid_or_all)


@asynccontextmanager
async def naming_near(client: Client, keyspace: str, uuid: str) -> AsyncGenerator[None]:
    """Name the near ones when the server does not find a migration."""
    from tabletd_client.arguments import ALL
    from tabletd_client.errors import Reason, TabletdClientError

    try:
        yield
    except TabletdClientError as error:
        if error.reason != Reason.MIGRATION_NOT_FOUND or uuid.lower() == ALL:
            raise
        raise await _missing(client, keyspace, uuid) from None


async def context_missing(client: Client, keyspace: str, context: str) -> TabletdClientError:
    """Return the error for a context without migrations, naming what is near."""
    from tabletd_client.errors import Reason, TabletdClientError

    newest = await client.show(keyspace, order=Order.DESCENDING, limit=_LOOKED_AT_MAX)
    contexts = sorted({one.context for one in newest if one.context})
    near = _near(context, contexts, _WORD_LIKENESS)
    near += [f"the status {word}" for word in _near(context.lower(), Status, _WORD_LIKENESS)]
    return TabletdClientError(
        Reason.MIGRATION_NOT_FOUND,
        f"no migration of {keyspace} has the context {context!r}{_meant(near)}",
        facts={"migration_context": context},
    )


async def _missing(client: Client, keyspace: str, uuid: str) -> TabletdClientError:
    from tabletd_client.arguments import checked_uuid, not_found
    from tabletd_client.errors import TabletdClientError

    await client.tablets(keyspace)  # a keyspace that is not there is refused by this
    error = not_found(uuid)
    newest = await client.show(keyspace, order=Order.DESCENDING, limit=_LOOKED_AT_MAX)
    uuids = list(dict.fromkeys(one.uuid for one in newest))
    near = _near(checked_uuid(uuid), uuids, _UUID_LIKENESS)
    message = f"{error.message} in {keyspace}{_meant(near)}"
    return TabletdClientError(error.reason, message, facts=error.facts)


def _near(word: str, words: Iterable[str], likeness: float) -> list[str]:
    return difflib.get_close_matches(word, list(words), n=3, cutoff=likeness)


def _meant(near: list[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else ""
