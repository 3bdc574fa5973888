"""What the UPDATE statements of VExec stand for: a cancel, a retry. Texts: Vitess."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from tabletd.errors import Reason, TabletdError
from tabletd.executor.names import is_online_ddl_uuid
from tabletd.executor.store import Store
from tabletd.executor.submit import not_a_uuid
from tabletd.executor.vexec import Update


class Queue(Protocol):
    """What an update is carried out on: see `executor.Executor`."""

    async def check_writable(self) -> None: ...

    async def cancel(self, migration_uuid: str) -> int: ...

    async def cancel_all(self, mysql_schema: str) -> int: ...

    async def retry(self, migration_uuid: str) -> int: ...


async def carry_out_update(
    update: Update, *, queue: Queue, store: Store, schemas: Collection[str], shard: str
) -> int:
    """Carry out the command that an UPDATE stands for.

    Args:
        update: what was asked.
        queue: does it.
        store: finds what is to be retried.
        schemas: those that statements may name; of others nothing is changed.
        shard: the tablet's.

    Returns:
        the rows affected.

    Raises:
        TabletdError: INVALID_REQUEST for another command or a wrong uuid; as the queue.
    """
    if update.command not in ("retry", "cancel", "cancel-all"):
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"Unexpected value for migration_status: {update.command[:40]}. "
            "Supported values are: retry, cancel",
        )
    await queue.check_writable()
    if update.shard and update.shard != shard:
        return 0
    uuid = update.migration_uuid
    is_ours = update.mysql_schema in schemas
    match update.command:
        case "cancel-all":
            if uuid is not None:
                raise TabletdError(Reason.INVALID_REQUEST, f"Unexpetced UUID: {uuid[:100]}")
            return await queue.cancel_all(update.mysql_schema) if is_ours else 0
        case "cancel":
            if uuid is None:
                raise TabletdError(
                    Reason.INVALID_REQUEST, "Could not find value for column migration_uuid"
                )
            if not is_online_ddl_uuid(uuid):
                raise not_a_uuid(uuid)
            return await queue.cancel(uuid) if is_ours else 0
        case _:
            if not is_ours:
                return 0
            found = uuid or await store.first_retriable(update.mysql_schema)
            return await queue.retry(found) if found else 0
