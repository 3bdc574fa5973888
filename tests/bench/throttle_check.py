"""What a check of the throttler costs: against a bare echo, and many tools that ask at once."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
from typing import Final

import psutil

from tabletd.mysql.pool import Pool
from tabletd.sandbox.sandbox import Sandbox
from tabletd_pb import tabletmanagerdata_pb2 as tm
from tests.bench.checkers import CHECKS_PER_SECOND, app_name, checking
from tests.bench.report import Measurement
from tests.bench.stage import pool_to, stage, wait_for_sidecar
from tests.bench.throughput import Call, bare_process, compared, in_turn

_METHOD: Final = "/tabletmanagerservice.TabletManager/CheckThrottler"
_IN_FLIGHT: Final = 64
_FEW, _MANY = 20, 100
_CORE_PERCENT_MAX: Final = 15.0
_SHIFT_MAX: Final = 0.1
_LOOK_SECONDS: Final = 0.01
_SETTLE_SECONDS: Final = 3.0


async def measure() -> list[Measurement]:
    """Ask over gRPC as fast as it goes, then over HTTP as gh-ost does, CHECK_SECONDS each."""
    seconds = float(os.environ.get("CHECK_SECONDS", "30"))
    async with stage("check", settings={"heartbeat_interval": "100ms"}) as sandbox:
        await wait_for_sidecar(sandbox)
        await asyncio.sleep(_SETTLE_SECONDS)
        return [*await _throughput(sandbox), *await _checkers(sandbox, seconds)]


async def _throughput(sandbox: Sandbox) -> list[Measurement]:
    request = tm.CheckThrottlerRequest(app_name=app_name(1))
    call = Call(_METHOD, request.SerializeToString(), _IN_FLIGHT)
    daemon = sandbox.primary.daemon
    # The second answer says that somebody has asked of late, as all others will.
    answers = [await call.once(daemon.grpc) for _ in range(2)]
    answer = tm.CheckThrottlerResponse.FromString(answers[1])
    assert answer.status_code == 200, answer
    async with bare_process("tests.bench.bare_echo", answers[1].hex()) as bare:
        addresses = {"bare": bare.address, "ours": daemon.grpc}
        pids = {"bare": bare.pid, "ours": daemon.identity.pid}
        series = await in_turn(call, addresses, pids)
    what = f"CheckThrottler, {_IN_FLIGHT} in flight"
    ours, echo = (statistics.median(series[name].processor_seconds) for name in ("ours", "bare"))
    return [
        compared(what, series["ours"], series["bare"]),
        Measurement(
            # Who is busy with other things shows in calls a second first, and hardly here.
            f"{what}: processor time of the server for a call, all else that it does included",
            f"{ours * 1e6:.0f} µs",
            f"{echo * 1e6:.0f} µs",
            f"{ours / echo:.2f}",
        ),
    ]


async def _checkers(sandbox: Sandbox, seconds: float) -> list[Measurement]:
    async with pool_to(sandbox.primary.server) as pool:
        alone_percent, alone = await _busy(sandbox, pool, 0, seconds)
        few_percent, _ = await _busy(sandbox, pool, _FEW, seconds)
        _, many = await _busy(sandbox, pool, _MANY, seconds)
    cost = few_percent - alone_percent
    shift = abs(many / alone - 1)
    return [
        Measurement(
            f"{_FEW} tools that check {CHECKS_PER_SECOND} times a second: share of a core",
            f"{cost:.1f} %",
            f"{alone_percent:.1f} % without them",
            goal=f"at most {_CORE_PERCENT_MAX:.0f} %",
            is_met=cost <= _CORE_PERCENT_MAX,
        ),
        Measurement(
            f"{_MANY} tools that check {CHECKS_PER_SECOND} times a second: heartbeats' interval",
            f"{many * 1e3:.1f} ms",
            f"{alone * 1e3:.1f} ms without them",
            f"{many / alone:.2f}",
            f"moved by at most {100 * _SHIFT_MAX:.0f} %",
            shift <= _SHIFT_MAX,
        ),
    ]


async def _busy(sandbox: Sandbox, pool: Pool, checkers: int, seconds: float) -> tuple[float, float]:
    """Let so many tools check, and look at the primary's daemon meanwhile.

    Returns:
        its share of a core in per cent; the 95th percentile of its heartbeats' distances, seconds.
    """
    daemon = sandbox.primary.daemon
    process = psutil.Process(daemon.identity.pid)
    written: list[int] = []
    async with checking(daemon.http_port, checkers):
        await asyncio.sleep(_SETTLE_SECONDS)
        before = process.cpu_times()
        loop = asyncio.get_running_loop()
        start = loop.time()
        while loop.time() < start + seconds:
            ts = (await pool.execute("SELECT ts FROM _vt.heartbeat")).scalar()
            if not written or ts != written[-1]:
                written.append(ts)
            await asyncio.sleep(_LOOK_SECONDS)
        after, took = process.cpu_times(), loop.time() - start
    used = after.user + after.system - before.user - before.system
    gaps = [(late - early) / 1e9 for early, late in itertools.pairwise(written)]
    # With hardly a beat in all that time, the time itself is the least that their distance can be.
    p95 = statistics.quantiles(gaps, n=20)[18] if len(gaps) > 1 else took
    return 100 * used / took, p95
