"""A strategy setting such as `gh-ost --max-load=Threads_running=900`: its name and its options."""

from __future__ import annotations

import difflib
import shlex

from tabletd.errors import Reason, TabletdError
from tabletd.executor.migration import Strategy
from tabletd.executor.tool_options import GH_OST, PT_OSC, ToolOptions

_TOOLS = {Strategy.GH_OST: GH_OST, Strategy.PT_OSC: PT_OSC}


def parse_strategy(setting: str) -> tuple[Strategy, str]:
    """Split a strategy setting into the strategy and its options, which are not judged here.

    Args:
        setting: `<name>` or `<name> <options>`; empty means `direct`.

    Raises:
        TabletdError: INVALID_REQUEST for an unknown name. Text: Vitess 9.
    """
    name, options = (*setting.split(None, 1), "", "")[:2]
    return strategy_by_name(name), options.strip()


def strategy_by_name(name: str) -> Strategy:
    """Return the strategy of a name; the empty name means `direct`.

    Raises:
        TabletdError: INVALID_REQUEST for an unknown name. Text: Vitess 9.
    """
    try:
        return Strategy(name or Strategy.DIRECT)
    except ValueError:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"Unknown online DDL strategy: '{name}'",
            hint="known strategies: " + ", ".join(Strategy),
        ) from None


def tool_arguments(strategy: Strategy, options: str) -> list[str]:
    """Return the user's options as arguments for the tool, each judged.

    Args:
        strategy: whose tool they are for.
        options: as written in a shell: `--max-load='Threads_running=900' --chunk-size 500`.

    Returns:
        one argument for each option, `--name` or `--name=value`, with the name written out.

    Raises:
        TabletdError: INVALID_REQUEST for a quote that does not end, an option that the tool does
            not have, a missing or stray value, and one that would break supervision.
    """
    words = _shell_words(options)
    tool = _TOOLS.get(strategy)
    if tool is None:
        if words:
            raise _refusal(words[0], f"the strategy {strategy} takes no options")
        return []
    arguments: list[str] = []
    remaining = iter(words)
    for word in remaining:
        name, inline, value = _option(strategy, tool, word)
        if name.removeprefix("no-") in tool.switches:
            arguments.append(_switch(strategy, word, name, value if inline else None))
            continue
        if not inline:
            value = next(remaining, None)
            if value is None:
                raise _refusal(word, "a value is missing")
        arguments.append(f"--{name}={value}")
    return arguments


def _shell_words(options: str) -> list[str]:
    if "\0" in options:
        raise TabletdError(Reason.INVALID_REQUEST, "the options hold a NUL character")
    try:
        return shlex.split(options)
    except ValueError as error:
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"the options cannot be split as a shell would: {error}",
            hint="close the quotes",
        ) from None


def _option(strategy: Strategy, tool: ToolOptions, word: str) -> tuple[str, bool, str | None]:
    """Return the full name of an option, whether it came with `=`, and its value."""
    written, equals, value = word.partition("=")
    dashed = written.removeprefix("-").removeprefix("-")
    if not written.startswith("-") or not dashed:
        raise _refusal(word, "an option is expected here, beginning with --")
    if tool.unique_prefixes and not written.startswith("--"):
        raise _refusal(written, "write it in its long form, beginning with --")
    name = _full_name(tool, dashed)
    if name is None:
        raise _unknown(strategy, tool, written, dashed)
    reason = tool.refused.get(name.removeprefix("no-"))
    if reason is not None:
        raise _refusal(f"--{name}", reason)
    return name, bool(equals), value or ("" if equals else None)


def _full_name(tool: ToolOptions, written: str) -> str | None:
    """Resolve `no`-forms and, where the tool does, an unambiguous beginning of a name.

    An ambiguous beginning resolves to a refused option if it could mean one.
    """
    names = {name: name for name in tool.names}
    for name in tool.negatable:
        names[f"no-{name}"] = names[f"no{name}"] = f"no-{name}"
    if written in names:
        return names[written]
    if not tool.unique_prefixes:
        return None
    meant = sorted({full for name, full in names.items() if name.startswith(written)})
    refused = [full for full in meant if full.removeprefix("no-") in tool.refused]
    if refused:
        return refused[0]
    return meant[0] if len(meant) == 1 else None


def _switch(strategy: Strategy, word: str, name: str, value: str | None) -> str:
    if value is None:
        return f"--{name}"
    if strategy is Strategy.GH_OST and value in ("true", "false"):
        return f"--{name}={value}"
    raise _refusal(word, "it takes no value")


def _unknown(strategy: Strategy, tool: ToolOptions, written: str, name: str) -> TabletdError:
    allowed = tool.switches | tool.valued
    close = difflib.get_close_matches(name, sorted(allowed), n=1)
    return TabletdError(
        Reason.INVALID_REQUEST,
        f"{strategy} has no option {written}",
        hint=f"did you mean --{close[0]}?" if close else f"see the options of {strategy}",
        option=written,
    )


def _refusal(option: str, reason: str) -> TabletdError:
    return TabletdError(
        Reason.INVALID_REQUEST,
        f"the option {option} is refused: {reason}",
        hint="leave it out",
        option=option,
    )
