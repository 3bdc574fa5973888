"""Places for calls, and how fast one caller may change things."""

from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.servicers.limits import (
    CallLimits,
    ChangeRates,
    Limits,
    TooManyChanges,
    build_limits,
    caller_host,
)
from tabletd.telemetry.vars import Registry
from tests.support.clock import FakeClock


def places(limits: CallLimits) -> tuple[Limits, Registry]:
    registry = Registry()
    return build_limits(limits, registry), registry


def rates(per_second: float, clock: FakeClock) -> ChangeRates:
    refused = Registry().counter("Refused", "")
    return ChangeRates(per_second, refused, monotonic=clock.monotonic_seconds)


def taken(changes: ChangeRates, caller: str, count: int) -> int:
    """Return how many of so many changes are taken before one is refused."""
    for number in range(count):
        try:
            changes.count(caller)
        except TooManyChanges:
            return number
    return count


def test_one_caller_cannot_take_the_places_of_the_others() -> None:
    limits, registry = places(CallLimits(calls_max=3, caller_calls_max=2))
    held = [limits.calls.take("ann") for _ in range(2)]
    with pytest.raises(TabletdError) as refusal:
        limits.calls.take("ann")
    assert refusal.value.reason is Reason.TOO_MANY_CALLS
    assert "ann has 2 calls open already" in str(refusal.value)
    assert "grpc_calls_max_per_caller" in str(refusal.value)
    limits.calls.take("bob")
    with pytest.raises(TabletdError, match="3 calls are open already"):
        limits.calls.take("cid")
    held[0].give_back()
    limits.calls.take("cid")
    assert registry.export()["RpcCallsRefused"] == 2
    assert registry.export()["RpcCallsOpen"] == 3


def test_calls_and_streams_are_counted_apart() -> None:
    limits, registry = places(CallLimits(caller_calls_max=1, caller_streams_max=1))
    limits.calls.take("ann")
    limits.streams.take("ann")
    with pytest.raises(TabletdError, match="grpc_streams_max_per_caller"):
        limits.streams.take("ann")
    assert registry.export()["RpcStreamsOpen"] == 1


def test_a_limit_of_nought_for_each_caller_is_none() -> None:
    limits, _ = places(CallLimits(calls_max=100, caller_calls_max=0))
    for _ in range(100):
        limits.calls.take("ann")


def test_a_place_goes_over_to_who_has_proved_to_call() -> None:
    limits, registry = places(CallLimits(caller_calls_max=1))
    first = limits.calls.take("10.0.0.7")
    first.belongs_to("ann")
    second = limits.calls.take("10.0.0.7")
    with pytest.raises(TabletdError, match="ann has 1 calls open already"):
        second.belongs_to("ann")
    second.give_back()
    first.give_back()
    limits.calls.take("ann")
    limits.calls.take("10.0.0.7")
    assert registry.export()["RpcCallsOpen"] == 2


def test_ten_seconds_worth_of_changes_may_come_at_once_and_then_as_many_as_the_rate() -> None:
    clock = FakeClock()
    changes = rates(5, clock)
    assert taken(changes, "ann", 100) == 50
    clock.advance(1)
    assert taken(changes, "ann", 100) == 5
    clock.advance(3600)
    assert taken(changes, "ann", 100) == 50


def test_a_caller_who_floods_takes_nothing_from_the_others() -> None:
    changes = rates(5, FakeClock())
    assert taken(changes, "ann", 100) == 50
    assert taken(changes, "bob", 100) == 50


def test_of_refused_changes_one_a_second_is_to_be_noted() -> None:
    clock = FakeClock()
    changes = rates(0.01, clock)
    changes.count("ann")
    told: list[bool] = []
    for _ in range(4):
        with pytest.raises(TooManyChanges, match="grpc_changes_per_second") as refusal:
            changes.count("ann")
        told.append(refusal.value.is_told)
        clock.advance(0.5)
    assert told == [True, False, True, False]


def test_a_rate_of_nought_is_no_limit() -> None:
    assert taken(rates(0, FakeClock()), "ann", 100_000) == 100_000


def test_what_is_kept_of_callers_does_not_grow_with_their_number() -> None:
    changes = rates(1, FakeClock())
    for number in range(10_000):
        changes.count(f"caller {number}")
    assert taken(changes, "caller 9999", 100) == 9
    assert taken(changes, "caller 0", 100) == 10


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:10.0.0.7:5000", "10.0.0.7"),
        ("ipv6:%5Bfe80::1%5D:5000", "[fe80::1]"),
        ("unix:/run/a.sock", "/run/a.sock"),
        ("unix:", ""),
    ],
)
def test_a_caller_without_a_name_is_his_address(peer: str, host: str) -> None:
    assert caller_host(peer) == host
