"""What the demo shows while it runs: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_LINE_INTERVAL_SECONDS: Final = 2.0
_REFRESH_PER_SECOND: Final = 8
_BAR_WIDTH: Final = 30


class Phase(StrEnum):
    """Where a track of the demo is."""

    STARTING = "starting servers and daemons"
    LOADING = "loading rows"
    WATCHING = "writers at work, watching lag"
    MIGRATING = "migrating"
    SETTLING = "migrated; writers go on"
    PROVING = "comparing every row"
    DONE = "done"
    FAILED = "failed, see below"


# Said once, when the first pair comes to it.
_NOTES: Final = {
    Phase.STARTING: (
        "Servers",
        "A primary and a replica of each kind on free loopback ports, a tabletd beside each. "
        "All of it goes when the demo ends, also by Ctrl-C.",
    ),
    Phase.LOADING: ("Rows", "Each primary gets a table to be changed."),
    Phase.WATCHING: (
        "Lag, and writers",
        "Each primary's tabletd writes a heartbeat every 250 ms, each replica's reads it: the "
        "difference is the lag. Four writers insert, update, delete, move keys, swap unique "
        "values and roll back; they keep their own book of what was committed.",
    ),
    Phase.MIGRATING: (
        "Migrations",
        "Submitted over gRPC to each primary's tabletd, which checks the server, tries a dry run "
        "and then runs the real tool. The writers go on, through the swap of the tables as well.",
    ),
    Phase.PROVING: (
        "Proof",
        "The writers have stopped. Every row of primary and replica is compared with their book, "
        "and whatever a migration makes for itself is looked for.",
    ),
}


@dataclass
class Track:
    """One pair of servers and the migration on it, as it is shown.

    Attributes:
        title: server and tool.
        rows: rows to load.
        phase: where it is.
        rows_loaded: rows loaded so far.
        commits: transactions that the writers saw committed.
        percent: the migration's progress.
        eta_seconds: time it still needs; negative when not known.
        stage: what the daemon says it is doing.
        waiting: why the migration waits; empty when it does not.
        lags_ms: every measurement of the lag.
        migration_seconds: how long the migration took, from its submission.
        migration_commits: transactions committed in that time.
        compared: how far the proof is.
    """

    title: str
    rows: int
    phase: Phase = Phase.STARTING
    rows_loaded: int = 0
    commits: int = 0
    percent: float = 0.0
    eta_seconds: int = -1
    stage: str = ""
    waiting: str = ""
    lags_ms: list[float] = field(default_factory=list[float])
    migration_seconds: float = 0.0
    migration_commits: int = 0
    compared: str = ""

    def saw_compared(self, role: str, rows: int) -> None:
        """Take over how many rows of a server were read for the proof."""
        self.compared = f"{rows:,} on the {role}"

    @property
    def share(self) -> float:
        """How much of the present phase is done, 0 to 100."""
        if self.phase is Phase.LOADING:
            return 100.0 * self.rows_loaded / self.rows
        if self.phase in (Phase.STARTING, Phase.WATCHING):
            return 0.0
        return self.percent if self.phase is Phase.MIGRATING else 100.0

    @property
    def lag_text(self) -> str:
        """The lag in words."""
        if not self.lags_ms:
            return "lag not measured yet"
        return f"lag {self.lags_ms[-1]:.1f} ms (most {max(self.lags_ms):.1f} ms)"

    @property
    def phase_text(self) -> str:
        """The phase with its details, in one line."""
        if self.phase is Phase.LOADING:
            return f"{self.rows_loaded:,} of {self.rows:,} rows loaded"
        if self.phase is Phase.PROVING and self.compared:
            return f"{self.phase}: {self.compared}"
        if self.phase is not Phase.MIGRATING:
            return self.phase
        eta = f", {self.eta_seconds} s left" if self.eta_seconds >= 0 else ""
        waiting = f" (waits: {self.waiting})" if self.waiting else ""
        return f"{self.stage or 'queued'}: {self.percent:.0f} %{eta}{waiting}"


class Board:
    """Shows the tracks until it is left.

    Args:
        console: where to.
        tracks: read at each refresh.
    """

    def __init__(self, console: Console, tracks: Sequence[Track]) -> None:
        self._console = console
        self._tracks = tracks
        self._live = (
            Live(
                get_renderable=self._render, console=console, refresh_per_second=_REFRESH_PER_SECOND
            )
            if console.is_terminal
            else None
        )
        self._last_lines: dict[str, tuple[Phase, float]] = {}
        self._noted: set[Phase] = set()

    def __enter__(self) -> Board:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
        else:
            self.tick()

    def tick(self) -> None:
        """Say what begins; where there is no terminal, print a line for each track with news."""
        for track in self._tracks:
            self._note(track.phase)
        if self._live is not None:
            return
        for track in self._tracks:
            phase, printed = self._last_lines.get(track.title, (None, 0.0))
            now = time.monotonic()
            if phase is track.phase and (
                now - printed < _LINE_INTERVAL_SECONDS or track.phase in (Phase.DONE, Phase.FAILED)
            ):
                continue
            self._last_lines[track.title] = (track.phase, now)
            parts = [track.phase_text]
            if track.phase in (Phase.WATCHING, Phase.MIGRATING, Phase.SETTLING):
                parts += [track.lag_text, f"{track.commits:,} transactions"]
            self._console.print(
                f"{track.title}: {'; '.join(parts)}", highlight=False, soft_wrap=True
            )

    def _note(self, phase: Phase) -> None:
        if phase in self._noted or phase not in _NOTES:
            return
        self._noted.add(phase)
        heading, text = _NOTES[phase]
        self._console.print(f"\n[bold]{heading}[/bold]\n{text}", highlight=False)

    def _render(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        for track in self._tracks:
            details = f"{track.lag_text}; {track.commits:,} transactions"
            grid.add_row(Text(track.title, style="bold"), Text(track.phase_text))
            grid.add_row(
                ProgressBar(total=100.0, completed=track.share, width=_BAR_WIDTH),
                Text(details if track.commits else "", style="dim"),
            )
        return Group("", grid)
