"""What the options of a migration ask of the queue, apart from what they hand to its tool."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tabletd.durations import parse_duration
from tabletd.errors import Reason, TabletdError
from tabletd.executor.strategy import Strategy
from tabletd.executor.tool_arguments import refused_option, tool_arguments
from tabletd.executor.tool_options import DURATION_FLAGS, IGNORED_FLAGS, SWITCH_FLAGS

CUT_OVER_THRESHOLD_SECONDS_MIN: Final = 5
CUT_OVER_THRESHOLD_SECONDS_MAX: Final = 30
_GH_OST_THRESHOLD_SECONDS_MAX: Final = 10
_BY_THE_SERVER: Final = frozenset({Strategy.DIRECT, Strategy.MYSQL})


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of Vitess's strategies, by their names with underscores.

    Attributes:
        retain_artifacts_seconds: how long the old table is kept; 0: as the daemon is set, -1: not
            at all.
        cut_over_threshold_seconds: how long a cut-over may lock; 0: as the engine is set.
        force_cut_over_after_seconds: how long after it was ready a cut-over is forced; 0: never.
        verify: ours, not Vitess's: compare all rows before the tables are swapped.
    """

    singleton: bool = False
    singleton_context: bool = False
    singleton_table: bool = False
    in_order_completion: bool = False
    postpone_launch: bool = False
    postpone_completion: bool = False
    allow_concurrent: bool = False
    prefer_instant_ddl: bool = False
    retain_artifacts_seconds: int = 0
    cut_over_threshold_seconds: int = 0
    force_cut_over_after_seconds: float = 0.0
    allow_zero_in_date: bool = False
    unsafe_allow_foreign_keys: bool = False
    analyze_table: bool = False
    declarative: bool = False
    verify: bool = True


@lru_cache(maxsize=1024)
def split_options(strategy: Strategy, options: str) -> tuple[Flags, tuple[str, ...]]:
    """Read the options of a migration.

    Args:
        strategy: how it is carried out.
        options: as written in a shell, each with one dash or two: `--postpone-completion
            --retain-artifacts=48h --chunk-size 500`.

    Returns:
        the flags, and what else is for the strategy's tool, one argument for each option.

    Raises:
        TabletdError: INVALID_REQUEST for a quote that does not end, a value that cannot be read,
            and an option that neither we nor the tool have; MIGRATION_REJECTED for a flag that
            does not go with the strategy, and a cut-over threshold out of range.
    """
    flags, for_tool = _flags_and_rest(strategy, options)
    return flags, tool_arguments(strategy, for_tool)


def flags_of(strategy: Strategy, options: str) -> Flags:
    """Read the flags alone, of a migration that was taken: whatever it then handed to its tool.

    An option that a later version refuses must not keep it from what runs already.

    Raises:
        TabletdError: as `split_options`, for what the flags are.
    """
    return _flags_and_rest(strategy, options)[0]


def check_cut_over_threshold(strategy: Strategy, seconds: float) -> None:
    """Refuse a time that no cut-over may lock a table for. Texts: Vitess.

    Raises:
        TabletdError: MIGRATION_REJECTED.
    """
    if seconds < CUT_OVER_THRESHOLD_SECONDS_MIN:
        raise _rejected(f"cut-over min value is {CUT_OVER_THRESHOLD_SECONDS_MIN}s")
    if seconds > CUT_OVER_THRESHOLD_SECONDS_MAX:
        raise _rejected(f"cut-over max value is {CUT_OVER_THRESHOLD_SECONDS_MAX}s")
    if strategy is Strategy.GH_OST and seconds > _GH_OST_THRESHOLD_SECONDS_MAX:
        raise _rejected(
            f"cut-over max value is {_GH_OST_THRESHOLD_SECONDS_MAX}s with gh-ost, "
            "which takes no longer lock time-out"
        )


@lru_cache(maxsize=1024)
def _flags_and_rest(strategy: Strategy, options: str) -> tuple[Flags, tuple[str, ...]]:
    for_tool: list[str] = []
    switches: dict[str, bool] = {}
    durations: dict[str, float] = {}
    words = iter(_shell_words(options))
    for word in words:
        written, equals, value = word.partition("=")
        name = _flag_name(written)
        if name in SWITCH_FLAGS:
            switches[name] = _truth(word, value if equals else "true")
        elif name in DURATION_FLAGS:
            durations[name] = _duration(written, value if equals else next(words, ""))
        elif name not in IGNORED_FLAGS:
            for_tool.append(word)
    flags = Flags(
        **{_attribute(name): value for name, value in switches.items()},
        retain_artifacts_seconds=_retention(durations),
        cut_over_threshold_seconds=_threshold(strategy, durations),
        force_cut_over_after_seconds=durations.get("force-cut-over-after", 0.0),
    )
    _check_for_strategy(strategy, flags)
    return flags, tuple(for_tool)


def _shell_words(options: str) -> Iterator[str]:
    if "\0" in options:
        raise TabletdError(Reason.INVALID_REQUEST, "the options hold a NUL character")
    try:
        return iter(shlex.split(options))
    except ValueError as error:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the options cannot be split as a shell would: {error}",
            hint="close the quotes",
        ) from None


def _flag_name(written: str) -> str:
    """Return the name without its one or two dashes; empty for what has none."""
    return written.removeprefix("-").removeprefix("-") if written.startswith("-") else ""


def _attribute(name: str) -> str:
    return "prefer_instant_ddl" if name == "fast-over-revertible" else name.replace("-", "_")


def _truth(word: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise refused_option(word, "it takes no value but true and false")
    return value == "true"


def _duration(written: str, value: str) -> float:
    try:
        seconds = parse_duration(value)
    except TabletdError as error:
        raise refused_option(written, str(error)) from None
    if seconds < 0 and _flag_name(written) != "retain-artifacts":
        raise refused_option(written, "its duration is negative")
    return seconds


def _retention(durations: dict[str, float]) -> int:
    seconds = durations.get("retain-artifacts")
    if seconds is None:
        return 0
    return math.ceil(seconds) if seconds > 0 else -1


def _threshold(strategy: Strategy, durations: dict[str, float]) -> int:
    seconds = durations.get("cut-over-threshold")
    if seconds is None:
        return 0
    check_cut_over_threshold(strategy, seconds)
    return math.ceil(seconds)


def _check_for_strategy(strategy: Strategy, flags: Flags) -> None:
    """Refuse what Vitess refuses for its `mysql`, and what only a cut-over can obey."""
    if strategy is Strategy.MYSQL and flags.postpone_completion:
        raise _rejected(f"--postpone-completion not supported in '{strategy}' strategy")
    if strategy is Strategy.MYSQL and flags.allow_zero_in_date:
        raise _rejected(f"--allow-zero-in-date not supported in '{strategy}' strategy")
    if strategy in _BY_THE_SERVER and flags.force_cut_over_after_seconds:
        raise _rejected(f"--force-cut-over-after not supported in '{strategy}' strategy")


def _rejected(message: str) -> TabletdError:
    return TabletdError(Reason.MIGRATION_REJECTED, message)
