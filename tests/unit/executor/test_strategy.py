from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.migration import Strategy
from tabletd.executor.strategy import parse_strategy, tool_arguments
from tabletd.executor.tool_options import GH_OST, PT_OSC


@pytest.mark.parametrize(
    ("setting", "strategy", "options"),
    [
        ("", Strategy.DIRECT, ""),
        ("direct", Strategy.DIRECT, ""),
        ("gh-ost", Strategy.GH_OST, ""),
        ("pt-osc", Strategy.PT_OSC, ""),
        (
            "gh-ost --max-load=Threads_running=100 --allow-master",
            Strategy.GH_OST,
            "--max-load=Threads_running=100 --allow-master",
        ),
        ("pt-osc \t  --chunk-size 5 ", Strategy.PT_OSC, "--chunk-size 5"),
    ],
)
def test_a_strategy_setting_is_a_name_and_options(
    setting: str, strategy: Strategy, options: str
) -> None:
    assert parse_strategy(setting) == (strategy, options)


def test_an_unknown_strategy_is_refused_with_its_name() -> None:
    with pytest.raises(TabletdError, match="Unknown online DDL strategy: 'other'") as caught:
        parse_strategy("other")
    assert caught.value.reason is Reason.INVALID_REQUEST


def test_options_are_split_as_a_shell_does_and_become_one_argument_each() -> None:
    arguments = tool_arguments(
        Strategy.GH_OST, "-max-load='Threads_running=9,x=1' --chunk-size 500 --exact-rowcount"
    )
    assert arguments == ["--max-load=Threads_running=9,x=1", "--chunk-size=500", "--exact-rowcount"]


def test_a_go_switch_takes_true_and_false_only() -> None:
    assert tool_arguments(Strategy.GH_OST, "--verbose=false") == ["--verbose=false"]
    with pytest.raises(TabletdError, match="takes no value"):
        tool_arguments(Strategy.GH_OST, "--verbose=maybe")


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
    ],
)
def test_gh_ost_options_that_break_supervision_are_refused_by_name(options: str) -> None:
    with pytest.raises(TabletdError, match=r"the option --[a-z-]+ is refused: ") as caught:
        tool_arguments(Strategy.GH_OST, options)
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
        tool_arguments(Strategy.PT_OSC, options)


@pytest.mark.parametrize("options", ["-h evil", "-ppassword", "-q", "h=evil,D=x", "--", "-", "x"])
def test_short_options_and_stray_words_are_refused(options: str) -> None:
    with pytest.raises(TabletdError, match="is refused"):
        tool_arguments(Strategy.PT_OSC, options)


def test_an_unambiguous_beginning_of_a_pt_osc_option_is_written_out() -> None:
    assert tool_arguments(Strategy.PT_OSC, "--no-check-uniq --max-lo Threads_running=9") == [
        "--no-check-unique-key-change",
        "--max-load=Threads_running=9",
    ]


def test_an_unknown_option_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(TabletdError, match=r"gh-ost has no option --chunk-sise .*--chunk-size"):
        tool_arguments(Strategy.GH_OST, "--chunk-sise=5")


def test_a_missing_value_and_an_open_quote_are_refused() -> None:
    with pytest.raises(TabletdError, match="a value is missing"):
        tool_arguments(Strategy.GH_OST, "--chunk-size")
    with pytest.raises(TabletdError, match="cannot be split"):
        tool_arguments(Strategy.GH_OST, "--max-load='x")


def test_direct_takes_no_options() -> None:
    assert tool_arguments(Strategy.DIRECT, "  ") == []
    with pytest.raises(TabletdError, match="takes no options"):
        tool_arguments(Strategy.DIRECT, "--chunk-size=1")


@pytest.mark.parametrize("tool", [GH_OST, PT_OSC])
def test_no_option_is_both_allowed_and_refused(tool: object) -> None:
    assert tool is GH_OST or tool is PT_OSC
    options = GH_OST if tool is GH_OST else PT_OSC
    assert not options.switches & options.valued
    assert not (options.switches | options.valued) & options.refused.keys()
