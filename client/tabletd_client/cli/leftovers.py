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
    terminal_width,
)
from tabletd_client.cli.text import wrapped

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
        answer(options, found, lambda: leftovers_text(found, terminal_width()))
        if any(one.error for one in found):
            return EXIT_NOT_REACHABLE
        return EXIT_FAILED if any(_failures(one) for one in found) else EXIT_DONE

    run(options, work, changes=fix)


def leftovers_text(tablets: Sequence[TabletLeftovers], width: int | None = None) -> str:
    """Return what each tablet tells, two lines for each leftover: names are long.

    Args:
        tablets: what each of them knows of.
        width: of the terminal; None: it is none.
    """
    lines = [
        line
        for tablet in tablets
        for begin, text in _told(tablet)
        for line in wrapped(begin, text, width)
    ]
    return "\n".join(lines) or "nothing is left of any migration"


def _told(tablet: TabletLeftovers) -> Iterator[tuple[str, str]]:
    """Yield lines, each with what it begins with."""
    if not (tablet.removed or tablet.left or tablet.error):
        return
    yield "", f"{tablet.alias} ({tablet.keyspace}/{tablet.shard})"
    if tablet.error:
        yield "  did not tell: ", tablet.error
    for one in tablet.removed:
        yield from _two_lines(one, "removed")
    for one in tablet.left:
        yield from _two_lines(one, _fate(one))


def _two_lines(one: Leftover, fate: str) -> Iterator[tuple[str, str]]:
    place = f"{one.schema}." if one.schema else ""
    owner = f"of {one.uuid}" if one.uuid else ""
    yield "  ", f"{one.kind} {place}{one.name}"
    yield "    ", "; ".join(part for part in (owner, one.note, fate) if part)


def _fate(one: Leftover) -> str:
    if one.failure:
        return f"stays for now: {one.failure}"
    return "to be removed" if one.removable else "not touched"


def _failures(tablet: TabletLeftovers) -> bool:
    return any(one.failure for one in tablet.left)
