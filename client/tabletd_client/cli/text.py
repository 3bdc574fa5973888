"""Migrations, plans, tablets as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tabletd_client.cli.words import bytes_text, seconds_text
from tabletd_client.models import EtaState, Migration, Plan, Tablet, TabletLag


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns of equal width; the last one is as wide as its text."""
    lines = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def migrations_table(migrations: Sequence[Migration]) -> str:
    """Return migrations, one a line."""
    if not migrations:
        return "no migrations"
    return table(
        ("UUID", "SHARD", "TABLE", "ACTION", "STRATEGY", "STATUS", "PROGRESS", "STAGE"),
        [
            (
                one.uuid,
                one.shard,
                one.table,
                one.ddl_action,
                one.strategy,
                one.status,
                progress(one),
                one.stage,
            )
            for one in migrations
        ],
    )


def migration_in_full(one: Migration) -> str:
    """Return all that is known of a migration, one fact a line."""
    flags = {
        "postponed launch": one.postpone_launch,
        "postponed completion": one.postpone_completion,
        "ready to complete": one.ready_to_complete,
        "tablet failed": one.tablet_failure,
    }
    facts = {
        "uuid": one.uuid,
        "shard": f"{one.keyspace}/{one.shard}",
        "context": one.context,
        "table": f"{one.schema}.{one.table}",
        "statement": one.statement,
        "strategy": f"{one.strategy} {one.options}".strip(),
        "status": one.status.value,
        "stage": one.stage,
        "message": one.message,
        "progress": progress(one),
        "flags": ", ".join(name for name, is_set in flags.items() if is_set),
        "throttled": one.throttle_reason,
        "retries": str(one.retries or ""),
        "cut-overs tried": str(one.cutover_attempts or ""),
        "artifacts": ", ".join(one.artifacts),
        "reverts": one.reverted_uuid,
        "special plan": one.special_plan,
        "tablet": one.tablet,
        "log": one.log_file,
        "added": _time(one.added_at),
        "started": _time(one.started_at),
        "ready since": _time(one.ready_to_complete_at),
        "ended": _time(one.completed_at),
        "cancelled": _time(one.cancelled_at),
        "cleaned up": _time(one.cleaned_up_at),
    }
    return _facts(facts)


def progress(one: Migration) -> str:
    """Return how far a migration is: percent, rows, time left."""
    if one.status.ended and not one.rows_estimated:
        return ""
    parts: list[str] = []
    if one.rows_estimated:
        parts.append(f"{one.progress_percent:.1f}%")
        parts.append(f"{one.rows_copied:,}/{one.rows_estimated:,} rows")
    if not one.status.ended:
        parts.append(eta(one))
    return " ".join(part for part in parts if part)


def eta(one: Migration) -> str:
    """Return the time that is left, in words that say how much is known of it."""
    if one.eta_state is EtaState.DUE:
        return "ETA due"
    if one.eta_state is EtaState.MEASURING:
        return "ETA measuring"
    if one.eta_seconds is not None:
        return f"ETA {seconds_text(one.eta_seconds)}"
    return ""


def status_line(one: Migration, now: datetime | None = None) -> str:
    """Return a migration in one line of a log."""
    moment = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    what = f"{one.uuid} {one.shard} {one.table or '-'}"
    news = "; ".join(part for part in (progress(one), one.stage, one.message) if part)
    return f"{moment} {what} {one.status}" + (f": {news}" if news else "")


def plan_text(plan: Plan) -> str:
    """Return what a statement would do."""
    size = ""
    if plan.table_rows or plan.data_bytes:
        size = (
            f"about {plan.table_rows:,} rows, {bytes_text(plan.data_bytes)} of data, "
            f"{bytes_text(plan.index_bytes)} of indexes"
        )
    took = (
        None if plan.estimated_seconds is None else f"about {seconds_text(plan.estimated_seconds)}"
    )
    name = f"{plan.schema}.{plan.table}" if plan.table else ""
    facts = {
        "shard": f"{plan.keyspace}/{plan.shard}",
        "statement": plan.statement,
        "way": plan.way.value,
        "table": f"{name}: {size}" if size else name,
        "time": took or "not known",
    }
    lines = [_facts(facts)]
    for refusal in plan.refusals:
        hint = f" ({refusal.hint})" if refusal.hint else ""
        lines.append(f"refused    {refusal.message}{hint} [{refusal.reason}]")
    for lock in plan.locks:
        most = "" if lock.seconds_max is None else f", at most {seconds_text(lock.seconds_max)}"
        lines.append(f"locks      {lock.object}: {lock.blocks} wait {lock.phase}{most}")
    lines.extend(f"waits for  {wait}" for wait in plan.waits)
    lines.extend(f"evidence   {finding}" for finding in plan.evidence)
    return "\n".join(lines)


def tablets_table(tablets: Sequence[Tablet]) -> str:
    """Return tablets, one a line."""
    return table(
        ("ALIAS", "KEYSPACE", "SHARD", "TYPE", "GRPC", "MYSQL", "PRIMARY SINCE"),
        [
            (
                one.alias,
                one.keyspace,
                one.shard,
                one.type,
                one.grpc_address,
                f"{one.mysql_host}:{one.mysql_port}" if one.mysql_host else "",
                _time(one.primary_since),
            )
            for one in tablets
        ],
    )


def lag_table(lags: Sequence[TabletLag]) -> str:
    """Return the lag of tablets, one a line."""
    return table(
        ("ALIAS", "SHARD", "TYPE", "SERVING", "LAG", "WHY"),
        [
            (
                one.alias,
                one.shard,
                one.type,
                {True: "yes", False: "no", None: "?"}[one.serving],
                "unknown" if one.lag_seconds is None else f"{one.lag_seconds}s",
                one.error,
            )
            for one in lags
        ],
    )


def _facts(facts: dict[str, str]) -> str:
    said = {name: text for name, text in facts.items() if text}
    width = max(len(name) for name in said) + 2
    return "\n".join(f"{name.ljust(width)}{text}" for name, text in said.items())


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")
