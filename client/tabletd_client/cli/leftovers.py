"""The command that shows what migrations have left, and has it removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tabletd_client.cli.options import Options
from tabletd_client.cli.session import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_NOT_REACHABLE,
    answer,
    keyspace_of,
    run,
)

if TYPE_CHECKING:
    from tabletd_client.client import Client
    from tabletd_client.leftovers import Leftover, TabletLeftovers


def leftovers(
    options: Options,
    fix: Annotated[
        bool, typer.Option("--fix", help="Remove at once what the tablets would remove in time.")
    ] = False,
) -> None:
    """Show what migrations have left; remove it."""

    async def work(client: Client) -> int:
        found = await client.leftovers(await keyspace_of(client, options), fix=fix)
        answer(options, found, lambda: leftovers_text(found))
        if any(one.error for one in found):
            return EXIT_NOT_REACHABLE
        return EXIT_FAILED if any(_failures(one) for one in found) else EXIT_DONE

    run(options, work)


def leftovers_text(tablets: Sequence[TabletLeftovers]) -> str:
    """Return what each tablet tells, two lines for each leftover: names are long."""
    lines = [line for tablet in tablets for line in _lines(tablet)]
    return "\n".join(lines) or "nothing is left of any migration"


def _lines(tablet: TabletLeftovers) -> Iterator[str]:
    if not (tablet.removed or tablet.left or tablet.error):
        return
    yield f"{tablet.alias} ({tablet.keyspace}/{tablet.shard})"
    if tablet.error:
        yield f"  did not tell: {tablet.error}"
    for one in tablet.removed:
        yield from _two_lines(one, "removed")
    for one in tablet.left:
        yield from _two_lines(one, _fate(one))


def _two_lines(one: Leftover, fate: str) -> Iterator[str]:
    place = f"{one.schema}." if one.schema else ""
    owner = f"of {one.uuid}" if one.uuid else ""
    yield f"  {one.kind} {place}{one.name}"
    yield f"    {'; '.join(part for part in (owner, one.note, fate) if part)}"


def _fate(one: Leftover) -> str:
    if one.failure:
        return f"stays for now: {one.failure}"
    return "to be removed" if one.removable else "not touched"


def _failures(tablet: TabletLeftovers) -> bool:
    return any(one.failure for one in tablet.left)
