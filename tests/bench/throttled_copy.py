"""Migrations beside a replica that can take only half of their copy: how they are held back."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import identifier
from tabletd.sandbox.daemons import gh_ost_path
from tabletd.sandbox.releases import ReleaseName
from tabletd.sandbox.sandbox import Sandbox
from tabletd.sandbox.servers import LOOPBACK, Server
from tabletd.sandbox.vexec_client import vexec_client
from tabletd.sandbox.workload import load
from tests.bench.report import Finding, Grid, Measurement, Picture
from tests.bench.slow_link import slow_link
from tests.bench.stage import application, pool_to, stage, wait_for_sidecar
from tests.bench.truth import Commit, Witness

_TABLE: Final = "orders"
_APPLICATION_TABLE: Final = "customers"
_APPLICATION_ROWS: Final = 10_000
_STATEMENT: Final = f"ALTER TABLE {_TABLE} ENGINE=InnoDB"
_THRESHOLD_SECONDS: Final = 2.0
_TRANSACTIONS_PER_SECOND: Final = 50.0
_COPY_SHARE: Final = 0.5
_P95_MAX: Final = 1.2
_RATE_MIN: Final = 0.8
_CALIBRATION_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.25
_RUN_SECONDS_MAX: Final = 900.0
_SETTINGS: Final = {
    "heartbeat_interval": "100ms",
    "throttle_threshold": f"{_THRESHOLD_SECONDS:.0f}s",
    "retain_artifacts": "0s",
    "table_gc_lifecycle": "drop",
    "gc_check_interval": "1s",
}
_CASES: Final = ((ReleaseName.MYSQL_57, "gh-ost"), (ReleaseName.MARIADB, "pt-osc"))


@dataclass(frozen=True)
class _Run:
    """One migration.

    Attributes:
        title: whose.
        seconds: from its submission to its end.
        written: moments in monotonic seconds and the copy's bytes of binary log up to them.
        commits: the truth of the replica's lag.
        rate_wanted: bytes a second that the replica can take of the copy.
    """

    title: str
    seconds: float
    written: tuple[tuple[float, float], ...]
    commits: tuple[Commit, ...]
    rate_wanted: float

    @property
    def copying(self) -> tuple[float, float]:
        """From when to when the copy was written, but for its first and last fiftieth."""
        total = self.written[-1][1]
        inside = [moment for moment, size in self.written if 0.02 < size / total < 0.98]
        return inside[0], inside[-1]

    @property
    def rate(self) -> float:
        """Bytes of the copy a second."""
        start, end = self.copying
        sizes = dict(self.written)
        return (sizes[end] - sizes[start]) / (end - start)

    @property
    def lags(self) -> list[float]:
        """Seconds of lag of the commits made while the copy was written."""
        start, end = self.copying
        return [one.lag_seconds for one in self.commits if start <= one.sent <= end]

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.lags, n=20)[18]


async def measure() -> list[Finding]:
    """Copy a table of THROTTLED_ROWS rows (default 1,000,000) by each tool, three times."""
    rows = int(os.environ.get("THROTTLED_ROWS", "1000000"))
    findings: list[Finding] = []
    for release, tool in _CASES:
        async with (
            stage(f"thr-{tool}", release, settings=_SETTINGS) as sandbox,
            pool_to(sandbox.primary.server) as pool,
        ):
            await wait_for_sidecar(sandbox)
            await load(pool, sandbox.keyspace, _TABLE, rows)
            findings += _findings(tool, rows, await _Rig(sandbox, pool, tool).runs())
    return findings


class _Rig:
    def __init__(self, sandbox: Sandbox, pool: Pool, tool: str) -> None:
        self._sandbox = sandbox
        self._pool = pool
        self._tool = tool
        self._rate_application = 0.0
        self._rate_wanted = 0.0

    async def runs(self) -> list[_Run]:
        """Learn what the application and a copy write, then copy with the replica held back."""
        primary, replica = self._sandbox.primary.server, self._sandbox.replicas[0].server
        async with slow_link(primary, replica) as link, self._application():
            with Witness(primary, replica):
                before, start = await self._binlog_bytes(), time.monotonic()
                await asyncio.sleep(_CALIBRATION_SECONDS)
                passed = time.monotonic() - start
                self._rate_application = (await self._binlog_bytes() - before) / passed
            free = await self._run("without a bound", _bare(self._tool, self._sandbox, None))
            self._rate_wanted = free.rate * _COPY_SHARE
            found: list[_Run] = []
            for title, act in (
                ("tabletd", self._ours(smooth=True)),
                ("tabletd, plain on and off", self._ours(smooth=False)),
                (f"{self._tool} alone", _bare(self._tool, self._sandbox, _THRESHOLD_SECONDS)),
            ):
                link.set(bytes_per_second=self._rate_application + self._rate_wanted)
                found.append(await self._run(title, act, link_opens=link.set))
            return found

    async def _run(self, title: str, act: Any, link_opens: Any = lambda: None) -> _Run:
        primary, replica = self._sandbox.primary.server, self._sandbox.replicas[0].server
        written: list[tuple[float, float]] = []
        with Witness(primary, replica) as witness:
            before, start = await self._binlog_bytes(), time.monotonic()
            async with asyncio.TaskGroup() as group:
                looking = group.create_task(self._look(written, before, start))
                async with asyncio.timeout(_RUN_SECONDS_MAX):
                    await act
                seconds = time.monotonic() - start
                looking.cancel()
            link_opens()
        await self._clean_up()
        return _Run(title, seconds, tuple(written), witness.truth.commits, self._rate_wanted)

    async def _look(self, written: list[tuple[float, float]], before: int, start: float) -> None:
        while True:
            size, now = await self._binlog_bytes(), time.monotonic()
            written.append((now, size - before - self._rate_application * (now - start)))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _ours(self, *, smooth: bool) -> None:
        daemon = self._sandbox.primary.daemon
        configuration = daemon.directory / "tabletd.toml"
        lines = [
            line
            for line in configuration.read_text().splitlines()
            if not line.startswith("throttle_pacing")
        ]
        lines.append(f'throttle_pacing = "{str(smooth).lower()}"')
        configuration.write_text("\n".join(lines) + "\n")
        daemon.identity.signal(signal.SIGHUP)
        async with vexec_client(daemon.grpc, self._sandbox.keyspace) as client:
            options = "--verify=false"
            uuid = await client.submit(_TABLE, _STATEMENT, self._tool, options=options)
            await client.wait(uuid, until={"complete"}, within_seconds=_RUN_SECONDS_MAX)

    async def _clean_up(self) -> None:
        found = await self._pool.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
            " AND table_name NOT IN (%s, %s)",
            (self._sandbox.keyspace, _TABLE, _APPLICATION_TABLE),
        )
        for (name,) in found.rows:
            table = identifier(self._sandbox.keyspace, name)
            await self._pool.execute(f"DROP TABLE IF EXISTS {table}", timeout_seconds=60)

    async def _binlog_bytes(self) -> int:
        logs = await self._pool.execute("SHOW BINARY LOGS")
        return sum(int(row[1]) for row in logs.rows)

    def _application(self) -> AbstractAsyncContextManager[None]:
        return application(
            self._sandbox, _APPLICATION_TABLE, _APPLICATION_ROWS, _TRANSACTIONS_PER_SECOND
        )


async def _bare(tool: str, sandbox: Sandbox, lag_seconds_max: float | None) -> None:
    """Run a tool by itself, with its own way of being held back; None: with none."""
    server, replica = sandbox.primary.server, sandbox.replicas[0].server
    make = _gh_ost if tool == "gh-ost" else _pt_osc
    command = make(sandbox.keyspace, server, replica, lag_seconds_max)
    done = await asyncio.to_thread(
        subprocess.run, command, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout[-600:] + done.stderr[-600:]


def _gh_ost(
    keyspace: str, server: Server, replica: Server, lag_seconds_max: float | None
) -> list[str]:
    path = gh_ost_path()
    assert path is not None, "scripts/setup.sh gh-ost builds it"
    throttling = (
        []
        if lag_seconds_max is None
        else [
            f"--max-lag-millis={lag_seconds_max * 1e3:.0f}",
            f"--throttle-control-replicas={LOOPBACK}:{replica.port}",
        ]
    )
    return [
        str(path),
        f"--host={LOOPBACK}",
        f"--port={server.port}",
        "--user=root",
        f"--database={keyspace}",
        f"--table={_TABLE}",
        "--alter=ENGINE=InnoDB",
        "--allow-on-master",
        "--assume-rbr",
        f"--serve-socket-file={server.directory / 'bare-gh-ost.sock'}",
        *throttling,
        "--execute",
    ]


def _pt_osc(
    keyspace: str, server: Server, replica: Server, lag_seconds_max: float | None
) -> list[str]:
    throttling = (
        ["--recursion-method=none"]
        if lag_seconds_max is None
        else [
            f"--max-lag={lag_seconds_max:.0f}",
            f"--check-slave-lag=h={LOOPBACK},P={replica.port},u=root",
            "--recursion-method=none",
        ]
    )
    return [
        "pt-online-schema-change",
        "--alter=ENGINE=InnoDB",
        *throttling,
        "--no-drop-old-table",
        "--execute",
        f"h={LOOPBACK},P={server.port},u=root,D={keyspace},t={_TABLE}",
    ]


def _findings(tool: str, rows: int, runs: Sequence[_Run]) -> list[Finding]:
    ours = runs[0]
    title = f"{tool}, {rows:,} rows, a replica that can take half of the copy"
    share = ours.rate / ours.rate_wanted
    table = [
        (
            run.title,
            f"{run.seconds:.0f} s",
            f"{run.rate / run.rate_wanted:.2f}",
            f"{statistics.median(run.lags):.2f} s",
            f"{run.p95:.2f} s",
            f"{max(run.lags):.2f} s",
        )
        for run in runs
    ]
    return [
        Measurement(
            f"{title}: p95 of the lag",
            f"{ours.p95:.2f} s",
            f"{runs[1].p95:.2f} s (on and off)",
            goal=f"at most {_P95_MAX * _THRESHOLD_SECONDS:.1f} s",
            is_met=ours.p95 <= _P95_MAX * _THRESHOLD_SECONDS,
        ),
        Measurement(
            f"{title}: copy against what the replica could take",
            f"{share:.2f}",
            f"{runs[1].rate / ours.rate_wanted:.2f} (on and off)",
            goal=f"at least {_RATE_MIN}",
            is_met=share >= _RATE_MIN,
        ),
        Grid(
            f"{title}, threshold {_THRESHOLD_SECONDS:.0f} s",
            ("who", "time", "copy rate of what it could take", "lag median", "p95", "maximum"),
            table,
        ),
        _picture(tool, runs),
    ]


def _picture(tool: str, runs: Sequence[_Run]) -> Picture:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for run in runs:
            start = run.commits[0].sent
            moments = [one.sent - start for one in run.commits]
            axes.plot(moments, [one.lag_seconds for one in run.commits], label=run.title)
        axes.axhline(_THRESHOLD_SECONDS, color="grey", linestyle=":")
        axes.set(title=f"lag under a migration by {tool}", xlabel="seconds", ylabel="lag, s")
        axes.legend()

    return Picture(f"throttled-copy-{tool}", draw)
