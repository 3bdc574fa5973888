"""What a third-party tool needs to be run by `ToolEngine`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tabletd.executor.accounts import Account
from tabletd.executor.engines.base import Progress
from tabletd.executor.engines.workspace import Phase, Workspace
from tabletd.executor.flags import Flags
from tabletd.executor.hooks import Callback
from tabletd.executor.migration import Strategy
from tabletd.executor.preflight import Check
from tabletd.executor.preflight.facts import Facts, ServerFacts
from tabletd.executor.preflight.tool import ProgramInspector
from tabletd.mysql.pool import Pool
from tabletd.mysql.session import Session
from tabletd.mysql.tls import Tls


@dataclass(frozen=True, slots=True)
class RunPlan:
    """All that is settled before a run begins.

    Attributes:
        facts: what preflight found.
        nonce: random name of the run.
        tables: names that the run makes tables under, the kept old one last.
        workspace: private directory and log.
        account: who the tool is on the server.
        callback: where its hooks report to.
        host: address of the server for the tool.
        port: its TCP port.
        tls: of the tool's connections; None: they have none.
    """

    facts: Facts
    nonce: str
    tables: tuple[str, ...]
    workspace: Workspace
    account: Account
    callback: Callback
    host: str
    port: int
    tls: Tls | None = None

    @property
    def schema(self) -> str:
        """Schema of the table."""
        return self.facts.migration.mysql_schema

    @property
    def table(self) -> str:
        """The table to be altered, as the server writes it."""
        assert self.facts.table is not None
        return self.facts.table.name


@dataclass(frozen=True, slots=True)
class Standstill:
    """What stands still in a tool that may hang.

    Attributes:
        words: go on after "gh-ost hung"; they change as soon as anything goes on.
        failure: why the tool had failed before, so that another run of it is of no use; or empty.
    """

    words: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """What a tool is to know when it is started.

    Attributes:
        is_held: it is to wait before the swap.
        lock_wait_seconds: how long one attempt to swap may wait for the table's lock while others
            wait behind it; 0: the tool's own default.
    """

    is_held: bool = False
    lock_wait_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Swap:
    """Whether the altered copy has taken the table's place.

    Attributes:
        done: it has.
        old_table: the name of the former table; empty where there is none.
        seen: which tables were found, in words.
    """

    done: bool
    old_table: str = ""
    seen: str = ""


class Settling(Protocol):
    """Tells when a tool that runs behind the writers has caught up."""

    async def settle(self) -> int:
        """Return when the tool has carried over all that was committed before the call.

        Returns:
            how many changes it has carried over since its start: the same number twice says that
            nothing was written in between.
        """
        ...


class Tool(Protocol):
    """One tool: what it is called with, what it says, what it leaves behind."""

    @property
    def strategy(self) -> Strategy: ...

    @property
    def inspector(self) -> ProgramInspector: ...

    @property
    def checks(self) -> tuple[Check, ...]:
        """Everything that must hold before anything runs, in order."""
        ...

    def table_names(self, table: str, stem: str) -> tuple[str, ...]:
        """Return the tables that a run makes; `stem` is `<uuid>_<timestamp>`."""
        ...

    def kept_old_table(self, table: str, stem: str) -> tuple[str, ...]:
        """Return names for the former table, in the order in which the tool tries them."""
        ...

    async def prepare_server(self, pool: Pool, found: ServerFacts) -> ServerFacts:
        """Put right on the server what may be put right; returns what holds then."""
        ...

    def grants(self, facts: Facts) -> Sequence[str]:
        """Return the privileges of a run's account."""
        ...

    def arguments(self, flags: Flags, given: Sequence[str]) -> tuple[str, ...]:
        """Return the user's arguments for the tool, with what the migration's flags add."""
        ...

    def warnings(self, facts: Facts) -> str:
        """Return what settings and flags make unsafe in this run; empty for nothing."""
        ...

    def tls(self, asked: Tls) -> Tls:
        """Return what the tool makes of the TLS that is asked for; it may look at more."""
        ...

    def write_files(self, plan: RunPlan) -> None:
        """Write credentials, hooks and flags into the private directory."""
        ...

    def argv(self, plan: RunPlan, phase: Phase, start: Start) -> list[str]:
        """Return the argument list: no secret in it."""
        ...

    async def hold(self, workspace: Workspace) -> None:
        """Let a running tool wait before the swap; tried again while the workspace is not held."""
        ...

    async def release(self, workspace: Workspace) -> None:
        """Let a running tool go on; tried again while the workspace is held."""
        ...

    async def point_at(self, workspace: Workspace, callback: Callback) -> bool:
        """Have a running tool ask and report at another address; its hooks know it already.

        Returns:
            whether it has been told, which is to be tried again where not.
        """
        ...

    async def set_lock_wait(self, workspace: Workspace, seconds: int) -> None:
        """Change `Start.lock_wait_seconds` of a running tool, where that is possible."""
        ...

    async def ask(self, workspace: Workspace) -> str:
        """Return what a running tool says when it is asked how far it is; empty for nothing."""
        ...

    def progress(
        self, workspace: Workspace, log_text: str, answer: str, rows: int
    ) -> Progress | None:
        """Return how far the real run is; None when the tool has not said anything yet.

        Args:
            workspace: of the run.
            log_text: the end of what the tool wrote.
            answer: what it said when it was asked.
            rows: the server's estimate of the table's rows.
        """
        ...

    def settling(self, pool: Pool, workspace: Workspace) -> Settling | None:
        """Return what tells when it has caught up; None where it is never behind the writers."""
        ...

    def standstill(self, log_text: str, answer: str) -> Standstill | None:
        """Return what stands still in a tool that may hang; None where there is no sign of that.

        Args:
            log_text: the end of what the tool wrote.
            answer: what it said when it was asked.
        """
        ...

    def cut_over_attempts(self, output: str) -> int:
        """Return how often it has tried to swap the tables, from what it wrote."""
        ...

    def failure_cause(self, output: str) -> str:
        """Return why the tool failed, from what it wrote."""
        ...

    async def false_alarm(self, session: Session, schema: str, table: str, output: str) -> str:
        """Say what the tool gave up for that another run need not meet; empty for none."""
        ...

    def was_interrupted(self, exit_code: int, output: str) -> bool:
        """Say whether somebody ended the tool, rather than the tool itself."""
        ...

    def losses(self, output: str) -> str:
        """Return what the tool said of lost values or rows; empty when nothing."""
        ...

    async def find_swap(
        self, session: Session, schema: str, table: str, tables: Sequence[str], workspace: Workspace
    ) -> Swap:
        """Look on the server whether the swap has happened; nothing of the tool runs any more."""
        ...

    async def remove_leftovers(self, session: Session, schema: str, tables: Sequence[str]) -> None:
        """Drop what the tool leaves but the former table; doing it again does no harm."""
        ...
