"""Pools to a test's server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tabletd.mysql.pool import Pool
from tabletd.mysql.settings import MySQLSettings
from tabletd.mysql.tls import Tls
from tests.support.servers import RealServer


def settings_of(
    server: RealServer, *, user: str = "root", password: str = "", tls: Tls | None = None
) -> MySQLSettings:
    """Return the settings to log in over TCP."""
    return MySQLSettings(host=server.host, port=server.port, user=user, password=password, tls=tls)


@asynccontextmanager
async def pool_of(
    server: RealServer,
    *,
    user: str = "root",
    password: str = "",
    size_max: int = 4,
    raw: bool = False,
    database: str | None = None,
    tls: Tls | None = None,
) -> AsyncGenerator[Pool]:
    """Open a pool as root or as somebody else."""
    settings = settings_of(server, user=user, password=password, tls=tls)
    pool = Pool(settings, name="TestPool", size_max=size_max, raw=raw, database=database)
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()
