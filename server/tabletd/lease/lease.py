"""The lease of the server beside us: taken, renewed, lost, given back."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Final

from tabletd.errors import LeaseNotHeld, MySQLUnavailable, NotWritable, Reason, TabletdError
from tabletd.lease import store
from tabletd.lease.decision import Finding, LeaseRow, judge
from tabletd.lease.fence import Term
from tabletd.lease.holder import Holder, own_holder
from tabletd.loops import ThrottledLogger, pause
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.session import Session
from tabletd.mysql.sidecar import ensure_sidecar
from tabletd.telemetry.vars import Registry

DURATION_SECONDS: Final = 10.0
# Shares of a lease: its clock runs from before it was asked for, and ends before the server's.
_RENEWED_AFTER: Final = 0.25
_ENDS_AFTER: Final = 0.9
_LOOK_SECONDS_MAX: Final = 1.0
_TRY_AGAIN_SECONDS: Final = 0.25
_STEP_SECONDS_MAX: Final = 5.0
_SIDECAR_SECONDS_MAX: Final = 60.0
_RELEASE_SECONDS_MAX: Final = 2.0
# No such schema, table or column: the sidecar is missing or old.
_SIDECAR_ERRNOS: Final = frozenset({1049, 1054, 1146})

_logger = logging.getLogger(__name__)


def boot_seconds() -> float:
    """Return seconds of the clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """Lets one daemon act for a server; implements `Fence`.

    A primary wants it. Who has it renews it four times in its length, and counts it as lost when
    nine tenths of the length have passed since the last renewal was asked for: earlier than anybody
    else may take it, however long the daemon was stopped. Who was let wait takes it as soon as
    `decision.judge` allows.

    Who has nothing to do with it leaves it without an end, and only looks whether anybody has
    called it in, so that an idle server's binary log does not grow. Who waits calls it in, and
    counts its length from then on: later than any look that has not seen the call.

    Args:
        pool: one connection to the server beside us.
        tablet: this tablet's alias.
        duration_seconds: of a lease.
        registry: gets every `Lease*` instrument.
        in_use: whether something goes on that a lease is needed for; while it does, each renewal
            is written, and a tablet that is no primary any more keeps what it has.
        now: the clock of the deadline.
        holder: tells who we are; None: this process.

    Attributes:
        address: of this daemon's gRPC port, for people.
        on_lost: called when it may act no longer.
        on_taken: called when it may act.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        tablet: str,
        registry: Registry,
        duration_seconds: float = DURATION_SECONDS,
        in_use: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = boot_seconds,
        holder: Holder | None = None,
    ) -> None:
        self.address = ""
        self.on_lost: Callable[[], None] = lambda: None
        self.on_taken: Callable[[], None] = lambda: None
        self.in_use = in_use
        self._pool = pool
        self._tablet = tablet
        self._duration_seconds = duration_seconds
        self._now = now
        self._holder = holder
        self._term: Term | None = None
        self._ends_at = 0.0
        self._is_doubted = False
        self._last_epoch = 0
        self._since_wall_ns = 0
        self._is_wanted = False
        self._other: Holder | None = None
        self._trouble = ""
        self._seen: tuple[object, float] = (None, 0.0)
        self._identity: tuple[int, str] = (0, "")
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._log = ThrottledLogger("lease", logger=_logger)
        registry.gauge("LeaseHeld", "1 while this daemon acts for its server", self._held_number)
        registry.gauge(
            "LeaseHolder", "who acts for the server, as far as is known", self._holder_text
        )
        registry.gauge("LeaseEpoch", "of the lease that is held, 0 without one", self._epoch)
        self._renewals = registry.counter(
            "LeaseRenewals", "times that the lease was renewed, in writing or by a look"
        )
        self._losses = registry.counter("LeaseLosses", "times that the lease was lost")

    @property
    def is_held(self) -> bool:
        """Whether this daemon may act now."""
        return self._term is not None and not self._is_doubted and not self._is_over()

    @property
    def since_seconds(self) -> int:
        """When it was taken, Unix time; 0 while it is not held."""
        return self._since_wall_ns // 10**9 if self.is_held else 0

    def check(self) -> Term:
        """Return the term in which this daemon acts.

        Raises:
            LeaseNotHeld: it may not act now.
        """
        if self._term is None or not self.is_held:
            raise self._not_held()
        return self._term

    def superseded(self) -> LeaseNotHeld:
        """Take note that the server does not know the term; returns the error to be raised.

        Nothing is done until it is found out why: the row alone may be gone.
        """
        self._is_doubted = self._term is not None
        self._wake.set()
        return self._not_held()

    def state(self) -> str:
        """Say in a few words who holds it."""
        if self.is_held:
            return f"held since epoch {self._epoch()}"
        if self._term is not None:
            return "in doubt" if self._is_doubted else "lost: it was not renewed in time"
        return f"held by {self._other}" if self._other else self._trouble or "not held"

    async def make_primary(self) -> None:
        """Want it; on return it is held, unless another daemon has it or the server is read-only.

        Raises:
            TabletdError: it cannot be taken.
        """
        self._is_wanted = True
        if not self.is_held:
            async with self._lock:
                self._lose_when_over()
                await self._try()
        self._wake.set()

    async def make_non_primary(self) -> None:
        """Want it no more; it is given back once it is not in use."""
        self._is_wanted = False
        self._wake.set()

    async def close(self) -> None:
        """Give it back at once; a server that cannot be asked will find it expired."""
        self._is_wanted = False
        self.in_use = lambda: False
        async with self._lock:
            try:
                async with asyncio.timeout(_RELEASE_SECONDS_MAX):
                    await self._release()
            except (TabletdError, TimeoutError) as error:
                _logger.warning("the lease is not given back: %s", error)

    async def run(self) -> None:
        """Take, renew and give back; never returns."""
        while True:
            self._wake.clear()
            async with self._lock:
                await self._step()
            await pause(self._pause_seconds(), self._wake)

    async def _step(self) -> None:
        """Do what is due, within the time that the lease has left."""
        self._lose_when_over()
        try:
            await self._try()
        except TabletdError as error:
            self._trouble = f"cannot be taken: {error}"
            self._log.error(str(error))
        self._lose_when_over()

    async def _try(self) -> None:
        """Take, renew or release, as is due.

        Raises:
            TabletdError: none of it was possible, but for a server that is read-only.
        """
        limit_seconds = _STEP_SECONDS_MAX
        if self._term is not None:
            limit_seconds = min(limit_seconds, max(self._ends_at - self._now(), 0.0))
        try:
            async with asyncio.timeout(limit_seconds):
                await self._advance()
        except NotWritable as error:
            self._trouble = str(error)
        except MySQLError as error:
            if error.errno not in _SIDECAR_ERRNOS:
                raise
            _logger.warning("the table of leases is to be made: %s", error.message)
            await self._make_table()
            self._lose_when_over()
            await self._advance()
        except TimeoutError:
            raise TabletdError(
                Reason.TIMEOUT, f"the lease: no answer within {limit_seconds:.1f} s"
            ) from None

    async def _advance(self) -> None:
        if self._term is None:
            if self._is_wanted:
                await self._take()
        elif self._is_wanted or self.in_use():
            await self._renew()
        else:
            await self._release()

    async def _take(self) -> None:
        try:
            async with self._pool.session() as session:
                server = await self._server(session)
                found = await store.read(session, server)
                is_to_wait = self._is_to_wait(found)
        except MySQLUnavailable:
            # What was seen of the row may be another server's.
            self._seen = (None, 0.0)
            raise
        if is_to_wait and found is not None and not found.is_open_ended:
            return
        asked_at = self._now()
        async with self._pool.session(writable=True) as session:
            if await self._server(session) != server:
                return
            if is_to_wait and found is not None:
                await store.call_in(session, server, found, self._duration_seconds)
                return
            term = await self._take_in(session, server, found)
        if term is not None:
            self._hold(term, asked_at)

    async def _take_in(self, session: Session, server: str, found: LeaseRow | None) -> Term | None:
        wanted = Term(server, self._last_epoch, secrets.token_hex(16))
        return await store.take(session, found, wanted, self._who(), self._duration_seconds)

    def _is_to_wait(self, found: LeaseRow | None) -> bool:
        """Take note of the row that was read; returns whether somebody else has the lease."""
        now = self._now()
        mark = (found.mark, found.is_open_ended) if found is not None else None
        if self._seen[0] != mark:
            # Counted from the call: what came before it says nothing.
            self._seen = (mark, now)
        finding = judge(
            found,
            self._who().process,
            is_dead=found is not None and found.holder.process.is_provably_dead(),
            unchanged_seconds=now - self._seen[1],
            duration_seconds=self._duration_seconds,
        )
        if finding is Finding.HELD and found is not None:
            if self._other != found.holder:
                _logger.warning("the lease of this server is held by %s", found.holder)
            self._other = found.holder
            return True
        self._other = None
        if finding is not Finding.FREE and found is not None:
            is_usual = finding in (Finding.OWN, Finding.DEAD)
            level = logging.INFO if is_usual else logging.WARNING
            _logger.log(level, "taking the lease of %s: %s", found.holder, finding.value)
        return False

    def _hold(self, term: Term, asked_at: float) -> None:
        _logger.info("this daemon acts for server %s since epoch %d", term.server, term.epoch)
        self._since_wall_ns = time.time_ns()
        self._other = None
        self._go_on(term, asked_at)
        self.on_taken()

    def _go_on(self, term: Term, asked_at: float) -> None:
        self._term, self._last_epoch = term, term.epoch
        self._ends_at = asked_at + _ENDS_AFTER * self._duration_seconds
        self._is_doubted, self._trouble = False, ""

    async def _renew(self) -> None:
        term, asked_at = self._term, self._now()
        assert term is not None
        async with self._pool.session(writable=True) as session:
            server = await self._server(session)
            if server != term.server:
                self._lose(f"the server is another one now: {server}")
                return
            if await self._prolong(session, term):
                self._go_on(term, asked_at)
                self._renewals.add()
                return
            # Who puts back a row that is gone, before anybody else, has never ceased to hold it.
            found = await store.read(session, server)
            put_back = await self._take_in(session, server, None) if found is None else None
        if put_back is None:
            self._lose("its row was changed by somebody else")
        elif self._is_over():
            self._lose("its row was gone for too long")
            self._hold(put_back, asked_at)
        else:
            _logger.warning("the row of the lease was gone; it is put back")
            self._go_on(put_back, asked_at)

    async def _prolong(self, session: Session, term: Term) -> bool:
        if self.in_use():
            return await store.renew(session, term, self._duration_seconds)
        return await store.hold_without_end(session, term)

    async def _release(self) -> None:
        if self._term is None:
            return
        term, self._term, self._is_doubted = self._term, None, False
        self._trouble = "given back"
        self.on_lost()
        async with self._pool.session(writable=True) as session:
            await store.release(session, term)
        _logger.info("the lease of server %s is given back", term.server)

    async def _make_table(self) -> None:
        async with self._pool.session(
            timeout_seconds=_SIDECAR_SECONDS_MAX, writable=True
        ) as session:
            await ensure_sidecar(session)

    async def _server(self, session: Session) -> str:
        """Return who the server is; asked once for each connection."""
        connection_id, server = self._identity
        if connection_id != session.connection_id:
            server = await store.server_identity(session)
            self._identity = (session.connection_id, server)
        return server

    def _who(self) -> Holder:
        return self._holder or own_holder(self._tablet, self.address)

    def _is_over(self) -> bool:
        return self._now() >= self._ends_at

    def _lose_when_over(self) -> None:
        if self._term is not None and self._is_over():
            self._lose("it was not renewed in time")

    def _lose(self, why: str) -> None:
        if self._term is None:
            return
        _logger.error("the lease of server %s is lost: %s", self._term.server, why)
        self._term, self._is_doubted = None, False
        self._trouble = f"lost: {why}"
        self._losses.add()
        self.on_lost()
        self._wake.set()

    def _not_held(self) -> LeaseNotHeld:
        if self._other is not None:
            return LeaseNotHeld(
                f"another daemon acts for this server: {self._other}",
                holder=str(self._other),
                tablet=self._other.tablet,
                address=self._other.address,
            )
        return LeaseNotHeld(
            f"this daemon does not act for its server: the lease is {self.state()}",
            is_in_doubt=self._is_doubted and not self._is_over(),
        )

    def _pause_seconds(self) -> float:
        if self._term is None:
            if not self._is_wanted:
                return self._duration_seconds
            return min(_LOOK_SECONDS_MAX, self._duration_seconds * _RENEWED_AFTER)
        if self._trouble:
            return _TRY_AGAIN_SECONDS
        return self._duration_seconds * _RENEWED_AFTER

    def _holder_text(self) -> str:
        if self.is_held:
            return str(self._who())
        return str(self._other) if self._other is not None else ""

    def _held_number(self) -> int:
        return int(self.is_held)

    def _epoch(self) -> int:
        return self._term.epoch if self._term is not None and self.is_held else 0
