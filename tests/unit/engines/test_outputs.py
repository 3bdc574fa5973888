"""What the tools say, read right."""

from __future__ import annotations

import pytest

from tabletd.executor.engines import gh_ost_status, pt_osc, pt_osc_output
from tabletd.executor.engines.base import CutOver, EtaState

STATUS = (
    "Copy: {copied}/5000 {percent}%; Applied: 3; Backlog: 2/1000; Time: 3s(total), 2s(copy); "
    "streamer: binlog.000001:1645517; Lag: 0.01s, HeartbeatLag: 0.02s, State: {state}; ETA: {eta}"
)


def status(
    copied: int = 100, percent: str = "2.0", state: str = "migrating", eta: str = "1m5s"
) -> str:
    return STATUS.format(copied=copied, percent=percent, state=state, eta=eta)


def test_the_last_status_line_of_gh_ost_counts() -> None:
    text = f"noise\n{status(10)}\n[info] {status(20, '0.4')}\nmore"
    progress = gh_ost_status.parse_status(text, "gh-ost")
    assert progress is not None
    assert (progress.rows_copied, progress.rows_estimated, progress.percent) == (20, 5000, 0.4)
    assert (progress.eta_state, progress.eta_seconds) == (EtaState.READY, 65)
    assert progress.backlog == 2
    assert progress.stage == "gh-ost: copying rows"


def test_why_gh_ost_is_throttled_is_told() -> None:
    text = status(state="throttled, commanded by user")
    progress = gh_ost_status.parse_status(text, "gh-ost")
    assert progress is not None
    assert progress.stage == "gh-ost: throttled"
    assert progress.throttle_reason == "commanded by user"


def test_a_gh_ost_that_waits_to_cut_over_is_held() -> None:
    text = status(5000, "100.0", state="postponing cut-over", eta="due")
    progress = gh_ost_status.parse_status(text, "gh-ost")
    assert progress is not None
    assert progress.cut_over is CutOver.HELD


def test_a_gh_ost_that_waits_but_has_fallen_behind_is_not_ready() -> None:
    text = status(5000, "100.0", state="postponing cut-over", eta="due")
    behind = text.replace("HeartbeatLag: 0.02s", "HeartbeatLag: 61.50s")
    progress = gh_ost_status.parse_status(behind, "gh-ost")
    assert progress is not None
    assert progress.cut_over is CutOver.AHEAD
    assert progress.stage == "gh-ost: catching up"


def test_no_status_line_is_no_progress() -> None:
    assert gh_ost_status.parse_status("gh-ost starting", "gh-ost") is None


@pytest.mark.parametrize(
    ("text", "state", "seconds"),
    [
        ("due", EtaState.DUE, 0),
        ("N/A", EtaState.MEASURING, -1),
        ("25s", EtaState.READY, 25),
        ("1h0m3s", EtaState.READY, 3603),
        ("2m", EtaState.READY, 120),
        ("soon", EtaState.MEASURING, -1),
    ],
)
def test_an_eta_has_a_state(text: str, state: EtaState, seconds: int) -> None:
    assert gh_ost_status.parse_eta(text) == (state, seconds)


def test_the_cause_is_the_last_fatal_line_and_not_the_stack_behind_it() -> None:
    output = (
        "2026-11-23 07:00:01 ERROR unable to create checkpoint table\n"
        "2026-11-23 07:00:02 FATAL first\n"
        "2026-11-23 07:00:03 FATAL Error 1062: Duplicate entry 'same' for key 'code'\n"
        "goroutine 1 [running]:\nmain.main()\n"
    )
    assert (
        gh_ost_status.failure_cause(output) == "Error 1062: Duplicate entry 'same' for key 'code'"
    )


@pytest.mark.parametrize(
    "cause",
    [
        "flag provided but not defined: -frobnicate",
        "flag needs an argument: -chunk-size",
        'invalid value "abc" for flag -chunk-size: parse error',
        'invalid boolean value "maybe" for -stack: parse error',
    ],
)
def test_a_wrong_flag_is_the_cause_and_not_the_usage_behind_it(cause: str) -> None:
    output = f"{cause}\nUsage of gh-ost:\n  -alter string\n    \tPrint version & exit\n"
    assert gh_ost_status.failure_cause(output) == cause


def test_a_cause_is_found_in_any_output() -> None:
    assert gh_ost_status.failure_cause("") == "it wrote nothing"
    assert gh_ost_status.failure_cause("something\n") == "something"
    assert pt_osc_output.failure_cause("") == "it did not say why"


def test_progress_of_pt_osc_is_its_last_line() -> None:
    text = "Copying `d`.`t`:  12% 00:40 remain\nCopying `d`.`t`:  41% 01:02:04 remain\n"
    progress = pt_osc_output.parse_progress(text, "pt-osc", 1000)
    assert progress is not None
    assert (progress.percent, progress.rows_copied, progress.eta_seconds) == (41.0, 410, 3724)
    assert progress.stage == "pt-osc: copying rows"


def test_days_remaining_are_read() -> None:
    progress = pt_osc_output.parse_progress("Copying `d`.`t`:   1% 2+01:00:00 remain", "pt-osc", 9)
    assert progress is not None
    assert progress.eta_seconds == 2 * 86400 + 3600


def test_pt_osc_that_waits_says_why_until_it_copies_again() -> None:
    waiting = "Copying `d`.`t`:  12% 00:40 remain\nPausing because Threads_running=300.\n"
    progress = pt_osc_output.parse_progress(waiting, "pt-osc", 10)
    assert progress is not None
    assert progress.throttle_reason == "Pausing because Threads_running=300."
    again = pt_osc_output.parse_progress(
        f"{waiting}Copying `d`.`t`:  13% 00:39 remain\n", "pt-osc", 10
    )
    assert again is not None
    assert again.throttle_reason == ""


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (
            "Usage: pt-online-schema-change [OPTIONS] DSN\n\nErrors in command-line arguments:\n"
            "  * Invalid size for --chunk-size: abc\n\n"
            "pt-online-schema-change alters a table's structure without blocking reads or\n",
            "Invalid size for --chunk-size: abc",
        ),
        (
            "Altering new table...\n"
            "Error altering new table `d`.`_t_new`: DBD::mysql::db do failed: Can't DROP 'x'; "
            'check that it exists [for Statement "ALTER TABLE `d`.`_t_new` DROP x"] at '
            "/usr/bin/pt-online-schema-change line 9494.\n"
            "`d`.`t` was not altered.\n",
            "Error altering new table `d`.`_t_new`: DBD::mysql::db do failed: Can't DROP 'x'; "
            "check that it exists",
        ),
        (
            "Creating new table...\nThe new table `d`.`_t_new` does not have a PRIMARY KEY or a "
            "unique index which is required for the DELETE trigger.\n"
            "Please check you have at least one UNIQUE and NOT NULLABLE index.\n"
            "2026-11-23T07:00:00 Dropping new table...\n`d`.`t` was not altered.\n",
            "The new table `d`.`_t_new` does not have a PRIMARY KEY or a unique index which is "
            "required for the DELETE trigger.",
        ),
        (
            "2026-11-23T07:00:00 Error copying rows from `d`.`t` to `d`.`_t_new`: "
            "2026-11-23T07:00:00 Copying rows caused a MySQL error 1048:\n"
            "    Level: Warning\n     Code: 1048\n  Message: Column 'b' cannot be null\n"
            "    Query: INSERT LOW_PRIORITY IGNORE INTO `d`.`_t_new`\n`d`.`t` was not altered.\n",
            "Error copying rows from `d`.`t` to `d`.`_t_new`: 2026-11-23T07:00:00 Copying rows "
            "caused a MySQL error 1048: Level: Warning Code: 1048 "
            "Message: Column 'b' cannot be null",
        ),
        (
            "Cannot connect to MySQL: DBI connect(';host=127.0.0.1','u',...) failed: Access denied "
            "for user 'u'@'localhost' (using password: YES) at /usr/bin/pt-online-schema-change "
            "line 2345.\n",
            "Cannot connect to MySQL: DBI connect(';host=127.0.0.1','u',...) failed: Access denied "
            "for user 'u'@'localhost' (using password: YES)",
        ),
        ("`d`.`t` was not altered.\nsomething unheard of\n", "something unheard of"),
    ],
)
def test_the_cause_of_pt_osc_is_seldom_its_last_line(output: str, cause: str) -> None:
    assert pt_osc_output.failure_cause(output) == cause


def test_a_warning_of_lost_values_is_found() -> None:
    output = (
        "Copying rows caused a MySQL error 1265: Data truncated for column 'n' at row 1\nNo more"
    )
    assert pt_osc_output.losses(output) == (
        "MySQL error 1265: Data truncated for column 'n' at row 1"
    )
    assert pt_osc_output.losses("Copied rows OK.") == ""


def test_each_step_of_pt_osc_is_tried_for_longer_than_a_transaction_waits_for_a_lock() -> None:
    assert all(tries * pause_seconds > 50 for tries, pause_seconds in pt_osc.TRIES.values())


def warned(*warnings: str) -> str:
    said = " ".join(f"Warning: {warning}" for warning in warnings)
    return (
        "2026-11-23 22:07:29 ERROR migration aborted: ApplyIterationInsertQuery failed because of "
        f"SQL warnings: [{said}]\n2026-11-23 22:07:29 INFO Tearing down applier\n"
    )


@pytest.mark.parametrize("key", ["code", "_orders_gho.code"])
def test_the_unique_key_whose_value_gh_ost_met_twice_is_told(key: str) -> None:
    twice = f"Duplicate entry 'it''s-(73)' for key '{key}'"
    assert gh_ost_status.key_met_twice(warned(f"{twice} (1062)")) == ("code", twice)
    assert gh_ost_status.key_met_twice(warned(*[f"{twice} (1062)"] * 3)) == ("code", twice)


@pytest.mark.parametrize(
    "output",
    [
        "",
        warned("Data truncated for column 'n' at row 1 (1265)"),
        warned("Duplicate entry '1' for key 'n' (1062)", "Out of range value for 'n' (1264)"),
    ],
)
def test_what_gh_ost_ended_for_besides_is_no_key_met_twice(output: str) -> None:
    assert gh_ost_status.key_met_twice(output) == ("", "")
