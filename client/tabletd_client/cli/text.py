"""Migrations, plans, tablets as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from tabletd_client.cli.words import bytes_text, seconds_text
from tabletd_client.models import EtaState, Migration, Plan, Status, Tablet

_GAP: Final = "  "
_INDENT: Final = "    "
_SAID_WIDTH_MIN: Final = 24


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Return columns of equal width; the last one is as wide as its text.

    Args:
        heads: of the columns.
        rows: one cell for each column.
        width: of the terminal; columns that it has no room for follow below their row, by name.
            None: as wide as it takes.
    """
    lines = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    fitting = len(heads)
    while width is not None and fitting > 1 and _taken(widths[:fitting]) > width:
        fitting -= 1
    text: list[str] = []
    for number, line in enumerate(lines):
        cells = zip(line[:fitting], widths, strict=False)
        text.append(_GAP.join(cell.ljust(wide) for cell, wide in cells).rstrip())
        for head, cell in zip(heads[fitting:], line[fitting:], strict=True):
            if number and cell:
                text.extend(wrapped(f"{_INDENT}{head.lower()}: ", cell, width))
    return "\n".join(text)


def _taken(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def wrapped(begin: str, text: str, width: int | None) -> list[str]:
    """Return a text in lines that begin below each other.

    Args:
        begin: stands before the first line.
        text: its own lines are kept.
        width: of the terminal; None: lines are not broken.
    """
    found = text.splitlines() or [""]
    if width is not None:
        room = max(width - len(begin), _SAID_WIDTH_MIN)
        found = [
            part
            for line in found
            for part in textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False)
        ]
    indent = " " * len(begin)
    return [((indent if number else begin) + line).rstrip() for number, line in enumerate(found)]


def migrations_text(migrations: Sequence[Migration], width: int | None = None) -> str:
    """Return migrations, one a line; on a terminal that is too narrow for that in blocks.

    Args:
        migrations: one for each shard.
        width: of the terminal; None: it is none.
    """
    if not migrations:
        return ""
    lines = table(
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
    if width is None or max(map(len, lines.splitlines())) <= width:
        return lines
    return _blocks(migrations, width)


def _blocks(migrations: Sequence[Migration], width: int) -> str:
    """Return each migration in one line, and below it a line for each shard."""
    blocks: dict[str, list[Migration]] = {}
    for one in migrations:
        blocks.setdefault(one.uuid, []).append(one)
    shard_width = max(len(one.shard) for one in migrations)
    status_width = max(len(one.status) for one in migrations)
    lines: list[str] = []
    for uuid, block in blocks.items():
        first = block[0]
        lines.append(cut(f"{uuid} {first.strategy} {first.ddl_action} {first.table}", width))
        for one in block:
            begin = f"  {one.shard.ljust(shard_width)}  {one.status.ljust(status_width)}  "
            said = (progress(one), one.stage, "" if one.status is Status.COMPLETE else one.message)
            lines.append(cut(begin + "; ".join(filter(None, said)), width))
    return "\n".join(lines)


def cut(text: str, width: int) -> str:
    """Return a text in one line that is no longer than a width."""
    line = " ".join(text.split("\n")).rstrip()
    return line if len(line) <= width else f"{line[: width - 3]}..."


def migration_in_full(one: Migration, width: int | None = None) -> str:
    """Return all that is known of a migration, one fact a line.

    Args:
        one: the migration on one shard.
        width: of the terminal; None: it is none.
    """
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
        "throttled": ": ".join(filter(None, (one.component_throttled, one.throttle_reason))),
        "last throttled": _time(one.last_throttled_at),
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
        "requested by": one.requested_by,
        "last changed by": one.changed_by,
        "ended": _time(one.completed_at),
        "cancelled": _time(one.cancelled_at),
        "cleaned up": _time(one.cleaned_up_at),
    }
    return _facts(facts.items(), width)


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
    if one.ready_to_complete:
        return ""
    if one.eta_state is EtaState.DUE or (one.eta_state is None and one.eta_seconds == 0):
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


def plan_text(plan: Plan, width: int | None = None) -> str:
    """Return what a statement would do.

    Args:
        plan: on one shard.
        width: of the terminal; None: it is none.
    """
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
    facts = [
        ("shard", f"{plan.keyspace}/{plan.shard}"),
        ("statement", plan.statement),
        ("way", plan.way.value),
        ("table", f"{name}: {size}" if size else name),
        ("time", took or "not known"),
    ]
    for refusal in plan.refusals:
        hint = f" ({refusal.hint})" if refusal.hint else ""
        facts.append(("refused", f"{refusal.message}{hint} [{refusal.reason}]"))
    for lock in plan.locks:
        most = "" if lock.seconds_max is None else f", at most {seconds_text(lock.seconds_max)}"
        facts.append(("locks", f"{lock.object}: {lock.blocks} wait {lock.phase}{most}"))
    facts.extend(("waits for", wait) for wait in plan.waits)
    facts.extend(("evidence", finding) for finding in plan.evidence)
    reasons = dict.fromkeys(refusal.reason for refusal in plan.refusals)
    facts.extend(("more", f"tabletctl explain-error {reason}") for reason in reasons)
    return _facts(facts, width)


def tablets_table(tablets: Sequence[Tablet], width: int | None = None) -> str:
    """Return tablets, one a line; `width` as of `table`."""
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
        width,
    )


def _facts(facts: Iterable[tuple[str, str]], width: int | None) -> str:
    said = [(name, text) for name, text in facts if text]
    names_width = max(len(name) for name, _ in said) + len(_GAP)
    return "\n".join(
        line for name, text in said for line in wrapped(name.ljust(names_width), text, width)
    )


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")
