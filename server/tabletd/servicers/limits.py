"""How many calls are taken: at the same time, in all and from one caller, and of changes a second.

A caller is who he has proved to be; where nobody proves anything, the address that he calls from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tabletd.access.addresses import peer_address
from tabletd.errors import Reason, TabletdError
from tabletd.telemetry.vars import Counter, Registry

# So much of a second's rate may come at once: who rested catches up.
_BURST_SECONDS: Final = 10.0
_CALLERS_KEPT_MAX: Final = 4096
_NAME_CHARACTERS_MAX: Final = 100
_LATER: Final = "try again later with a growing pause"


@dataclass(frozen=True)
class CallLimits:
    """How many calls may be open at the same time, and how fast changes may come.

    Attributes:
        calls_max: unary calls.
        streams_max: streams, which last and so have a limit of their own.
        caller_calls_max: unary calls of one caller; 0: no limit of his own.
        caller_streams_max: streams of one caller; 0: no limit of his own.
        changes_per_second: calls of one caller that change something; 0: any number.
    """

    calls_max: int = 512
    streams_max: int = 512
    caller_calls_max: int = 256
    caller_streams_max: int = 256
    changes_per_second: float = 100.0


class CallerRefused(TabletdError):
    """A caller has too much at work here, or sends too fast: the others are none the worse."""

    def __init__(self, message: str, *, hint: str, **facts: int | float) -> None:
        super().__init__(Reason.TOO_MANY_CALLS, message, hint=hint, **facts)


class TooManyChanges(CallerRefused):
    """A caller changes things faster than is taken.

    Attributes:
        is_told: whether this refusal is one to be noted: of a flood, one a second is.
    """

    def __init__(self, caller: str, per_second: float, wait_seconds: float, is_told: bool) -> None:
        super().__init__(
            f"{caller[:_NAME_CHARACTERS_MAX]} has sent more than {per_second:g} changes a second "
            f"for longer than {_BURST_SECONDS:g} s; this one was not carried out",
            hint=f"send it again in {wait_seconds:.2g} s, or raise grpc_changes_per_second",
            limit=per_second,
            wait_seconds=round(wait_seconds, 3),
        )
        self.is_told = is_told


class Slots:
    """Places for calls of one kind.

    Args:
        what: the kind, for people.
        slots_max: how many there are.
        caller_max: how many of them one caller may have; 0: all.
        setting: how the setting of `slots_max` is called; that of `caller_max` goes on with
            `_per_caller`.
        refused: counts who got none.
        changes: counts what callers change.
    """

    def __init__(
        self,
        what: str,
        *,
        slots_max: int,
        caller_max: int,
        setting: str,
        refused: Counter,
        changes: ChangeRates,
    ) -> None:
        self.taken = 0
        self.changes = changes
        self._what = what
        self._slots_max = slots_max
        self._caller_max = caller_max
        self._setting = setting
        self._refused = refused
        self._by_caller: dict[str, int] = {}

    def take(self, caller: str) -> Place:
        """Take a place, to be given back.

        Raises:
            TabletdError: TOO_MANY_CALLS.
        """
        if self.taken >= self._slots_max:
            self._refused.add()
            raise TabletdError(
                Reason.TOO_MANY_CALLS,
                f"{self._slots_max} {self._what} are open already, and no more are taken",
                hint=f"{_LATER}, or raise {self._setting}",
                limit=self._slots_max,
            )
        self._count(caller)
        self.taken += 1
        return Place(self, caller)

    def move(self, caller: str, to: str) -> None:
        """Count a place for somebody else.

        Raises:
            CallerRefused: he has all that he may; the place stays where it was.
        """
        self._count(to)
        self._uncount(caller)

    def give_back(self, caller: str) -> None:
        """Free a place."""
        self.taken -= 1
        self._uncount(caller)

    def _count(self, caller: str) -> None:
        held = self._by_caller.get(caller, 0)
        if held >= self._caller_max > 0:
            self._refused.add()
            raise CallerRefused(
                f"{caller[:_NAME_CHARACTERS_MAX]} has {held} {self._what} open already, and no "
                "more are taken from one caller",
                hint=f"{_LATER}, or raise {self._setting}_per_caller",
                limit=held,
            )
        self._by_caller[caller] = held + 1

    def _uncount(self, caller: str) -> None:
        held = self._by_caller[caller] - 1
        if held:
            self._by_caller[caller] = held
        else:
            del self._by_caller[caller]


class Place:
    """A call's place among those that are open."""

    __slots__ = ("_caller", "_slots")

    def __init__(self, slots: Slots, caller: str) -> None:
        self._slots = slots
        self._caller = caller

    def belongs_to(self, name: str) -> None:
        """Count the call for who has proved to make it; empty: nobody did, the address stays.

        Raises:
            CallerRefused: he has too many open already.
        """
        if name and name != self._caller:
            self._slots.move(self._caller, name)
            self._caller = name

    def changes_something(self) -> None:
        """Count a call that changes something.

        Raises:
            TooManyChanges: its caller has sent too many of late.
        """
        self._slots.changes.count(self._caller)

    def give_back(self) -> None:
        """The call is over."""
        self._slots.give_back(self._caller)


@dataclass(slots=True)
class _Bucket:
    """What one caller may still do."""

    tokens: float
    filled_seconds: float
    told_seconds: float = float("-inf")


class ChangeRates:
    """Counts how fast each caller changes things.

    Args:
        per_second: how many changes of one caller are taken in the mean; 0: any number.
        refused: counts those that are not.
        monotonic: tells the time.
    """

    def __init__(
        self, per_second: float, refused: Counter, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._tokens_max = max(1.0, per_second * _BURST_SECONDS)
        self._refused = refused
        self._monotonic = monotonic
        # Who changed something last is at the end.
        self._buckets: dict[str, _Bucket] = {}

    def count(self, caller: str) -> None:
        """Take note of a change.

        Raises:
            TooManyChanges: it is one too many, and is not counted.
        """
        if not self._per_second:
            return
        now = self._monotonic()
        bucket = self._buckets.pop(caller, None) or _Bucket(self._tokens_max, now)
        self._buckets[caller] = bucket
        if len(self._buckets) > _CALLERS_KEPT_MAX:
            del self._buckets[next(iter(self._buckets))]
        gained = (now - bucket.filled_seconds) * self._per_second
        bucket.tokens = min(self._tokens_max, bucket.tokens + gained)
        bucket.filled_seconds = now
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return
        self._refused.add()
        is_told = now - bucket.told_seconds >= 1
        if is_told:
            bucket.told_seconds = now
        wait_seconds = (1 - bucket.tokens) / self._per_second
        raise TooManyChanges(caller, self._per_second, wait_seconds, is_told)


@dataclass(frozen=True)
class Limits:
    """The places of a server.

    Attributes:
        calls: of unary calls.
        streams: of streams.
    """

    calls: Slots
    streams: Slots


def build_limits(limits: CallLimits, registry: Registry) -> Limits:
    """Make the places of a server, all free.

    Args:
        limits: how many.
        registry: gets `RpcCallsRefused`, `RpcChangesRefused`, and the two gauges of open calls and
            streams.
    """
    refused = registry.counter("RpcCallsRefused", "RPCs refused for their number")
    changes = ChangeRates(
        limits.changes_per_second,
        registry.counter("RpcChangesRefused", "changes refused since their caller sent too many"),
    )
    calls = Slots(
        "calls",
        slots_max=limits.calls_max,
        caller_max=limits.caller_calls_max,
        setting="grpc_calls_max",
        refused=refused,
        changes=changes,
    )
    streams = Slots(
        "streams",
        slots_max=limits.streams_max,
        caller_max=limits.caller_streams_max,
        setting="grpc_streams_max",
        refused=refused,
        changes=changes,
    )
    registry.gauge("RpcCallsOpen", "unary RPCs in flight", lambda: calls.taken)
    registry.gauge("RpcStreamsOpen", "streams in flight", lambda: streams.taken)
    return Limits(calls, streams)


@lru_cache(maxsize=1024)
def caller_host(peer: str) -> str:
    """Return the address that a call comes from, without its port.

    Args:
        peer: as gRPC names it.
    """
    address = peer_address(peer)
    host, colon, port = address.rpartition(":")
    return host if colon and port.isdecimal() else address
