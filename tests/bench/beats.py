"""When a daemon wrote its heartbeats, by their own time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from tabletd.mysql.pool import Pool


async def keep_heartbeats(pool: Pool, schema: str) -> None:
    """Have the server keep the time that the daemon writes into each heartbeat."""
    await pool.execute(f"CREATE TABLE {schema}.beats (ts BIGINT UNSIGNED)")
    await pool.execute(
        "CREATE TRIGGER _vt.beats AFTER UPDATE ON _vt.heartbeat FOR EACH ROW "
        f"INSERT INTO {schema}.beats VALUES (NEW.ts)"
    )


async def heartbeat_gaps(pool: Pool, schema: str, seconds: float) -> tuple[float, ...]:
    """Wait, and return how far apart the heartbeats of that time were, in seconds."""
    await pool.execute(f"DELETE FROM {schema}.beats")
    await asyncio.sleep(seconds)
    found = await pool.execute(f"SELECT ts FROM {schema}.beats ORDER BY ts")
    beats = [int(ts) / 1e9 for (ts,) in found.rows]
    return tuple(later - earlier for earlier, later in pairwise(beats))
