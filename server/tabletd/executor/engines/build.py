"""Makes the engines."""

from __future__ import annotations

from collections.abc import Mapping

from tabletd.executor.engines.base import Engine
from tabletd.executor.engines.direct import DirectEngine
from tabletd.executor.engines.gh_ost import GhOst
from tabletd.executor.engines.pt_osc import PtOsc
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.engines.tool_engine import ToolEngine
from tabletd.executor.migration import Strategy
from tabletd.mysql.pool import Pool


def build_engines(pool: Pool, settings: EngineSettings) -> Mapping[Strategy, Engine]:
    """Make the engine of each strategy.

    Args:
        pool: the daemon's own account; needs two connections for each migration that runs.
        settings: places and addresses.
    """
    return {
        Strategy.DIRECT: DirectEngine(
            pool=pool, retain_artifacts_seconds=settings.retain_artifacts_seconds
        ),
        Strategy.GH_OST: ToolEngine(GhOst(settings), pool=pool, settings=settings),
        Strategy.PT_OSC: ToolEngine(PtOsc(settings), pool=pool, settings=settings),
    }
