"""A migration as the executor and the engines know it: one row of `_vt.schema_migrations`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from tabletd.errors import TabletdError
from tabletd.executor.flags import Flags, flags_of, split_options
from tabletd.executor.states import Status
from tabletd.executor.strategy import Strategy

__all__ = [
    "SCHEMA_MIGRATIONS_TABLE_NAME",
    "Migration",
    "Strategy",
    "join_artifacts",
    "split_artifacts",
]

SCHEMA_MIGRATIONS_TABLE_NAME = "schema_migrations"


@dataclass(frozen=True, slots=True)
class Migration:
    """One row of `_vt.schema_migrations`, as it was when it was read.

    Column names are Vitess's. Timestamps are UTC without a zone, by the server's clock. The run_*
    columns name the run that is not cleaned up yet; all are empty when there is none. A threshold
    of 0 stands for the engine's own.
    """

    id: int
    migration_uuid: str
    keyspace: str
    shard: str
    mysql_schema: str
    mysql_table: str
    migration_statement: str
    strategy: Strategy
    options: str = ""
    ddl_action: str = ""
    status: Status = Status.QUEUED
    migration_context: str = ""
    retries: int = 0
    tablet: str = ""
    tablet_failure: bool = False
    artifacts: tuple[str, ...] = ()
    log_path: str = ""
    log_file: str = ""
    message: str = ""
    stage: str = ""
    progress: float = 0.0
    rows_copied: int = 0
    table_rows: int = 0
    eta_seconds: int = -1
    retain_artifacts_seconds: int = 0
    run_nonce: str = ""
    run_engine: str = ""
    run_directory: str = ""
    run_account: str = ""
    run_token_hash: str = ""
    requested_timestamp: datetime | None = None
    added_timestamp: datetime | None = None
    ready_timestamp: datetime | None = None
    started_timestamp: datetime | None = None
    liveness_timestamp: datetime | None = None
    completed_timestamp: datetime | None = None
    cancelled_timestamp: datetime | None = None
    ready_to_complete_timestamp: datetime | None = None
    postpone_launch: bool = False
    postpone_completion: bool = False
    allow_concurrent: bool = False
    is_view: bool = False
    is_immediate_operation: bool = False
    ready_to_complete: bool = False
    force_cutover: bool = False
    cutover_threshold_seconds: int = 0
    reverted_uuid: str = ""
    special_plan: str = ""

    @property
    def engine_strategy(self) -> Strategy:
        """The strategy whose engine carries it out: tools only ever run an ALTER TABLE."""
        is_for_tool = self.ddl_action == "alter" and not self.is_view and not self.reverted_uuid
        if is_for_tool and self.strategy.is_tool and not self._is_declarative:
            return self.strategy
        return Strategy.DIRECT

    @property
    def _is_declarative(self) -> bool:
        """Whether its statement says what there should be: an ALTER is made from it by `direct`."""
        try:
            return self.flags.declarative
        except TabletdError:
            return False

    @property
    def flags(self) -> Flags:
        """What was asked of the queue at submission.

        Some may have been changed since by statements: the columns of the same names tell.

        Raises:
            TabletdError: the options, written by somebody else, cannot be read.
        """
        return flags_of(self.strategy, self.options)

    @property
    def tool_arguments(self) -> tuple[str, ...]:
        """What was asked of the tool at submission, one argument for each option.

        Raises:
            TabletdError: as `flags`; an option is refused, by now at least.
        """
        return split_options(self.strategy, self.options)[1]

    @property
    def table_key(self) -> tuple[str, str]:
        """What two migrations must not share while they run."""
        return (self.mysql_schema, self.mysql_table)


def split_artifacts(text: str) -> tuple[str, ...]:
    """Return the table names of an `artifacts` column, each once, in the order written.

    Vitess's readers split on any run of comma, semicolon and blank and skip empties.
    """
    return tuple(dict.fromkeys(name for name in re.split(r"[,;\s]+", text) if name))


def join_artifacts(tables: tuple[str, ...]) -> str:
    """Return the text of an `artifacts` column: Vitess's comma list, with one at the end."""
    return "".join(f"{table}," for table in tables)
