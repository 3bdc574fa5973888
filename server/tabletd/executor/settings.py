"""What an operator can set about the queue."""

from __future__ import annotations

from dataclasses import dataclass

from tabletd.executor.strategy import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSettings:
    """How the queue is worked off.

    Attributes:
        allowed_schemas: schemas beside the tablet's own that statements may name.
        check_interval_seconds: how often the queue is looked at when nothing happens.
        max_concurrent: migrations without `--allow-concurrent` that run at one time; never two on
            one table. No more copy rows at one time either, with or without the flag.
        max_concurrent_online_ddl: migrations that run at one time, all in all.
        stale_seconds: a run without a sign of life for longer, which cannot be recovered, fails.
        close_grace_seconds: how long `close` waits for tools to be ended and cleaned up.
        default_online_strategy: what the strategies `online` and `vitess` stand for; None: refused.
        enable_online_ddl: whether new migrations are taken.
    """

    allowed_schemas: tuple[str, ...] = ()
    check_interval_seconds: float = 60.0
    max_concurrent: int = 1
    max_concurrent_online_ddl: int = 8
    stale_seconds: float = 180 * 60.0
    close_grace_seconds: float = 30.0
    default_online_strategy: Strategy | None = None
    enable_online_ddl: bool = True
