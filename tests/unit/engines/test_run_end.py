"""How a run ended, by what the tool left and what the server says of the swap."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabletd.executor.engines.pt_osc import PtOsc
from tabletd.executor.engines.run_end import PhaseEnd, RunEnds
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.engines.tool import Swap
from tabletd.executor.engines.workspace import Phase
from tabletd.executor.states import Status

SWAPPED = Swap(True, "_t_old", "found _t_old, t")
AS_BEFORE = Swap(False, seen="found _x_new, t")
WELL = PhaseEnd(0, "", stopped=False)
BADLY = PhaseEnd(2, "Cannot connect to MySQL: no", stopped=False)
STOPPED = PhaseEnd(-15, "", stopped=True)
WITHOUT_A_TRACE = PhaseEnd(None, "", stopped=False)
WITH_LOSS = PhaseEnd(0, "Copying rows caused a MySQL error 1265:", stopped=False)
READ_ONLY = "The MySQL server is running with the --read-only option"


@pytest.fixture
def ends(tmp_path: Path) -> RunEnds:
    settings = EngineSettings(
        tablet_alias="zone1-1",
        run_directory=tmp_path,
        log_directory=tmp_path,
        gh_ost_path="gh-ost",
        pt_osc_path="pt-osc",
        callback_url=lambda: "",
    )
    return RunEnds(PtOsc(settings))


@pytest.mark.parametrize(
    ("end", "swap", "status", "words"),
    [
        (WELL, SWAPPED, Status.COMPLETE, ""),
        (BADLY, SWAPPED, Status.COMPLETE, "the tables were swapped; after that: pt-osc run ended"),
        (STOPPED, SWAPPED, Status.COMPLETE, "the tables were swapped before the stop took effect"),
        (WITH_LOSS, SWAPPED, Status.FAILED, "the former table is kept as _t_old"),
        (WELL, AS_BEFORE, Status.FAILED, "the table was not swapped: found _x_new, t"),
        (BADLY, AS_BEFORE, Status.FAILED, "Cannot connect to MySQL: no"),
        (STOPPED, AS_BEFORE, Status.CANCELLED, "was stopped before the swap"),
        (WITHOUT_A_TRACE, AS_BEFORE, Status.FAILED, "its wrapper was killed"),
    ],
)
def test_the_server_says_more_than_the_exit_status(
    ends: RunEnds, end: PhaseEnd, swap: Swap, status: Status, words: str
) -> None:
    outcome = ends.outcome(end, swap)
    assert outcome.status is status
    assert words in outcome.message
    assert outcome.old_table == swap.old_table


def test_what_differs_fails_the_run_whether_it_was_stopped_in_time_or_not(ends: RunEnds) -> None:
    before = ends.outcome(STOPPED, AS_BEFORE, "id = 7: lost")
    assert before.status is Status.FAILED
    assert "before the swap: id = 7: lost" in before.message
    assert ends.outcome(WELL, SWAPPED, "id = 7: lost").status is Status.FAILED


@pytest.mark.parametrize(
    ("exit_code", "said", "is_met"),
    [(2, READ_ONLY, True), (0, READ_ONLY, False), (None, READ_ONLY, False), (2, "no", False)],
)
def test_a_server_that_became_read_only_is_no_failure(
    ends: RunEnds, exit_code: int | None, said: str, is_met: bool
) -> None:
    assert ends.met_read_only(PhaseEnd(exit_code, said, stopped=False)) is is_met


def test_a_signal_from_outside_is_named(ends: RunEnds) -> None:
    end = PhaseEnd(-9, "", stopped=False)
    assert ends.failure(Phase.DRY_RUN, end) == "pt-osc dry run was ended from outside by signal 9"
