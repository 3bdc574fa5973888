"""The row of one run, as its engine writes it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from tabletd.executor.engines.base import EtaState, Progress
from tabletd.executor.hooks import throttler_app
from tabletd.executor.migration import Migration, join_artifacts
from tabletd.executor.names import parse_gc_table_name
from tabletd.executor.store import Store, fit
from tabletd.executor.throttling import Throttling
from tabletd.executor.waiting import THROTTLED, throttled


class StoredRun:
    """Implements `engines.base.RunRecord` on the store.

    `end` only marks the run as cleaned up: the columns are cleared by the statement that writes how
    the migration ended, so that a daemon killed between the two does not forget that it has run.

    Args:
        store: the migrations.
        migration: the one that runs.
        on_ready: called when it has said whether it is ready to complete.
        throttling: tells what holds it back; None: nothing but what the tool says.

    Attributes:
        nonce: the run's random name, empty before `begin`.
        engine: what carries it out, as `begin` said; empty before.
        ended: whether only artifacts and log of the run are left.
        told: what the tool said last of its progress, None before it said anything.
    """

    def __init__(
        self,
        store: Store,
        migration: Migration,
        on_ready: Callable[[], None],
        throttling: Throttling | None = None,
    ) -> None:
        self._store = store
        self._on_ready = on_ready
        self._throttling = throttling
        self._migration_uuid = migration.migration_uuid
        self._artifacts = migration.artifacts
        self._artifacts_lock = asyncio.Lock()
        self.nonce = migration.run_nonce
        self.engine = migration.run_engine
        self.ended = False
        self.told: Progress | None = None
        self._throttled = ""

    def left_tables(self, old_table: str) -> tuple[str, ...] | None:
        """Return the tables that are left of an ended run, None when it is not cleaned up.

        Only the former table, and what the life cycle of tables has taken over: a name that the
        tool might have used, but did not, may become anybody's.
        """
        if not self.ended:
            return None
        taken_over = (name for name in self._artifacts if parse_gc_table_name(name) is not None)
        return tuple(dict.fromkeys((*taken_over, *([old_table] if old_table else []))))

    async def begin(
        self,
        *,
        nonce: str,
        engine: str,
        directory: str,
        account: str,
        token_hash: str,
        log_path: str,
        log_file: str,
    ) -> None:
        await self._store.begin_run(
            self._migration_uuid,
            {
                "run_nonce": nonce,
                "run_engine": engine,
                "run_directory": directory,
                "run_account": account,
                "run_token_hash": token_hash,
                "log_path": log_path,
                "log_file": log_file,
            },
        )
        self.nonce = nonce
        self.engine = engine

    async def begin_anew(self) -> None:
        await self._store.end_run(self._migration_uuid, self.nonce, self._artifacts)
        self.nonce = self.engine = ""

    async def add_artifacts(self, *tables: str) -> None:
        async with self._artifacts_lock:
            artifacts = tuple(dict.fromkeys((*self._artifacts, *tables)))
            await self._update("artifacts = %s", join_artifacts(artifacts), running=False)
            self._artifacts = artifacts

    async def remove_artifacts(self, *tables: str) -> None:
        async with self._artifacts_lock:
            artifacts = tuple(name for name in self._artifacts if name not in tables)
            await self._update("artifacts = %s", join_artifacts(artifacts), running=False)
            self._artifacts = artifacts

    async def note(self, *, special_plan: str, ddl_action: str) -> None:
        await self._update(
            "special_plan = %s, ddl_action = %s", special_plan, ddl_action, running=True
        )

    async def stage(self, stage: str, message: str = "") -> None:
        assignments = "stage = %s, liveness_timestamp = NOW()"
        if message:
            assignments += ", message = %s, message_timestamp = NOW(6)"
        values = (fit(stage), fit(message)) if message else (fit(stage),)
        await self._update(assignments, *values, running=True)

    async def progress(self, progress: Progress) -> None:
        self.told = progress
        percent = progress.percent if math.isfinite(progress.percent) else 0.0
        has_eta = progress.eta_state in (EtaState.READY, EtaState.DUE)
        component = progress.stage.partition(":")[0]
        reason = fit(self._throttle_reason(component, progress.throttle_reason))
        await self._update(
            "stage = %s, progress = %s, rows_copied = %s, table_rows = %s, eta_seconds = %s,"
            " user_throttle_ratio = %s, component_throttled = %s, reason_throttled = %s,"
            " last_throttled_timestamp = IF(%s, NOW(), last_throttled_timestamp),"
            " liveness_timestamp = NOW()",
            fit(progress.stage),
            min(max(percent, 0.0), 100.0),
            max(progress.rows_copied, 0),
            max(progress.rows_estimated, 0),
            max(progress.eta_seconds, 0) if has_eta else -1,
            self._user_throttle_ratio(),
            component[:60] if reason else "",
            reason,
            bool(reason),
            running=True,
        )
        await self._tell_throttling(reason)

    async def ready_to_complete(self, is_ready: bool) -> None:
        await self._update(
            "ready_to_complete = %s, ready_to_complete_timestamp ="
            " IF(%s, COALESCE(ready_to_complete_timestamp, NOW()), ready_to_complete_timestamp),"
            " liveness_timestamp = NOW()",
            is_ready,
            is_ready,
            running=True,
        )
        self._on_ready()

    async def cutover_attempts(self, attempts: int) -> None:
        await self._update(
            "last_cutover_attempt_timestamp = NOW(),"
            " cutover_attempts = GREATEST(cutover_attempts, %s)",
            attempts,
            running=True,
        )

    async def _tell_throttling(self, reason: str) -> None:
        """Say in the message that the run is held back; since when is written once."""
        by_user = self._user_throttle_ratio() > 0
        text = throttled(self._migration_uuid, reason, by_user=by_user) if reason else ""
        before, self._throttled = self._throttled, text
        if text == before:
            return
        if text:
            since = "" if before else ", message_timestamp = NOW(6)"
            await self._update(f"message = %s{since}", fit(text), running=True)
        else:
            # What the engine has said meanwhile is not taken back.
            own = "IF(LEFT(message, %s) = %s, '', message)"
            await self._update(f"message = {own}", len(THROTTLED), THROTTLED, running=True)

    def _user_throttle_ratio(self) -> float:
        if self._throttling is None:
            return 0.0
        return self._throttling.user_throttle_ratio(self._migration_uuid)

    def _throttle_reason(self, component: str, told: str) -> str:
        """Return what the throttler said, where the tool knows no more than that it was refused.

        A tool that is slowed down goes on between two refusals, and says nothing then.
        """
        if self._throttling is None:
            return told
        app = throttler_app(component, self._migration_uuid)
        why = self._throttling.last_refusal(app) if told else ""
        return why or self._throttling.slowed_down(app) or told

    async def end(self) -> None:
        self.ended = True

    async def _update(self, assignments: str, *values: object, running: bool) -> None:
        await self._store.update_run(
            self._migration_uuid, self.nonce, assignments, *values, running=running
        )
