"""Makes the engines."""

from __future__ import annotations

from collections.abc import Mapping

from tabletd.executor.engines.base import Engine
from tabletd.executor.engines.declarative import Declarative
from tabletd.executor.engines.direct import DirectEngine
from tabletd.executor.engines.gh_ost import GhOst
from tabletd.executor.engines.prefer_instant import InstantFirst
from tabletd.executor.engines.pt_osc import PtOsc
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.engines.tool_engine import ToolEngine
from tabletd.executor.explain import Inspector
from tabletd.executor.migration import Strategy
from tabletd.mysql.pool import Pool


def build_inspectors(pool: Pool, settings: EngineSettings) -> Mapping[Strategy, Inspector]:
    """Make what looks at a migration as the engine of each tool would, and runs nothing."""
    return {
        tool.strategy: ToolEngine(tool, pool=pool, settings=settings)
        for tool in (GhOst(settings), PtOsc(settings))
    }


def build_engines(pool: Pool, settings: EngineSettings) -> Mapping[Strategy, Engine]:
    """Make the engine of each strategy.

    Args:
        pool: the daemon's own account; needs two connections for each migration that runs.
        settings: places and addresses.
    """
    direct = DirectEngine(pool=pool, retain_artifacts_seconds=settings.retain_artifacts_seconds)
    tools = (GhOst(settings), PtOsc(settings))
    by_tool: dict[Strategy, Engine] = {
        tool.strategy: InstantFirst(ToolEngine(tool, pool=pool, settings=settings), direct=direct)
        for tool in tools
    }
    return {Strategy.DIRECT: Declarative(direct, by_tool), **by_tool}
