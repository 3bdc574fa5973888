"""Whether gh-ost and pt-online-schema-change are there, and fit for this server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from tabletd.app.queue import tool_program
from tabletd.doctor.findings import Check, Finding, Verdict, ok, refused
from tabletd.doctor.server import Server
from tabletd.errors import Reason, TabletdError
from tabletd.executor.preflight import server as on_server
from tabletd.executor.preflight.facts import ToolFacts
from tabletd.executor.preflight.tool import (
    GH_OST_REQUIRED_FLAGS,
    AboutTool,
    ProgramInspector,
    gh_ost_program,
    pt_osc_program,
)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool, and the checks of preflight that look at no table.

    Attributes:
        strategy: by which it is asked for.
        program: its name on PATH.
        setting: which names its file.
        required_flags: see `ProgramInspector`.
        check_program: of the file.
        check_server: of the server.
    """

    strategy: str
    program: str
    setting: str
    required_flags: tuple[str, ...]
    check_program: Callable[[AboutTool], None]
    check_server: tuple[Callable[[on_server.AboutSettings], None], ...]


TOOLS: Final = (
    Tool(
        strategy="gh-ost",
        program="gh-ost",
        setting="gh_ost_path",
        required_flags=GH_OST_REQUIRED_FLAGS,
        check_program=gh_ost_program,
        check_server=(
            on_server.gh_ost_server,
            on_server.not_galera_for_gh_ost,
            on_server.reachable_by_tcp,
            on_server.gh_ost_binary_log,
            on_server.no_replication_filters,
        ),
    ),
    Tool(
        strategy="pt-osc",
        program="pt-online-schema-change",
        setting="pt_osc_path",
        required_flags=(),
        check_program=pt_osc_program,
        check_server=(
            on_server.pt_osc_server,
            on_server.galera_for_pt_osc,
            on_server.reachable_by_tcp,
            on_server.no_replication_filters,
            on_server.trigger_creators,
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class _Found:
    """A tool as it was found; implements `AboutTool`."""

    tool: ToolFacts
    allows_unsafe_cutover: bool


async def tools(server: Server) -> Sequence[Finding]:
    """Those that are configured are fit for this server, and at least one is."""
    if not server.config.enable_online_ddl:
        return [ok("enable_online_ddl is off: none is needed")]
    looks = [(tool, *await _look(tool, server)) for tool in TOOLS]
    is_any_fit = any(not problems for _, _, problems in looks)
    findings: list[Finding] = []
    for tool, facts, problems in looks:
        if not problems:
            answer = facts.answer or ""
            named = answer if tool.program in answer else f"{tool.program} {answer}"
            findings.append(ok(f"{named} at {facts.path}, fit for {server.server}"))
        findings += [_judged(problem, tool, server, is_any_fit) for problem in problems]
    return findings


async def _look(tool: Tool, server: Server) -> tuple[ToolFacts, list[TabletdError]]:
    path = await asyncio.to_thread(tool_program, getattr(server.config, tool.setting), tool.program)
    facts = await ProgramInspector(path, tool.required_flags).inspect()
    found = _Found(facts, server.allows_unsafe_cutover)
    looks = [partial(tool.check_program, found)]
    looks += [partial(check, server) for check in tool.check_server]
    problems: list[TabletdError] = []
    for look in looks:
        try:
            look()
        except TabletdError as error:
            if error.reason is Reason.UNSUPPORTED_SERVER:
                return facts, [error]  # whatever else is set there
            problems.append(error)
    return facts, problems


def _judged(problem: TabletdError, tool: Tool, server: Server, is_any_fit: bool) -> Finding:
    """What nobody asked for may be missing; where no tool is fit, each of them is asked for."""
    config = server.config
    is_default = config.default_online_strategy == tool.strategy
    if is_default or not is_any_fit:
        return refused(problem)
    if problem.reason is Reason.UNSUPPORTED_SERVER:
        return ok(problem.message)
    is_named = getattr(config, tool.setting) is not None
    return refused(problem, Verdict.FAIL if is_named else Verdict.WARN)


TOOL_CHECKS: Final[Sequence[Check[Server]]] = (Check("tools", tools),)
