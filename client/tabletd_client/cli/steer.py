"""Commands that act on migrations which are there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from tabletd_client.arguments import ALL, uuid_or_all
from tabletd_client.cli import completion
from tabletd_client.cli.near import check_exists, existing, naming_near
from tabletd_client.cli.options import Options, WrongUsage, duration
from tabletd_client.cli.session import EXIT_DONE, answer, confirm, keyspace_of, run
from tabletd_client.cli.words import seconds_text
from tabletd_client.errors import TabletdClientError

if TYPE_CHECKING:
    from tabletd_client.client import Client
    from tabletd_client.models import Affected, Migration

Pending = Annotated[
    str,
    typer.Argument(metavar="UUID|all", help="Which.", autocompletion=completion.pending_uuids),
]
Ended = Annotated[
    str, typer.Argument(metavar="UUID|all", help="Which.", autocompletion=completion.ended_uuids)
]
Failed = Annotated[
    str, typer.Argument(metavar="UUID", help="Which.", autocompletion=completion.failed_uuids)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Shards = Annotated[
    str,
    typer.Option(
        "--shards", metavar="NAMES", help="Only on these, with commas between them: -80,80-."
    ),
]
_DEFAULT_EXPIRE: Final = "1h"


def cancel(options: Options, uuid: Pending, yes: Yes = False) -> None:
    """End a migration."""
    _ask(uuid, f"Cancel {_named(uuid)}? What has been copied so far is given up.", yes)
    _steer(options, uuid, lambda client, keyspace: client.cancel(keyspace, uuid))


def retry(options: Options, uuid: Failed) -> None:
    """Put a migration into the queue again."""
    _steer(options, uuid, lambda client, keyspace: client.retry(keyspace, uuid))


def complete(options: Options, uuid: Pending, shards: Shards = "") -> None:
    """Let a migration end."""
    only = _split(shards, uuid)
    _steer(
        options, uuid, lambda client, keyspace: client.complete(keyspace, uuid, shards=only), only
    )


def launch(options: Options, uuid: Pending, shards: Shards = "") -> None:
    """Let a migration start."""
    only = _split(shards, uuid)
    _steer(options, uuid, lambda client, keyspace: client.launch(keyspace, uuid, shards=only), only)


def postpone(options: Options, uuid: Pending) -> None:
    """Hold a migration before its end."""
    _steer(options, uuid, lambda client, keyspace: client.postpone(keyspace, uuid))


def force_cutover(options: Options, uuid: Pending, yes: Yes = False) -> None:
    """Make the next cut-over end what stands in its way."""
    _ask(
        uuid,
        f"Force the cut-over of {_named(uuid)}? Statements and transactions that hold locks on "
        "its table will be killed.",
        yes,
    )
    _steer(options, uuid, lambda client, keyspace: client.force_cutover(keyspace, uuid))


def cleanup(options: Options, uuid: Ended, yes: Yes = False) -> None:
    """Give up old tables."""
    _ask(uuid, f"Give up the old tables of {_named(uuid)}? They cannot be had back.", yes)
    _steer(options, uuid, lambda client, keyspace: client.cleanup(keyspace, uuid))


def throttle(
    options: Options,
    uuid: Pending,
    ratio: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, metavar="NUMBER", help="Share of its checks that is refused."
        ),
    ] = 1.0,
    expire: Annotated[
        str, typer.Option(metavar="TIME", help="For how long: 90s, 10m, 2h.")
    ] = _DEFAULT_EXPIRE,
) -> None:
    """Hold a migration back."""
    span = duration(expire, "--expire")

    async def work(client: Client) -> int:
        keyspace = await keyspace_of(client, options)
        await check_exists(client, keyspace, uuid)
        await client.throttle(keyspace, uuid, ratio=ratio, expire=span)
        seconds = span.total_seconds()
        told = {"uuid": uuid, "ratio": ratio, "expire_seconds": seconds}
        text = f"{ratio:.0%} of the checks of {_named(uuid)} refused for {seconds_text(seconds)}"
        answer(options, told, lambda: text)
        return EXIT_DONE

    run(options, work, changes=True)


def unthrottle(options: Options, uuid: Pending) -> None:
    """No longer hold a migration back."""

    async def work(client: Client) -> int:
        keyspace = await keyspace_of(client, options)
        await check_exists(client, keyspace, uuid)
        await client.unthrottle(keyspace, uuid)
        told = {"uuid": uuid, "ratio": 0.0, "expire_seconds": 0.0}
        answer(options, told, lambda: f"{_named(uuid)} no longer held back")
        return EXIT_DONE

    run(options, work, changes=True)


def _steer(
    options: Options,
    uuid: str,
    command: Callable[[Client, str], Awaitable[Affected]],
    only: Sequence[str] = (),
) -> NoReturn:
    async def work(client: Client) -> int:
        keyspace = await keyspace_of(client, options)
        if only:
            known = await client.shards(keyspace)
            if unknown := [name for name in only if name not in known]:
                raise WrongUsage(f"there is no shard {unknown[0]!r}, only {', '.join(known)}")
        async with naming_near(client, keyspace, uuid):
            affected = await command(client, keyspace)
        why = ""
        if not affected.total and uuid.lower() != ALL:
            why = _standing(await existing(client, keyspace, uuid))
        told = {"rows_affected_by_shard": affected.by_shard, "total": affected.total}
        answer(options, told, lambda: _affected_text(affected, why))
        return EXIT_DONE

    run(options, work, changes=True)


def _affected_text(affected: Affected, why: str) -> str:
    by_shard = ", ".join(f"{shard}: {rows}" for shard, rows in affected.by_shard.items())
    if not affected.total:
        return f"nothing to do ({by_shard}){why}"
    return f"done: {affected.total} affected ({by_shard})"


def _standing(migrations: Sequence[Migration]) -> str:
    """Say where a migration stands on which a command had no effect."""
    by_shard = {one.shard: one.status.value for one in migrations}
    if len(set(by_shard.values())) == 1:
        return f": it is {migrations[0].status.value}"
    return ": it is " + ", ".join(f"{status} on {shard}" for shard, status in by_shard.items())


def _ask(uuid: str, question: str, yes: bool) -> None:
    """Ask for a confirmation; what is no UUID is refused later, whatever the answer."""
    with suppress(TabletdClientError):
        uuid_or_all(uuid)
        confirm(question, yes)


def _named(uuid: str) -> str:
    return "all migrations" if uuid.lower() == ALL else f"migration {uuid}"


def _split(names: str, uuid: str) -> list[str]:
    found = [name.strip() for name in names.split(",") if name.strip()]
    if found and uuid.lower() == ALL:
        raise WrongUsage("--shards goes with one migration, not with all")
    return found
