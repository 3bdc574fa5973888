"""Daemons that share a server, inside the test's own process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from tabletd.lease import Holder, Lease
from tabletd.lease.holder import Process, own_holder
from tabletd.lease.lease import boot_seconds
from tabletd.telemetry.vars import Registry
from tests.support.pools import pool_of
from tests.support.servers import RealServer

DURATION_SECONDS = 4.0


def holder_of(uid: int) -> Holder:
    """Return a holder on another machine, which nobody here can tell dead."""
    process = Process(boot_id=f"boot-{uid}", pid_namespace=1, pid=uid, start_ticks=uid)
    return Holder(f"zone1-{uid:010}", f"host{uid}", f"host{uid}:16100", process)


def dead_holder() -> Holder:
    """Return a holder that was on this machine and has ended."""
    own = own_holder("zone1-0000000109", "")
    process = own.process
    ended = Process(process.boot_id, process.pid_namespace, process.pid, process.start_ticks - 1)
    return Holder(own.tablet, own.host, own.address, ended)


class Stopwatch:
    """The clock of a lease's deadline, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def lease_of(
    server: RealServer,
    holder: Holder,
    *,
    now: Callable[[], float] = boot_seconds,
    duration_seconds: float = DURATION_SECONDS,
    in_use: Callable[[], bool] = lambda: True,
    registry: Registry | None = None,
) -> AsyncGenerator[Lease]:
    """Make a lease that takes no step by itself: the test calls `make_primary`, or `run`s it.

    Args:
        server: whose lease.
        holder: who wants it.
        now: the clock of its deadline.
        duration_seconds: of a lease.
        in_use: whether there is anything to do.
        registry: gets its instruments.
    """
    async with pool_of(server, size_max=1) as pool:
        lease = Lease(
            pool,
            tablet=holder.tablet,
            registry=registry or Registry(),
            duration_seconds=duration_seconds,
            holder=holder,
            now=now,
            in_use=in_use,
        )
        yield lease
