"""A random walk over the states of migrations, checked against the table of a real server."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tabletd.errors import Reason, TabletdError
from tabletd.executor.names import create_uuid
from tabletd.executor.states import COMMANDS, TERMINAL, Command, Status
from tabletd.executor.store import Store
from tabletd.mysql.pool import Pool
from tabletd.mysql.sidecar import ensure_sidecar
from tests.support.pools import settings_of
from tests.support.servers import RealServer
from tests.support.submissions import submission


class Walk(RuleBasedStateMachine):
    """What the table must hold after any commands in any order, allowed or not."""

    migrations: Bundle[str] = Bundle("migrations")

    def __init__(self, server: RealServer) -> None:
        super().__init__()
        self.server = server
        self.model: dict[str, Status] = {}
        self.retries: dict[str, int] = {}
        self.runner = asyncio.Runner()
        self.pool = Pool(settings_of(server), name="Walk")
        self.store = Store(self.pool, tablet="zone1-0000000101")
        self.runner.run(self._prepare())

    async def _prepare(self) -> None:
        await self.pool.open()
        async with self.pool.session() as session:
            await ensure_sidecar(session)
        self.server.query("TRUNCATE _vt.schema_migrations")

    def teardown(self) -> None:
        self.runner.run(self.pool.close())
        self.runner.close()

    @rule(target=migrations)
    def submit(self) -> str:
        uuid = create_uuid()
        new = submission(uuid)
        for expected in (1, 0):
            result = self.runner.run(self.store.insert(new, shard="0"))
            assert result.rows_affected == expected
        self.model[uuid], self.retries[uuid] = Status.QUEUED, 0
        return uuid

    @rule(uuid=migrations, command=st.sampled_from(Command), message=st.text(max_size=20))
    def command(self, uuid: str, command: Command, message: str) -> None:
        move = COMMANDS[command]
        transition = self.store.transition(uuid, command, message=message)
        if self.model[uuid] in move.sources:
            self.runner.run(transition)
            self.model[uuid] = move.target
            self.retries[uuid] += command is Command.RETRY
        else:
            with pytest.raises(TabletdError) as caught:
                self.runner.run(transition)
            assert caught.value.reason is Reason.ILLEGAL_TRANSITION

    @invariant()
    def the_table_holds_what_the_model_says(self) -> None:
        rows = self.server.records("SELECT * FROM _vt.schema_migrations")
        assert {row["migration_uuid"]: row["migration_status"] for row in rows} == self.model
        for row in rows:
            status = Status(row["migration_status"])
            assert (row["completed_timestamp"] is not None) == (status in TERMINAL)
            assert (row["cancelled_timestamp"] is not None) == (status is Status.CANCELLED)
            assert row["retries"] == self.retries[row["migration_uuid"]]
            if status is Status.COMPLETE:
                assert (row["progress"], row["eta_seconds"]) == (100, 0)
            if status is Status.QUEUED:
                assert row["ready_timestamp"] is row["started_timestamp"] is None
            if status is Status.RUNNING:
                assert row["started_timestamp"] is not None
                assert row["liveness_timestamp"] is not None

    @invariant()
    def the_snapshot_holds_the_pending_ones_in_order(self) -> None:
        pending, unsettled, failures = self.runner.run(self.store.candidates())
        expected = [uuid for uuid, status in self.model.items() if status not in TERMINAL]
        assert [row.migration_uuid for row in pending] == expected
        assert unsettled == failures == ()


def test_a_random_walk_over_the_states(mariadb: RealServer) -> None:
    class WalkOnServer(Walk):
        def __init__(self) -> None:
            super().__init__(mariadb)

    run_state_machine_as_test(
        WalkOnServer,
        settings=settings(
            max_examples=8,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
