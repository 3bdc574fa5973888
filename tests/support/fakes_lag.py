"""The lag of a tablet, and the daemon of a writer, without servers."""

from __future__ import annotations

from collections.abc import Sequence

from tabletd.errors import Reason, TabletdError
from tabletd.heartbeat import (
    Lag,
    LagSample,
    LagState,
    WriterAnswer,
    WriterQuestion,
    Writing,
)
from tabletd.heartbeat.beats import Beat
from tests.support.clock import FakeClock


class FakeLag:
    """Implements `servicers.ports.LagTracking`, and says what the test wants."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.lag = Lag(LagState.UNKNOWN, error="no heartbeat was read yet")
        self.samples: list[LagSample] = []
        self.asked: list[WriterQuestion] = []
        self.beats: tuple[Beat, ...] = ()
        self.wanted = 0

    def want_heartbeats(self) -> None:
        self.wanted += 1

    def status(self) -> Lag:
        return self.lag

    def history(self) -> Sequence[LagSample]:
        return self.samples

    async def answer(self, question: WriterQuestion, received_monotonic: float) -> WriterAnswer:
        self.asked.append(question)
        received_ns = round(received_monotonic * 1_000_000_000)
        return WriterAnswer(received_ns, received_ns, 7, Writing.REGULARLY, 10**9, self.beats)


class FakeWriterDaemon:
    """Implements `heartbeat.WriterDaemon` without a network.

    Attributes:
        clock: the writer's own.
        answers: false: it cannot be asked.
    """

    def __init__(self, clock: FakeClock, *, series: int = 7, interval_ns: int = 10**9) -> None:
        self.clock = clock
        self.series = series
        self.interval_ns = interval_ns
        self.writing = Writing.REGULARLY
        self.beats: list[Beat] = []
        self.questions: list[WriterQuestion] = []
        self.answers = True
        self.position = ""
        self.applied_gtids = ""

    async def ask(self, question: WriterQuestion, *, timeout_seconds: float) -> WriterAnswer:
        self.questions.append(question)
        if not self.answers:
            raise TabletdError(Reason.TIMEOUT, f"no answer within {timeout_seconds:g} s")
        now_ns = round(self.clock.monotonic_seconds() * 1_000_000_000)
        return WriterAnswer(
            now_ns,
            now_ns,
            self.series,
            self.writing,
            self.interval_ns,
            tuple(self.beats),
            self.position if question.want_position else "",
        )

    async def applied(self) -> str:
        """Return what the reader's own server has applied."""
        return self.applied_gtids
