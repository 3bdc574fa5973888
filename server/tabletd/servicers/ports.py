"""What the servicers ask of the components."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from tabletd.executor.leftover import Leftover, Swept
from tabletd.heartbeat import Lag, LagSample, WriterAnswer, WriterQuestion
from tabletd.mysql.result import ResultSet
from tabletd.tablet import Health, TabletAlias, TabletType


class MigrationQueue(Protocol):
    """Runs statements on the queue: those of VExec, and those about migrations."""

    async def vexec(self, query: str) -> ResultSet: ...

    async def execute_statement(self, sql: str) -> ResultSet | None:
        """Return None for what is not about migrations, and none itself."""
        ...


class Sweeping(Protocol):
    """Finds and removes what migrations left."""

    async def find(self) -> Sequence[Leftover]: ...

    async def sweep(self) -> tuple[Sequence[Swept], Sequence[Leftover]]:
        """Return what was to be removed and what became of it, and what is left alone."""
        ...


class LagTracking(Protocol):
    """Measures the lag of this tablet, and writes the heartbeats of a primary."""

    def want_heartbeats(self) -> None: ...
    def status(self) -> Lag: ...
    def history(self) -> Sequence[LagSample]: ...
    async def answer(
        self, question: WriterQuestion, received_monotonic: float, /
    ) -> WriterAnswer: ...


class TabletPort(Protocol):
    """The tablet's identity, role and health."""

    @property
    def alias(self) -> TabletAlias: ...
    @property
    def keyspace(self) -> str: ...
    @property
    def shard(self) -> str: ...
    @property
    def type(self) -> TabletType: ...
    @property
    def health(self) -> Health: ...

    def accepts(self, tablet_type: TabletType, /) -> bool: ...
    async def change_type(self, wanted: TabletType, /) -> None: ...
    async def refresh(self) -> None: ...
    async def run_health_check(self) -> None: ...
    def subscribe(self) -> AbstractAsyncContextManager[AsyncIterator[Health]]: ...
