"""How wrong a lag figure is: ours, and what else people use, against the truth."""

from __future__ import annotations

import asyncio
import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tabletd.sandbox.sandbox import Sandbox, Tablet
from tests.bench.clocks import (
    CLOCKS,
    HostClock,
    drift_ppm,
    launcher,
    put_under_clock,
    steady_clock,
)
from tests.bench.lag_readers import Readings, pt_heartbeat_writer, reading
from tests.bench.report import Finding, Grid, Measurement, Picture
from tests.bench.slow_link import SlowLink, slow_link
from tests.bench.stage import application, stage, wait_for_sidecar
from tests.bench.truth import Truth, Witness
from tests.bench.widths import Bounded, just_after_beats

_INTERVAL_SECONDS: Final = 0.1
_SETTLE_SECONDS: Final = 5.0
# For which share of a run binary logs are how late on their way.
_DELAYS: Final = ((0.4, 0.0), (0.2, 0.03), (0.2, 0.3), (0.2, 1.5))
_TRANSACTIONS_PER_SECOND: Final = 100.0
_ROWS: Final = 10_000
_MEDIAN_MS_MAX: Final = 2.0
_P99_MS_MAX: Final = 10.0
_INSIDE_MIN: Final = 0.999
_WIDTH_MS_MAX: Final = 5.0
# The interval and the error.
_WIDEST_MS_MAX: Final = _INTERVAL_SECONDS * 1e3 + _P99_MS_MAX
_DRIFT_OFF_PPM_MAX: Final = 50.0
_OURS: Final = "tabletd"
# What the truth itself is sure of: one look at a busy server.
_TRUTH_SECONDS: Final = 0.001


@dataclass(frozen=True)
class _Run:
    clock: str
    load: str
    truth: Truth
    beats: Truth
    readings: Readings
    drift_wanted_ppm: float
    drift_ppm: float

    @property
    def title(self) -> str:
        return f"{self.clock}, {self.load}"

    def errors_ms(self, method: str) -> list[float]:
        """Held against an application's commits, of which some are missing before a beat is."""
        return self._errors_ms(method, self.truth)

    @property
    def beat_errors_ms(self) -> list[float]:
        """Of our figure, held against what it is said to be: the lag of heartbeats."""
        return self._errors_ms(_OURS, self.beats)

    def _errors_ms(self, method: str, truth: Truth) -> list[float]:
        return [
            abs(lag - truth.lag_seconds(moment)) * 1e3
            for moment, lag in self.readings.by_method[method]
            if truth.covers(moment)
        ]

    @property
    def bounded(self) -> list[Bounded]:
        """Our figures with both bounds."""
        return [
            Bounded(one.moment, one.lower_seconds, one.upper_seconds)
            for one in self.readings.ours
            if self.truth.covers(one.moment)
            and one.lower_seconds is not None
            and one.upper_seconds is not None
        ]

    @property
    def inside(self) -> float:
        """The share of our figures whose bounds have the truth between them."""
        fits = 0
        for one in self.bounded:
            least, most = self.truth.oldest_missing_seconds(one.moment)
            lower, upper = one.lower_seconds - _TRUTH_SECONDS, one.upper_seconds + _TRUTH_SECONDS
            fits += lower <= most and upper >= least
        return fits / max(1, len(self.bounded))

    @property
    def widths_ms(self) -> list[float]:
        return [one.width_seconds * 1e3 for one in self.bounded]

    @property
    def wider(self) -> int:
        """How many of our figures have wider bounds than they ever should."""
        return sum(width > _WIDEST_MS_MAX for width in self.widths_ms)

    @property
    def fresh_widths_ms(self) -> list[float]:
        """Of looks that saw a new heartbeat on a replica that nothing holds up."""
        return [
            one.width_seconds * 1e3
            for one in just_after_beats(self.bounded, _INTERVAL_SECONDS)
            if self.truth.lag_seconds(one.moment) < _TRUTH_SECONDS * 5
        ]


async def measure() -> list[Finding]:
    """Measure LAG_SECONDS (default 60) under each clock, idle and loaded."""
    seconds = float(os.environ.get("LAG_SECONDS", "60"))
    runs: list[_Run] = []
    async with stage("lag", settings={"heartbeat_interval": "100ms"}) as sandbox:
        await wait_for_sidecar(sandbox)
        primary, replica = sandbox.primary.server, sandbox.replicas[0]
        async with (
            slow_link(primary, replica.server) as link,
            pt_heartbeat_writer(primary, _INTERVAL_SECONDS),
        ):
            for name, clock in CLOCKS.items():
                words = launcher(sandbox.directory, clock)
                replica = await asyncio.to_thread(put_under_clock, replica, words, clock)
                rig = _Rig(sandbox, replica, link, words, seconds)
                runs.append(await rig.run(name, clock, "idle"))
                async with application(sandbox, "orders", _ROWS, _TRANSACTIONS_PER_SECOND):
                    runs.append(await rig.run(name, clock, "loaded"))
            await asyncio.to_thread(replica.daemon.terminate)
            await asyncio.to_thread(replica.server.kill)
    return [
        *_lines(runs),
        _grid(runs),
        _bounds_grid(runs),
        *(_picture(run) for run in runs),
        _error_picture(runs),
    ]


@dataclass(frozen=True)
class _Rig:
    sandbox: Sandbox
    replica: Tablet
    link: SlowLink
    words: tuple[str, ...]
    seconds: float

    async def run(self, name: str, clock: HostClock, load: str) -> _Run:
        """Read by every method while the link is late in each way."""
        self.link.set()
        await asyncio.sleep(_SETTLE_SECONDS)
        primary, daemon = self.sandbox.primary.server, self.replica.daemon
        before = await steady_clock(daemon.grpc)
        with Witness(primary, self.replica.server, _INTERVAL_SECONDS) as witness:
            async with reading(self.replica, primary, _INTERVAL_SECONDS, self.words) as readings:
                for share, delay_seconds in _DELAYS:
                    self.link.set(delay_seconds)
                    await asyncio.sleep(share * self.seconds)
            self.link.set()
        drift = drift_ppm(before, await steady_clock(daemon.grpc))
        truth, beats = witness.truth, witness.beats
        return _Run(name, load, truth, beats, readings, clock.drift_ppm, drift)


def _lines(runs: Sequence[_Run]) -> list[Measurement]:
    return [line for run in runs for line in (*_error_lines(run), *_bounds_lines(run))]


def _error_lines(run: _Run) -> list[Measurement]:
    errors = run.beat_errors_ms
    if len(errors) < 2:
        return [Measurement(f"{run.title}: lag", "no figure", is_met=False)]
    median, p99 = statistics.median(errors), _p99(errors)
    plain = run.errors_ms("now minus timestamp")
    return [
        Measurement(
            f"{run.title}: error of the lag of heartbeats, median",
            f"{median:.2f} ms",
            f"{statistics.median(plain):.1f} ms (now minus timestamp)",
            goal=f"at most {_MEDIAN_MS_MAX:.0f} ms",
            is_met=median <= _MEDIAN_MS_MAX,
        ),
        Measurement(
            f"{run.title}: error of the lag of heartbeats, p99",
            f"{p99:.2f} ms",
            f"{_p99(plain):.1f} ms (now minus timestamp)",
            goal=f"at most {_P99_MS_MAX:.0f} ms",
            is_met=p99 <= _P99_MS_MAX,
        ),
    ]


def _bounds_lines(run: _Run) -> list[Measurement]:
    fresh, widths = run.fresh_widths_ms, run.widths_ms
    if not fresh:
        return [Measurement(f"{run.title}: bounds", "no look just after a beat", is_met=False)]
    median, widest = statistics.median(fresh), max(widths)
    drift_off = abs(run.drift_ppm - run.drift_wanted_ppm)
    return [
        Measurement(
            f"{run.title}: true lag inside the bounds",
            f"{100 * run.inside:.2f} % of {len(widths)}",
            goal=f"at least {100 * _INSIDE_MIN:.1f} %",
            is_met=run.inside >= _INSIDE_MIN,
        ),
        Measurement(
            f"{run.title}: width of the bounds just after a beat, median of {len(fresh)} looks",
            f"{median:.2f} ms",
            goal=f"at most {_WIDTH_MS_MAX:.0f} ms",
            is_met=median <= _WIDTH_MS_MAX,
        ),
        Measurement(
            f"{run.title}: width of the bounds, maximum",
            f"{widest:.1f} ms; {run.wider} of {len(widths)} above the goal",
            goal=f"at most {_WIDEST_MS_MAX:.0f} ms, the interval and the error",
            is_met=widest <= _WIDEST_MS_MAX,
        ),
        Measurement(
            f"{run.title}: drift of the reader's steady clock, for the rest to count",
            f"{run.drift_ppm:.0f} ppm",
            goal=f"{run.drift_wanted_ppm:.0f} ppm, give or take {_DRIFT_OFF_PPM_MAX:.0f}",
            is_met=drift_off <= _DRIFT_OFF_PPM_MAX,
        ),
    ]


def _grid(runs: Sequence[_Run]) -> Grid:
    rows: list[tuple[str, ...]] = []
    for run in runs:
        by_method = {method: run.errors_ms(method) for method in run.readings.by_method}
        for method, errors in {f"{_OURS}, of heartbeats": run.beat_errors_ms, **by_method}.items():
            figures = (
                (f"{statistics.median(errors):.1f}", f"{_p99(errors):.1f}", f"{max(errors):.1f}")
                if len(errors) > 1
                else ("-", "-", "-")
            )
            rows.append((run.title, method, str(len(errors)), *figures))
    heads = ("clock, load", "method", "samples", "median ms", "p99 ms", "maximum ms")
    return Grid(f"error of lag figures, interval {_INTERVAL_SECONDS * 1e3:.0f} ms", heads, rows)


def _bounds_grid(runs: Sequence[_Run]) -> Grid:
    rows = [
        (
            run.title,
            f"{100 * run.inside:.2f} % of {len(run.bounded)}",
            f"{statistics.median(run.fresh_widths_ms or [math.nan]):.2f} ms",
            f"{max(run.widths_ms, default=math.nan):.1f} ms",
            f"{run.wider} of {len(run.bounded)}",
            f"{run.drift_ppm:.0f} ppm",
        )
        for run in runs
    ]
    heads = (
        "clock, load",
        "inside the bounds",
        "width just after a beat, median",
        "largest width",
        f"wider than {_WIDEST_MS_MAX:.0f} ms",
        "drift, measured",
    )
    return Grid("bounds of tabletd's figures", heads, rows)


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def _picture(run: _Run) -> Picture:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        start = run.truth.commits[0].sent
        axes.step(
            [one.arrived - start for one in run.truth.commits],
            [one.lag_seconds * 1e3 for one in run.truth.commits],
            where="post",
            label="truth",
            color="black",
            linewidth=2,
        )
        for method, pairs in run.readings.by_method.items():
            axes.plot(
                [moment - start for moment, _ in pairs],
                [lag * 1e3 for _, lag in pairs],
                ".",
                markersize=3,
                label=method,
            )
        axes.set(title=run.title, xlabel="seconds", ylabel="lag, ms", ylim=(-100, 2500))
        axes.legend()

    return Picture("lag-" + run.title.replace(", ", "-").replace(" ", "-"), draw)


def _error_picture(runs: Sequence[_Run]) -> Picture:
    def draw(figure: Any) -> None:
        for axes, run in zip(figure.subplots(2, 4, sharey=True).flat, runs, strict=False):
            for method in run.readings.by_method:
                errors = sorted(run.errors_ms(method))
                shares = [number / len(errors) for number in range(1, len(errors) + 1)]
                axes.plot(errors, shares, label=method)
            axes.set(title=run.title, xscale="log", xlabel="error, ms")
            axes.title.set_fontsize(8)
        figure.axes[0].legend(fontsize=7)
        figure.suptitle("share of the samples with at most this error")

    return Picture("lag-errors", draw)
