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
        track.saw_lag(12.0)
        track.saw_lag(3.25)
        track.commits = 1234
        board.tick()

    assert printed.getvalue().splitlines() == [
        "MariaDB: starting servers and daemons",
        "MariaDB: 50,000 of 200,000 rows loaded",
        "MariaDB: pt-osc: copy: 40 %, 7 s left; lag 3.2 ms (most 12 ms); 1,234 transactions",
    ]


def test_lag_that_nobody_has_measured_is_not_shown_as_zero() -> None:
    assert Track("MariaDB", rows=1).lag_text == "lag not measured yet"
