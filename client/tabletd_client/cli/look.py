"""Commands that only look."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tabletd_client.cli import completion
from tabletd_client.cli.callers import with_callers
from tabletd_client.cli.following import conclude, follow, in_full
from tabletd_client.cli.near import context_missing, existing, naming_near
from tabletd_client.cli.options import Options, WrongUsage, duration
from tabletd_client.cli.session import EXIT_DONE, answer, keyspace_of, run, terminal_width
from tabletd_client.cli.text import migrations_text, tablets_table
from tabletd_client.models import Order, Status

if TYPE_CHECKING:
    from tabletd_client.client import Client

# Also one with a mistake in it: what is wrong is said then, instead of taking it for a context.
_LIKE_UUID: Final = re.compile(r"[0-9a-f]{6,}([_-][0-9a-f]+){3,}", re.IGNORECASE)
_RECENT: Final = timedelta(days=7)


def show(
    options: Options,
    what: Annotated[
        str,
        typer.Argument(
            metavar="UUID|CONTEXT|STATUS|recent|all",
            help="Which; all when nothing is given.",
            autocompletion=completion.uuids,
        ),
    ] = "all",
    recent: Annotated[
        str, typer.Option(metavar="TIME", help="Only submitted within this time: 90m, 7d.")
    ] = "",
    order: Annotated[
        Order, typer.Option(metavar="ascending|descending", help="By the time of submission.")
    ] = Order.ASCENDING,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="How many at most; 0: all.")] = 0,
    skip: Annotated[int, typer.Option(min=0, metavar="N", help="How many to pass over first.")] = 0,
) -> None:
    """Show migrations."""
    wanted: dict[str, Any] = _filter(what)
    if recent:
        if wanted:
            raise WrongUsage("--recent goes with no other filter")
        wanted = {"recent": duration(recent, "--recent")}
    if skip and not limit:
        raise WrongUsage("--skip needs --limit")

    async def work(client: Client) -> int:
        keyspace = await keyspace_of(client, options)
        if "uuid" in wanted:
            one = await with_callers(client, keyspace, await existing(client, keyspace, what))
            answer(options, one, lambda: in_full(one, terminal_width()))
            return EXIT_DONE
        found = await client.show(keyspace, **wanted, order=order, limit=limit, skip=skip)
        nothing = "" if found else await _nothing(client, keyspace, wanted)
        answer(options, found, lambda: nothing or migrations_text(found, terminal_width()))
        return EXIT_DONE

    run(options, work)


async def _nothing(client: Client, keyspace: str, wanted: Mapping[str, Any]) -> str:
    """Say that there is nothing; a keyspace that is not there is refused."""
    await client.tablets(keyspace)
    if "context" in wanted:
        return (await context_missing(client, keyspace, wanted["context"])).message
    return "no migrations"


def _filter(what: str) -> dict[str, Any]:
    """Return the filter that a word stands for, as `vtctldclient OnlineDDL show` reads it."""
    word = what.lower()
    if word == "all":
        return {}
    if word == "recent":
        return {"recent": _RECENT}
    if word in Status.__members__.values():
        return {"status": Status(word)}
    return {"uuid": what} if _LIKE_UUID.fullmatch(what) else {"context": what}


def watch(
    options: Options,
    uuids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="UUID",
            help="Which; all pending ones, until Ctrl-C, when none is given.",
            autocompletion=completion.uuids,
        ),
    ] = None,
    context: Annotated[
        str, typer.Option(metavar="NAME", help="Only migrations of this context.")
    ] = "",
) -> None:
    """Watch migrations; ends with those that were named."""
    named = uuids or []
    endless = not named and not context

    async def work(client: Client) -> int:
        keyspace = await keyspace_of(client, options)
        expected = [one for uuid in named for one in await existing(client, keyspace, uuid)]
        if context and not await client.show(keyspace, context=context, limit=1):
            raise await context_missing(client, keyspace, context)
        followed = await follow(
            client,
            keyspace,
            uuids=named,
            context=context,
            pending_only=endless,
            expected=expected,
            endless=endless,
            style="json" if options.as_json else "auto",
        )
        return conclude(followed, named, context)

    run(options, work)


def tablets(options: Options) -> None:
    """List the tablets."""

    async def work(client: Client) -> int:
        found = await client.tablets(options.keyspace or "")
        answer(options, found, lambda: tablets_table(found, terminal_width()))
        return EXIT_DONE

    run(options, work)


def logs(
    options: Options,
    uuid: Annotated[
        str, typer.Argument(metavar="UUID", help="Which.", autocompletion=completion.uuids)
    ],
    shard: Annotated[str, typer.Option(metavar="NAME", help="Only of this shard.")] = "",
    tail: Annotated[int, typer.Option(min=0, metavar="N", help="Only the last lines; 0: all.")] = 0,
) -> None:
    """Print the log of a migration."""

    async def work(client: Client) -> int:
        keyspace = await keyspace_of(client, options)
        async with naming_near(client, keyspace, uuid):
            found = await client.logs(keyspace, uuid)
        wanted = [log for log in found if shard in ("", log.shard)]
        if shard and not wanted:
            known = ", ".join(log.shard for log in found)
            raise WrongUsage(f"there is no shard {shard!r}, only {known}")
        cut = [
            {"keyspace": log.keyspace, "shard": log.shard, "text": _tail(log.text, tail)}
            for log in wanted
        ]
        heads = [f"==> shard {log['shard']} <==\n" if len(cut) > 1 else "" for log in cut]
        answer(
            options,
            cut,
            lambda: "\n".join(head + log["text"] for head, log in zip(heads, cut, strict=True)),
        )
        return EXIT_DONE

    run(options, work)


def _tail(text: str, lines: int) -> str:
    return "\n".join(text.rstrip("\n").split("\n")[-lines:]) if lines else text
