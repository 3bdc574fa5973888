"""A queue that is full takes nothing more, and says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.admission import Admission
from tabletd.executor.names import create_uuid
from tabletd.executor.queue_limit import QueueLimit
from tabletd.executor.store import Store
from tabletd.executor.submit import NewMigration, Submission
from tabletd.mysql.pool import Pool
from tabletd.telemetry.vars import Registry
from tests.support.engines import ALIAS, executor_on
from tests.support.servers import RealServer


def two_may_wait(pool: Pool, registry: Registry) -> Callable[[Submission], Awaitable[None]]:
    limit = QueueLimit(Store(pool, tablet=ALIAS), 2, registry)
    return Admission(pool, allows_unsafe_cutover=False, limit=limit).check


def waiting(keyspace: str) -> NewMigration:
    statement = "CREATE TABLE t (id INT PRIMARY KEY)"
    return NewMigration(create_uuid(), statement, "mysql", "--postpone-launch", keyspace)


async def test_a_submission_to_a_full_queue_is_told_how_many_wait_and_what_to_do(
    any_server: RealServer, database: str
) -> None:
    full, other = f"full_{database}", f"other_{database}"
    async with executor_on(any_server, database, admit=two_may_wait) as test:
        first, second = waiting(full), waiting(full)
        for new in (first, second):
            assert (await test.executor.submit(new)).rows_affected == 1
        with pytest.raises(TabletdError) as refusal:
            await test.executor.submit(waiting(full))
        assert refusal.value.reason is Reason.QUEUE_FULL
        assert str(refusal.value).startswith(f"2 migrations of the keyspace {full} wait")
        assert "queued_migrations_max" in str(refusal.value)
        assert refusal.value.facts == {"queued": "2", "limit": "2"}
        # What is known changes nothing, and another keyspace has a queue of its own.
        assert (await test.executor.submit(first)).rows_affected == 0
        assert (await test.executor.submit(waiting(other))).rows_affected == 1
        await test.executor.cancel(second.migration_uuid)
        assert (await test.executor.submit(waiting(full))).rows_affected == 1
        assert test.registry.export()["SubmissionsRefused"] == 1
