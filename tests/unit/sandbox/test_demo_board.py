"""What the demo prints where there is no terminal."""

from __future__ import annotations

import io

from rich.console import Console

from tabletd.sandbox.demo_board import Board, Phase, Track


def test_each_phase_is_one_line_and_says_how_far_it_is() -> None:
    printed = io.StringIO()
    track = Track("MariaDB", rows=200_000)

    with Board(Console(file=printed), [track]) as board:
        board.tick()
        board.tick()
        track.phase, track.rows_loaded = Phase.LOADING, 50_000
        board.tick()
        track.phase, track.stage, track.percent, track.eta_seconds = (
            Phase.MIGRATING,
            "pt-osc: copy",
            40.0,
            7,
        )
        track.lags_ms += [12.0, 3.25]
        track.commits = 1234
        board.tick()

    lines = [line for line in printed.getvalue().splitlines() if line.startswith("MariaDB: ")]
    assert lines == [
        "MariaDB: starting servers and daemons",
        "MariaDB: 50,000 of 200,000 rows loaded",
        "MariaDB: pt-osc: copy: 40 %, 7 s left; lag 3.2 ms (most 12.0 ms); 1,234 transactions",
    ]


def test_what_begins_is_explained_once_however_many_pairs_come_to_it() -> None:
    printed = io.StringIO()
    tracks = [Track("MariaDB", rows=1), Track("MySQL", rows=1)]
    with Board(Console(file=printed), tracks) as board:
        for phase in (Phase.STARTING, Phase.LOADING):
            for track in tracks:
                track.phase = phase
                board.tick()
    headings = [line for line in printed.getvalue().splitlines() if line in ("Servers", "Rows")]
    assert headings == ["Servers", "Rows"]


def test_a_migration_that_waits_says_why() -> None:
    track = Track("MariaDB", rows=1, phase=Phase.MIGRATING, stage="pt-osc: copying", percent=7)
    track.waiting = "lag=6s on replica"
    assert track.phase_text == "pt-osc: copying: 7 % (waits: lag=6s on replica)"


def test_lag_that_nobody_has_measured_is_not_shown_as_zero() -> None:
    assert Track("MariaDB", rows=1).lag_text == "lag not measured yet"
