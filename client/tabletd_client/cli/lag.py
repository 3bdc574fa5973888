"""How far each tablet is behind: at one moment, or watched."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tabletd_client.cli.json_shapes import dump_line
from tabletd_client.cli.lag_text import lag_table
from tabletd_client.cli.options import Options, WrongUsage, duration
from tabletd_client.cli.session import EXIT_DONE, answer, run, terminal_width

if TYPE_CHECKING:
    from tabletd_client.client import Client
    from tabletd_client.models import TabletLag

_INTERVAL: Final = "1s"
# What stands on the screen is as old as a tablet may take to answer.
_SILENT_SECONDS: Final = 2.0


def lag(
    options: Options,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on saying it until Ctrl-C is pressed.")
    ] = False,
    interval: Annotated[
        str, typer.Option(metavar="TIME", help=f"How often --watch asks. [{_INTERVAL}]")
    ] = "",
) -> None:
    """Say how far each tablet is behind."""
    if interval and not watch:
        raise WrongUsage("--interval goes with --watch")
    seconds = duration(interval or _INTERVAL, "--interval").total_seconds()

    async def once(client: Client) -> int:
        found = await client.lag(options.keyspace or "", with_history=True)
        answer(options, found, lambda: lag_table(found, terminal_width()))
        return EXIT_DONE

    async def go_on(client: Client) -> int:
        rounds = _rounds(client, options.keyspace or "", seconds)
        if sys.stdout.isatty() and not options.as_json:
            await _draw(rounds)
        async for found in rounds:
            if options.as_json:
                for one in found:
                    typer.echo(dump_line(one))
            else:
                typer.echo(lag_table(found) + "\n")
        return EXIT_DONE

    run(options, go_on if watch else once)


async def _rounds(
    client: Client, keyspace: str, seconds: float
) -> AsyncIterator[Sequence[TabletLag]]:
    """Ask at each interval, until the task is cancelled."""
    while True:
        yield await client.lag(keyspace, with_history=True, timeout_seconds=_SILENT_SECONDS)
        await asyncio.sleep(seconds)


async def _draw(rounds: AsyncIterator[Sequence[TabletLag]]) -> None:
    from rich.live import Live
    from rich.text import Text

    # What has no room above the lower edge would scroll the screen with every drawing.
    with Live(auto_refresh=False, vertical_overflow="crop") as live:
        async for found in rounds:
            text = lag_table(found, shutil.get_terminal_size().columns)
            live.update(Text(text, no_wrap=True), refresh=True)
