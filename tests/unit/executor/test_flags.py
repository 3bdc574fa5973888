from __future__ import annotations

import pytest

from tabletd.durations import parse_duration
from tabletd.errors import Reason, TabletdError
from tabletd.executor.flags import Flags, split_options
from tabletd.executor.flags import flags_of as flags_of_taken
from tabletd.executor.strategy import Strategy


def flags_of(options: str, strategy: Strategy = Strategy.GH_OST) -> Flags:
    return split_options(strategy, options)[0]


def test_flags_are_taken_with_one_dash_or_two_and_the_rest_is_the_tools() -> None:
    flags, arguments = split_options(
        Strategy.GH_OST,
        "-postpone-completion --chunk-size 500 --retain-artifacts=48h -singleton --verbose",
    )
    assert flags == Flags(postpone_completion=True, singleton=True, retain_artifacts_seconds=172800)
    assert arguments == ("--chunk-size=500", "--verbose")


@pytest.mark.parametrize("option", ["--throttle-query='DELETE FROM t'", "--of-another-version 5"])
def test_the_flags_of_a_migration_that_was_taken_are_read_beside_an_option_that_is_refused_by_now(
    option: str,
) -> None:
    options = f"--in-order-completion {option} --retain-artifacts=48h"
    with pytest.raises(TabletdError):
        split_options(Strategy.GH_OST, options)
    found = flags_of_taken(Strategy.GH_OST, options)
    assert found == Flags(in_order_completion=True, retain_artifacts_seconds=172800)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_every_strategy_knows_the_flags_of_the_queue(strategy: Strategy) -> None:
    flags = flags_of(
        "--singleton --singleton-context --singleton-table --in-order-completion --postpone-launch"
        " --allow-concurrent --prefer-instant-ddl --unsafe-allow-foreign-keys --analyze-table"
        " --declarative --retain-artifacts 1h --cut-over-threshold=7s --skip-topo"
        " --fast-range-rotation",
        strategy,
    )
    assert flags == Flags(
        singleton=True,
        singleton_context=True,
        singleton_table=True,
        in_order_completion=True,
        postpone_launch=True,
        allow_concurrent=True,
        prefer_instant_ddl=True,
        unsafe_allow_foreign_keys=True,
        analyze_table=True,
        declarative=True,
        retain_artifacts_seconds=3600,
        cut_over_threshold_seconds=7,
    )


def test_a_flag_may_be_said_to_be_false() -> None:
    assert flags_of("--singleton=false --postpone-launch=true") == Flags(postpone_launch=True)
    with pytest.raises(TabletdError, match="no value but true and false"):
        flags_of("--singleton=maybe")


@pytest.mark.parametrize("strategy", list(Strategy))
def test_rows_are_compared_unless_a_migration_says_otherwise(strategy: Strategy) -> None:
    assert flags_of("", strategy).verify
    assert not flags_of("--verify=false", strategy).verify


def test_an_earlier_name_of_a_flag_means_the_same() -> None:
    assert flags_of("--fast-over-revertible").prefer_instant_ddl


@pytest.mark.parametrize("strategy", list(Strategy))
def test_an_unknown_flag_is_refused_with_the_nearest_known_one(strategy: Strategy) -> None:
    with pytest.raises(TabletdError, match="did you mean --postpone-completion") as caught:
        flags_of("--postpone-completoin", strategy)
    assert caught.value.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("--cut-over-threshold=4s", "cut-over min value is 5s"),
        ("--cut-over-threshold=31s", "cut-over max value is 30s"),
        ("--cut-over-threshold=11s", "cut-over max value is 10s with gh-ost"),
    ],
)
def test_a_cut_over_threshold_out_of_range_is_refused(options: str, text: str) -> None:
    with pytest.raises(TabletdError, match=text) as caught:
        flags_of(options)
    assert caught.value.reason is Reason.MIGRATION_REJECTED


def test_pt_osc_may_lock_longer_than_gh_ost() -> None:
    flags = flags_of("--cut-over-threshold=30s", Strategy.PT_OSC)
    assert flags.cut_over_threshold_seconds == 30


@pytest.mark.parametrize(
    "options", ["--postpone-completion", "--allow-zero-in-date", "--force-cut-over-after=1m"]
)
def test_the_strategy_mysql_refuses_what_it_cannot_obey(options: str) -> None:
    with pytest.raises(TabletdError, match="not supported in 'mysql' strategy") as caught:
        flags_of(options, Strategy.MYSQL)
    assert caught.value.reason is Reason.MIGRATION_REJECTED


def test_no_retention_and_a_retention_of_nothing_are_told_apart() -> None:
    assert flags_of("").retain_artifacts_seconds == 0
    assert flags_of("--retain-artifacts=0").retain_artifacts_seconds == -1
    assert flags_of("--retain-artifacts=1ms").retain_artifacts_seconds == 1


@pytest.mark.parametrize(
    "options",
    [
        "--retain-artifacts",
        "--retain-artifacts=",
        "--retain-artifacts=5",
        "--retain-artifacts=5x",
        "--retain-artifacts=999999h",
        "--force-cut-over-after=-1s",
        "--cut-over-threshold=5s 5s",
    ],
)
def test_a_duration_that_cannot_be_read_is_refused(options: str) -> None:
    with pytest.raises(TabletdError) as caught:
        flags_of(options)
    assert caught.value.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15s", 15), ("1h30m", 5400), ("250ms", 0.25), ("1.5h", 5400), ("-1s", -1), ("0", 0)],
)
def test_a_duration_is_read_as_go_writes_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
