"""The options of a migration that are for its tool: each judged, none made up."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.executor.strategy import Strategy
from tabletd.executor.tool_options import FLAG_NAMES, GH_OST, PT_OSC, ToolOptions

_TOOLS: Final = {Strategy.GH_OST: GH_OST, Strategy.PT_OSC: PT_OSC}
# gh-ost writes it into the address of its connections, where `&` begins another setting of them.
_CHARSETS: Final = re.compile(r"\w+(?:,\w+)*", re.ASCII)
_NO_TOOL: Final = ToolOptions(frozenset(), frozenset(), {})


def tool_arguments(strategy: Strategy, words: Sequence[str]) -> tuple[str, ...]:
    """Return the user's options as arguments for the tool, each judged.

    Args:
        strategy: whose tool they are for.
        words: as a shell splits them: `--max-load=Threads_running=900`, `--chunk-size`, `500`.

    Returns:
        one argument for each option, `--name` or `--name=value`, with the name written out.

    Raises:
        TabletdError: INVALID_REQUEST for an option that the tool does not have, a missing or stray
            value, and one that would break supervision.
    """
    tool = _TOOLS.get(strategy, _NO_TOOL)
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
                raise refused_option(word, "a value is missing")
        if name == "charset" and not _CHARSETS.fullmatch(value or ""):
            raise refused_option(f"--{name}", "its value is no character set's name")
        arguments.append(f"--{name}={value}")
    return tuple(arguments)


def _option(strategy: Strategy, tool: ToolOptions, word: str) -> tuple[str, bool, str | None]:
    """Return the full name of an option, whether it came with `=`, and its value."""
    written, equals, value = word.partition("=")
    dashed = written.removeprefix("-").removeprefix("-")
    if not written.startswith("-") or not dashed:
        raise refused_option(word, "an option is expected here, beginning with --")
    if tool.unique_prefixes and not written.startswith("--"):
        raise refused_option(written, "write it in its long form, beginning with --")
    name = _full_name(tool, dashed)
    if name is None:
        raise _unknown(strategy, tool, written, dashed)
    reason = tool.refused.get(name.removeprefix("no-"))
    if reason is not None:
        raise refused_option(f"--{name}", reason)
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
    raise refused_option(word, "it takes no value")


def _unknown(strategy: Strategy, tool: ToolOptions, written: str, name: str) -> TabletdError:
    allowed = tool.switches | tool.valued | FLAG_NAMES
    close = difflib.get_close_matches(name, sorted(allowed), n=1)
    return TabletdError(
        Reason.INVALID_REQUEST,
        f"{strategy} has no option {written}",
        hint=f"did you mean --{close[0]}?" if close else f"see the flags and options of {strategy}",
        option=written,
    )


def refused_option(option: str, reason: str) -> TabletdError:
    """Return the error for an option that cannot be taken."""
    return TabletdError(
        Reason.INVALID_REQUEST,
        f"the option {option} is refused: {reason}",
        hint="leave it out",
        option=option,
    )
