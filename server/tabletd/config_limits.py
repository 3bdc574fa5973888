"""The settings about how much callers may have at work, and how much may wait."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from tabletd.config_values import Kind, Why


class LimitsConfig(BaseModel):
    """These settings, as a part of `Config`."""

    grpc_calls_max: Annotated[
        int, Kind("calls"), Why("more than clients need; a flood is answered instead of queued")
    ] = Field(512, ge=1, description="Unary calls at the same time; more get RESOURCE_EXHAUSTED.")
    grpc_streams_max: Annotated[
        int, Kind("streams"), Why("more than clients need; a flood is answered instead of queued")
    ] = Field(512, ge=1, description="Streams at the same time; more get RESOURCE_EXHAUSTED.")
    grpc_calls_max_per_caller: Annotated[
        int, Kind("calls"), Why("half of all: one who floods leaves room for the others")
    ] = Field(
        256,
        ge=0,
        description="Unary calls of one user, certificate or, without either, address at the same "
        "time; 0: no limit of his own.",
    )
    grpc_streams_max_per_caller: Annotated[
        int, Kind("streams"), Why("half of all: one who floods leaves room for the others")
    ] = Field(
        256, ge=0, description="Streams of one caller at the same time; 0: no limit of his own."
    )
    grpc_changes_per_second: Annotated[
        int, Kind("calls"), Why("no orchestrator comes near it, a loop gone wild does")
    ] = Field(
        100,
        ge=0,
        description="Calls of one caller a second that change something, in the mean; ten seconds' "
        "worth may come at once; 0: any number.",
    )
    queued_migrations_max: Annotated[
        int, Kind("migrations"), Why("weeks of work; a loop gone wild is stopped in minutes")
    ] = Field(
        10_000,
        ge=0,
        description="Migrations of a keyspace that may wait in the queue; more are refused; "
        "0: any number.",
    )
