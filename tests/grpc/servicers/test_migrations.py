"""Watching migrations over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, cast

import grpc

from tabletd.errors import Reason, TabletdError
from tabletd.executor.explain import Explanation, Lock, Way
from tabletd.executor.leftover import Kind, Leftover
from tabletd_pb import migrations_pb2 as pb
from tabletd_pb import migrations_pb2_grpc, vtctldata_pb2
from tests.support.fakes_servicers import GrpcBench, error_info, failure, grpc_bench
from tests.support.watched import UUID, watched


def watch(bench: GrpcBench, **fields: Any) -> AsyncIterator[pb.WatchResponse]:
    stub = cast(Any, migrations_pb2_grpc.MigrationsStub)(bench.channel)
    return cast(
        "AsyncIterator[pb.WatchResponse]", stub.Watch(pb.WatchRequest(**fields)).__aiter__()
    )


async def read(stream: AsyncIterator[pb.WatchResponse], count: int) -> list[pb.WatchResponse]:
    async with asyncio.timeout(60):
        return [await anext(stream) for _ in range(count)]


async def test_a_stream_begins_with_reset_and_state_and_goes_on_with_changes() -> None:
    async with grpc_bench() as bench:
        bench.table.put(
            watched(
                migration_status="running",
                stage="gh-ost: copying rows",
                rows_copied=50,
                table_rows=200,
                progress=25.0,
                eta_seconds=30,
                artifacts="_a_gho,_a_ghc,",
                backlog=7,
                started_timestamp=datetime(2026, 11, 23, 8, 30, 1, 500_000),
            )
        )
        stream = watch(bench)
        reset, first, done = await read(stream, 3)
        assert [one.WhichOneof("event") for one in (reset, first, done)] == [
            "reset",
            "migration",
            "up_to_date",
        ]
        state = first.migration
        assert (state.uuid, state.status) == (UUID, vtctldata_pb2.SchemaMigration.RUNNING)
        assert (state.rows_copied, state.rows_estimated, state.progress_percent) == (50, 200, 25.0)
        assert (state.eta_seconds, state.eta_state) == (30, pb.MigrationState.ETA_STATE_READY)
        assert list(state.artifacts) == ["_a_gho", "_a_ghc"]
        assert state.backlog == 7
        assert (state.started_at.seconds, state.started_at.nanoseconds) == (1795422601, 500_000_000)
        assert not state.HasField("completed_at")
        bench.table.change(1, migration_status="complete", backlog=0)
        bench.watch.wake()
        (changed,) = await read(stream, 1)
        assert changed.migration.status == vtctldata_pb2.SchemaMigration.COMPLETE
        assert (changed.series, changed.sequence) == (first.series, bench.watch.sequence)


async def test_what_is_held_back_by_what_and_since_when_is_told_until_it_has_ended() -> None:
    async with grpc_bench() as bench:
        held = watched(
            migration_status="running",
            reason_throttled="replica b:2: lag 9 s",
            component_throttled="gh-ost",
            last_throttled_timestamp=datetime(2026, 11, 23, 8, 30, 1),
        )
        bench.table.put(held)
        stream = watch(bench)
        state = (await read(stream, 3))[1].migration
        assert (state.throttle_reason, state.component_throttled) == (
            "replica b:2: lag 9 s",
            "gh-ost",
        )
        assert state.last_throttled_at.seconds == 1795422601
        bench.table.change(1, migration_status="failed")
        bench.watch.wake()
        state = (await read(stream, 1))[0].migration
        assert (state.throttle_reason, state.component_throttled) == ("", "")
        assert state.last_throttled_at.seconds == 1795422601


async def test_a_call_that_resumes_gets_only_what_came_after() -> None:
    async with grpc_bench() as bench:
        bench.table.put(watched(1))
        bench.table.put(watched(2))
        last = (await read(watch(bench), 4))[-1]
        bench.table.change(2, stage="gh-ost: waiting")
        del bench.table.by_id[1]
        bench.watch.wake()
        stream = watch(bench, resume_series=last.series, resume_after=last.sequence)
        news = await read(stream, 3)
        events = sorted(str(one.WhichOneof("event")) for one in news)
        assert events == ["migration", "removed", "up_to_date"]
        assert all(one.sequence >= last.sequence for one in news)


async def test_uuids_are_the_same_in_upper_and_lower_case() -> None:
    async with grpc_bench() as bench:
        bench.table.put(watched(1))
        bench.table.put(watched(2))
        _, state, done = await read(watch(bench, uuids=[UUID.upper()]), 3)
        assert state.migration.uuid == UUID
        assert done.WhichOneof("event") == "up_to_date"


async def test_a_tablet_that_is_no_primary_says_so() -> None:
    async with grpc_bench() as bench:
        await bench.watch.make_non_primary()
        error = await failure(read(watch(bench), 1))
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert error_info(error).reason == "NOT_PRIMARY"


async def test_more_uuids_than_anybody_needs_are_refused() -> None:
    async with grpc_bench() as bench:
        error = await failure(read(watch(bench, uuids=[UUID] * 1_001), 1))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_explanation_tells_way_size_locks_and_refusals() -> None:
    async with grpc_bench() as bench:
        bench.explainer.answer = [
            Explanation(
                "ALTER TABLE t ADD c INT",
                schema="shop",
                table="t",
                ddl_action="alter",
                way=Way.GH_OST,
                refusals=[TabletdError(Reason.PREFLIGHT_REFUSED, "no key", hint="add one")],
                table_rows=9,
                data_bytes=16,
                index_bytes=32,
                estimated_seconds=7,
                locks=[Lock("shop.t", "writers", "at the end", 3.0)],
                evidence=["seen"],
                waits=["for another"],
            )
        ]
        stub = cast(Any, migrations_pb2_grpc.MigrationsStub)(bench.channel)
        answer = await stub.Explain(
            pb.ExplainRequest(
                statement="ALTER TABLE t ADD c INT", ddl_strategy="gh-ost", migration_context="a"
            )
        )
        assert bench.explainer.asked == [("ALTER TABLE t ADD c INT", "gh-ost", "a")]
        assert list(answer.plans) == [
            pb.Plan(
                statement="ALTER TABLE t ADD c INT",
                schema="shop",
                table="t",
                ddl_action="alter",
                way=pb.Plan.WAY_GH_OST,
                refusals=[pb.Refusal(reason="PREFLIGHT_REFUSED", message="no key", hint="add one")],
                table_rows=9,
                data_bytes=16,
                index_bytes=32,
                estimated_seconds=7,
                locks=[
                    pb.Lock(object="shop.t", blocks="writers", phase="at the end", seconds_max=3)
                ],
                evidence=["seen"],
                waits=["for another"],
            )
        ]


async def test_leftovers_are_listed_and_fixed_in_their_own_words() -> None:
    async with grpc_bench() as bench:
        ours = Leftover(
            kind=Kind.TABLE, name="_t_new", schema="shop", migration_uuid=UUID, note="seen"
        )
        stuck = Leftover(
            kind=Kind.TRIGGER, name="t_ins", schema="shop", table="t", migration_uuid=UUID
        )
        by_hand = Leftover(kind=Kind.SOCKET, name="/tmp/gh-ost.shop.t.sock", note="by hand")
        bench.sweeper.found = [stuck, ours, by_hand]
        bench.sweeper.failures = {"t_ins": "locked"}
        stub = cast(Any, migrations_pb2_grpc.MigrationsStub)(bench.channel)
        listed = (await stub.ListLeftovers(pb.ListLeftoversRequest())).leftovers
        assert [one.removable for one in listed] == [True, True, False]
        assert listed[1] == pb.Leftover(
            kind=pb.Leftover.KIND_TABLE,
            name="_t_new",
            schema="shop",
            uuid=UUID,
            note="seen",
            removable=True,
        )
        fixed = await stub.FixLeftovers(pb.FixLeftoversRequest())
        assert [one.name for one in fixed.removed] == ["_t_new"]
        assert [(one.name, one.failure) for one in fixed.left] == [
            ("t_ins", "locked"),
            ("/tmp/gh-ost.shop.t.sock", ""),
        ]
