"""Between the domain and the wire: lag figures, and what daemons tell each other of heartbeats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tabletd.heartbeat import (
    Lag,
    LagMethod,
    LagSample,
    LagState,
    WriterAnswer,
    WriterQuestion,
    Writing,
)
from tabletd.heartbeat.beats import Beat
from tabletd.heartbeat.lag import NANOSECONDS_PER_SECOND
from tabletd_pb import lag_pb2 as pb

_STATES: Final[Mapping[LagState, pb.LagFigure.State.ValueType]] = {
    state: pb.LagFigure.State.Value(f"STATE_{state.name}") for state in LagState
}
_METHODS: Final[Mapping[LagMethod, pb.LagFigure.Method.ValueType]] = {
    method: pb.LagFigure.Method.Value(f"METHOD_{method.name}") for method in LagMethod
}
_WRITING: Final[Mapping[Writing, pb.ExchangeResponse.Writing.ValueType]] = {
    writing: pb.ExchangeResponse.Writing.Value(f"WRITING_{writing.name}") for writing in Writing
}
_WRITING_BACK: Final = {number: writing for writing, number in _WRITING.items()}


def lag_to_proto(lag: Lag, now_monotonic: float) -> pb.LagFigure:
    """Return a lag on the wire, where moments are ages."""
    return pb.LagFigure(
        state=_STATES[lag.state],
        method=_METHODS[lag.method],
        lag_ns=lag.lag_ns,
        lower_ns=lag.lower_ns,
        upper_ns=lag.upper_ns,
        age_ns=lag.age_ns(now_monotonic),
        held_ns=lag.held_ns(now_monotonic),
        delay_ns=lag.delay_ns,
        error=lag.error,
        cause=lag.cause,
    )


def sample_to_proto(sample: LagSample, now_monotonic: float) -> pb.LagPoint:
    """Return the lag of a moment of the past."""
    return pb.LagPoint(
        age_ns=round((now_monotonic - sample.monotonic) * NANOSECONDS_PER_SECOND),
        state=_STATES[sample.lag.state],
        lag_ns=sample.lag.lag_ns,
        lower_ns=sample.lag.lower_ns,
        upper_ns=sample.lag.upper_ns,
    )


def question_to_proto(question: WriterQuestion) -> pb.ExchangeRequest:
    """Return what a reader asks."""
    return pb.ExchangeRequest(
        after_series=question.after_series,
        after_sequence=question.after_sequence,
        want_heartbeats=question.want_heartbeats,
        want_position=question.want_position,
    )


def question_from_proto(request: pb.ExchangeRequest) -> WriterQuestion:
    """Return what a reader asks."""
    return WriterQuestion(
        request.after_series,
        request.after_sequence,
        request.want_heartbeats,
        request.want_position,
    )


def answer_to_proto(answer: WriterAnswer) -> pb.ExchangeResponse:
    """Return what the writer's daemon tells."""
    return pb.ExchangeResponse(
        received_ns=answer.received_ns,
        sent_ns=answer.sent_ns,
        series=answer.series,
        writing=_WRITING[answer.writing],
        interval_ns=answer.interval_ns,
        beats=[
            pb.Beat(sequence=beat.sequence, sent_ns=beat.sent_ns, committed_ns=beat.committed_ns)
            for beat in answer.beats
        ],
        position=answer.position,
    )


def answer_from_proto(response: pb.ExchangeResponse) -> WriterAnswer:
    """Return what the writer's daemon tells."""
    return WriterAnswer(
        received_ns=response.received_ns,
        sent_ns=response.sent_ns,
        series=response.series,
        writing=_WRITING_BACK.get(response.writing, Writing.NONE),
        interval_ns=response.interval_ns,
        beats=tuple(
            Beat(beat.sequence, beat.sent_ns, beat.committed_ns) for beat in response.beats
        ),
        position=response.position,
    )
