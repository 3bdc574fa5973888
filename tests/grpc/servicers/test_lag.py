"""Lag on the wire."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tabletd.heartbeat import Lag, LagMethod, LagSample, LagState, WriterQuestion
from tabletd.heartbeat.beats import Beat
from tabletd.servicers.convert_lag import (
    answer_from_proto,
    lag_to_proto,
    question_to_proto,
)
from tabletd_pb import lag_pb2 as pb
from tabletd_pb import lag_pb2_grpc, topodata_pb2
from tests.support.fakes_servicers import GrpcBench, grpc_bench

MS = 1_000_000


def lag_service(bench: GrpcBench) -> Any:
    return cast(Any, lag_pb2_grpc.LagStub)(bench.channel)


async def test_a_tablet_tells_its_lag_with_ages_instead_of_moments() -> None:
    async with grpc_bench() as bench:
        now = bench.lag.clock.monotonic_seconds()
        bench.lag.lag = Lag(
            LagState.MEASURED,
            3 * MS,
            now - 0.25,
            lower_ns=1 * MS,
            upper_ns=5 * MS,
            method=LagMethod.CLOCK,
            delay_ns=60_000 * MS,
        )
        answer = await lag_service(bench).GetLag(pb.GetLagRequest())
        assert answer.lag == pb.LagFigure(
            state=pb.LagFigure.STATE_MEASURED,
            method=pb.LagFigure.METHOD_CLOCK,
            lag_ns=3 * MS,
            lower_ns=1 * MS,
            upper_ns=5 * MS,
            age_ns=250 * MS,
            delay_ns=60_000 * MS,
        )
        assert (answer.keyspace, answer.shard) == (bench.tablet.keyspace, bench.tablet.shard)
        assert answer.tablet_type != topodata_pb2.UNKNOWN
        assert not answer.history
        assert bench.lag.wanted == 1


async def test_the_last_minutes_are_told_when_asked_for() -> None:
    async with grpc_bench() as bench:
        now = bench.lag.clock.monotonic_seconds()
        bench.lag.samples = [
            LagSample(now - 2, Lag(LagState.UNKNOWN)),
            LagSample(now - 1, Lag(LagState.MEASURED, 2, lower_ns=1, upper_ns=3)),
        ]
        answer = await lag_service(bench).GetLag(pb.GetLagRequest(with_history=True))
        assert list(answer.history) == [
            pb.LagPoint(age_ns=2_000 * MS, state=pb.LagFigure.STATE_UNKNOWN),
            pb.LagPoint(
                age_ns=1_000 * MS,
                state=pb.LagFigure.STATE_MEASURED,
                lag_ns=2,
                lower_ns=1,
                upper_ns=3,
            ),
        ]


async def test_a_writer_is_asked_over_the_wire_as_in_its_own_process() -> None:
    async with grpc_bench() as bench:
        bench.lag.beats = (Beat(5, 10, 11), Beat(6, 20, 22))
        question = WriterQuestion(7, 4, want_heartbeats=True, want_position=True)
        answer = answer_from_proto(await lag_service(bench).Exchange(question_to_proto(question)))
        assert bench.lag.asked == [question]
        assert answer == await bench.lag.answer(question, bench.lag.clock.monotonic_seconds())


@pytest.mark.parametrize("state", LagState)
@pytest.mark.parametrize("method", LagMethod)
def test_a_lag_of_any_state_and_method_goes_onto_the_wire_by_its_name(
    state: LagState, method: LagMethod
) -> None:
    lag = Lag(state, -5, 900.0, 800.0, "error", 0, 7, method, 3, "cause")
    figure = lag_to_proto(lag, 1000.0)
    assert pb.LagFigure.State.Name(figure.state) == f"STATE_{state.name}"
    assert pb.LagFigure.Method.Name(figure.method) == f"METHOD_{method.name}"
    assert (figure.lag_ns, figure.lower_ns, figure.upper_ns, figure.delay_ns) == (-5, 0, 7, 3)
    assert (figure.age_ns, figure.held_ns) == (100_000_000_000, 200_000_000_000)
    assert (figure.error, figure.cause) == ("error", "cause")


def test_what_is_not_known_of_a_lag_is_absent_and_not_zero() -> None:
    figure = lag_to_proto(Lag(LagState.UNKNOWN, error="nothing was read"), 1000.0)
    assert {field.name for field, _ in figure.ListFields()} == {"error"}
