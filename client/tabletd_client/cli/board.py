"""Migrations as they happen, on a terminal: one block for each, drawn anew with every change."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tabletd_client.cli.follow import Followed
from tabletd_client.cli.text import eta
from tabletd_client.models import Migration, Status

_STYLES: Final = {
    Status.COMPLETE: "green",
    Status.FAILED: "bold red",
    Status.CANCELLED: "yellow",
    Status.RUNNING: "cyan",
}
_BAR_WIDTH: Final = 20
_INDENT: Final = "    "
_NEWS_LINES_MAX: Final = 3
_DRAWS_PER_SECOND: Final = 8


class Board:
    """Draws what is followed.

    Args:
        followed: is read with every drawing.
    """

    def __init__(self, followed: Followed) -> None:
        self._followed = followed

    def live(self) -> Live:
        """Return what keeps the drawing fresh while it is entered."""
        return Live(self, refresh_per_second=_DRAWS_PER_SECOND, transient=False)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        blocks = by_migration(list(self._followed.states.values()))
        room = max(options.size.height - 3, 4)
        hidden = 0
        for block in blocks:
            height = 1 + sum(1 + len(_news(one, options.max_width)) for one in block)
            if height > room and room < options.size.height - 3:
                hidden += 1
                continue
            room -= height
            yield _heading(block[0])
            for one in block:
                yield from _shard_lines(one, options.max_width)
        silent = self._followed.not_heard_yet
        if not blocks and not silent and not self._followed.lost:
            yield Text("no migrations", style="dim")
        if hidden:
            yield Text(f"and {hidden} more", style="dim")
        for shard in silent:
            yield _line(Text(f"{shard}: not heard yet", style="dim"))
        for shard, why in self._followed.lost.items():
            yield _line(Text(f"{shard}: connection lost, trying again: {why}", style="yellow"))
        if not self._followed.ended:
            yield Text("Ctrl-C leaves them running", style="dim")


def by_migration(states: Sequence[Migration]) -> list[list[Migration]]:
    """Put the shards of a migration together: what has not ended first, then the latest end."""
    blocks: dict[str, list[Migration]] = {}
    for one in states:
        blocks.setdefault(one.uuid, []).append(one)
    return sorted(blocks.values(), key=_rank)


def _rank(block: list[Migration]) -> tuple[bool, float]:
    ended = all(one.status.ended for one in block)
    ends = [one.completed_at.timestamp() for one in block if one.completed_at is not None]
    return ended, -max(ends, default=0.0)


def _heading(one: Migration) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(one.uuid, style="bold")
    text.append(f" {one.strategy} {one.ddl_action} {one.schema}.{one.table}")
    return text


def _shard_lines(one: Migration, width: int) -> list[Table | Text]:
    row = Table.grid(padding=(0, 1))
    row.add_column(width=8, no_wrap=True)
    row.add_column(width=9, no_wrap=True)
    row.add_column(width=_BAR_WIDTH)
    row.add_column(no_wrap=True, overflow="ellipsis")
    percent = 100.0 if one.status is Status.COMPLETE else one.progress_percent
    bar = ProgressBar(total=100.0, completed=percent, width=_BAR_WIDTH)
    row.add_row(
        Text(f"  {one.shard}"),
        Text(one.status, style=_STYLES.get(one.status, "")),
        bar,
        Text(_figures(one, percent)),
    )
    return [row, *(_line(Text(line, style="dim")) for line in _news(one, width))]


def _figures(one: Migration, percent: float) -> str:
    rows = f"{one.rows_copied:,}/{one.rows_estimated:,}" if one.rows_estimated else ""
    left = "" if one.status.ended else eta(one)
    return "  ".join(part for part in (f"{percent:5.1f}%", rows, left) if part)


def _news(one: Migration, width: int) -> list[str]:
    text = "; ".join(part for part in (one.throttle_reason, one.stage, one.message) if part)
    return textwrap.wrap(
        text,
        width,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        max_lines=_NEWS_LINES_MAX,
        placeholder=" ...",
        break_on_hyphens=False,
    )


def _line(text: Text) -> Text:
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text
