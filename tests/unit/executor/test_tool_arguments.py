from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.flags import split_options
from tabletd.executor.strategy import Strategy
from tabletd.executor.tool_options import GH_OST, PT_OSC


def arguments_of(strategy: Strategy, options: str) -> tuple[str, ...]:
    return split_options(strategy, options)[1]


def test_options_are_split_as_a_shell_does_and_become_one_argument_each() -> None:
    arguments = arguments_of(
        Strategy.GH_OST, "-max-load='Threads_running=9,x=1' --chunk-size 500 --exact-rowcount"
    )
    assert arguments == ("--max-load=Threads_running=9,x=1", "--chunk-size=500", "--exact-rowcount")


def test_a_charset_is_a_name_or_several() -> None:
    assert arguments_of(Strategy.GH_OST, "--charset utf8mb4,latin1") == (
        "--charset=utf8mb4,latin1",
    )


def test_a_go_switch_takes_true_and_false_only() -> None:
    assert arguments_of(Strategy.GH_OST, "--verbose=false") == ("--verbose=false",)
    with pytest.raises(TabletdError, match="takes no value"):
        arguments_of(Strategy.GH_OST, "--verbose=maybe")


@pytest.mark.parametrize(
    "options",
    [
        "--execute",
        "-execute",
        "--execute=true",
        "--host=evil",
        "--host evil",
        "-password x",
        "--conf=/tmp/x",
        "--hooks-path=/tmp",
        "--serve-socket-file=/tmp/s",
        "--panic-flag-file=/tmp/s",
        "--panic-on-warnings=false",
        "--cut-over=two-step",
        "--skip-metadata-lock-check",
        "--chunk-size=1 --table=t",
        "--throttle-query='DELETE FROM t'",
        "--replication-lag-query='DELETE FROM t'",
        "--throttle-control-replicas=10.0.0.66:3306",
        "--charset='utf8mb4&unique_checks=0'",
        "--charset 'utf8mb4&tls=false'",
        "--charset=",
    ],
)
def test_gh_ost_options_that_break_supervision_are_refused_by_name(options: str) -> None:
    with pytest.raises(TabletdError, match=r"the option --[a-z-]+ is refused: ") as caught:
        arguments_of(Strategy.GH_OST, options)
    assert caught.value.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    "options",
    [
        "--execute",
        "--exec",
        "--dry",
        "--no-swap-tables",
        "--noswap-tables",
        "--no-swap",
        "--swap-tables",
        "--plugin=/tmp/x",
        "--plu /tmp/x",
        "--pas x",
        "--def=/x",
        "--nodrop-old",
        "--new-table=_x",
        "--pi=/tmp/x",
        "--set-vars=a=1",
        "--p=x",
    ],
)
def test_pt_osc_options_that_break_supervision_are_refused_abbreviated_too(options: str) -> None:
    with pytest.raises(TabletdError, match="is refused"):
        arguments_of(Strategy.PT_OSC, options)


@pytest.mark.parametrize("options", ["-h evil", "-ppassword", "-q", "h=evil,D=x", "--", "-", "x"])
def test_short_options_and_stray_words_are_refused(options: str) -> None:
    with pytest.raises(TabletdError, match="is refused"):
        arguments_of(Strategy.PT_OSC, options)


def test_an_unambiguous_beginning_of_a_pt_osc_option_is_written_out() -> None:
    assert arguments_of(Strategy.PT_OSC, "--no-check-uniq --max-lo Threads_running=9") == (
        "--no-check-unique-key-change",
        "--max-load=Threads_running=9",
    )


def test_an_unknown_option_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(TabletdError, match=r"gh-ost has no option --chunk-sise .*--chunk-size"):
        arguments_of(Strategy.GH_OST, "--chunk-sise=5")


def test_a_missing_value_and_an_open_quote_are_refused() -> None:
    with pytest.raises(TabletdError, match="a value is missing"):
        arguments_of(Strategy.GH_OST, "--chunk-size")
    with pytest.raises(TabletdError, match="cannot be split"):
        arguments_of(Strategy.GH_OST, "--max-load='x")


def test_direct_takes_no_options() -> None:
    assert arguments_of(Strategy.DIRECT, "  ") == ()
    with pytest.raises(TabletdError, match="direct has no option --chunk-size"):
        arguments_of(Strategy.DIRECT, "--chunk-size=1")


@pytest.mark.parametrize("tool", [GH_OST, PT_OSC])
def test_no_option_is_both_allowed_and_refused(tool: object) -> None:
    assert tool is GH_OST or tool is PT_OSC
    options = GH_OST if tool is GH_OST else PT_OSC
    assert not options.switches & options.valued
    assert not (options.switches | options.valued) & options.refused.keys()
