"""Leftovers on the server: found, told from what is owned, removed."""

# ruff: noqa: S608  (SQL is put together from constants of this module; values are parameters)
from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tabletd.errors import LeaseNotHeld, MySQLUnavailable, NotWritable, Reason, TabletdError
from tabletd.executor.accounts import drop_account, is_run_account, parse_account, user_of
from tabletd.executor.engines.leftovers import (
    CATALOGUE_SECONDS_MAX,
    SENTRY_COMMENT,
    Trigger,
    cleaning_session,
    drop_tables,
    drop_triggers,
    existing_tables,
)
from tabletd.executor.leftover import (
    OWNER_COLUMNS,
    Kind,
    Leftover,
    Owner,
    Swept,
    migration_of_table,
    migration_of_trigger,
    table_of_run_by_hand,
    to_owner,
)
from tabletd.executor.names import migration_id_of, parse_gc_table_name
from tabletd.executor.verify.scratch import SCRATCH_COMMENT
from tabletd.mysql.errors import NO_SUCH_THREAD, NOT_OWNER_OF_THREAD, MySQLError
from tabletd.mysql.pool import Pool
from tabletd.mysql.quote import marks
from tabletd.mysql.session import Session

NO_ROW: Final = "no row names it"
BY_HAND: Final = "of a run by hand: no row names it"
# Gone by itself, or not ours to end: the account goes all the same.
_NOT_TO_BE_ENDED: Final = frozenset({NO_SUCH_THREAD, NOT_OWNER_OF_THREAD})
_ROWS_AT_ONCE: Final = 200
_KINDS: Final = "table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"
_TABLES: Final = (
    f"SELECT table_name AS name FROM information_schema.tables WHERE table_schema = %s AND {_KINDS}"
    " AND table_name LIKE '|_%%' ESCAPE '|'"
)
_TRIGGERS: Final = (
    "SELECT trigger_name AS name, event_object_table AS on_table, action_statement AS body"
    " FROM information_schema.triggers"
    " WHERE trigger_schema = %s AND trigger_name LIKE 'pt|_osc|_%%' ESCAPE '|'"
)
_ACCOUNTS: Final = (
    "SELECT user AS user, host AS host FROM mysql.user WHERE user LIKE 'tabletd|_%%' ESCAPE '|'"
)
_OWNERS: Final = (
    f"SELECT {OWNER_COLUMNS} FROM _vt.schema_migrations WHERE {{column}} IN ({{marks}})"
)
# The user of a run's account is made from its migration's UUID: see `accounts.user_of`.
_OWNERS_OF_ACCOUNTS: Final = (
    f"SELECT {OWNER_COLUMNS} FROM _vt.schema_migrations"
    " WHERE CONCAT('tabletd_', LEFT(SHA2(migration_uuid, 256), 8)) IN ({marks})"
)
_KEPT: Final = (
    "SELECT artifacts FROM _vt.schema_migrations WHERE mysql_schema = %s AND artifacts <> ''"
    " AND mysql_table IN ({marks})"
)


async def read_owners(
    session: Session, column: str, values: Collection[object]
) -> dict[Any, Owner]:
    """Return rows by a column that is unique (`id`, `migration_uuid`)."""
    owners: dict[Any, Owner] = {}
    wanted = sorted(set(values), key=str)
    for start in range(0, len(wanted), _ROWS_AT_ONCE):
        some = wanted[start : start + _ROWS_AT_ONCE]
        found = await session.execute(_OWNERS.format(column=column, marks=marks(some)), some)
        for row in found.dicts():
            owners[row[column]] = to_owner(row)
    return owners


@dataclass(slots=True)
class _Catalogue:
    """What one schema has that looks like something of a migration, read before any row is."""

    schema: str
    tables: list[str] = field(default_factory=list[str])
    triggers: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    def uuids(self) -> Iterator[str]:
        """Return the migrations that the names name."""
        for name in self.tables:
            if (made := migration_of_table(name)) is not None:
                yield made[0]
        for _, _, body in self.triggers:
            if uuid := migration_of_trigger(body):
                yield uuid


async def find_on_server(pool: Pool, schemas: Collection[str]) -> list[Leftover]:
    """Return what no live migration owns, in these schemas and among the accounts.

    The catalogue is read before the rows: what was in it then had its row before.

    Args:
        pool: an account that may read the catalogue and `_vt`.
        schemas: where migrations of this tablet may be.
    """
    async with pool.session() as session:
        catalogues = [await _read_catalogue(session, schema) for schema in sorted(schemas)]
        accounts = await _read_accounts(session, pool.settings.user)
        named = {uuid for one in catalogues for uuid in one.uuids()}
        owners = await read_owners(session, "migration_uuid", named)
        found: list[Leftover] = []
        for catalogue in catalogues:
            found += _triggers(catalogue, owners)
            found += await _tables(session, catalogue, owners)
            found += await _on_their_way_out(session, catalogue)
            found += await _by_hand(session, catalogue)
        found += await _accounts(session, accounts)
    return found


async def _read_catalogue(session: Session, schema: str) -> _Catalogue:
    limit = CATALOGUE_SECONDS_MAX
    tables = await session.execute(_TABLES, (schema,), timeout_seconds=limit)
    triggers = await session.execute(_TRIGGERS, (schema,), timeout_seconds=limit)
    return _Catalogue(
        schema,
        sorted(str(name) for (name,) in tables.rows),
        sorted((str(name), str(table), str(body)) for name, table, body in triggers.rows),
    )


async def _read_accounts(session: Session, own_user: str) -> list[tuple[str, str]]:
    try:
        found = await session.execute(_ACCOUNTS)
    except MySQLError as error:
        if error.reason is Reason.MISSING_GRANT:
            return []
        raise
    return sorted(
        (str(user), str(host))
        for user, host in found.rows
        if is_run_account(str(user)) and user != own_user
    )


def _triggers(catalogue: _Catalogue, owners: Mapping[str, Owner]) -> Iterator[Leftover]:
    for name, table, body in catalogue.triggers:
        owner = owners.get(migration_of_trigger(body))
        is_ours = owner is not None and owner.mysql_schema == catalogue.schema
        if is_ours and owner is not None and owner.is_live:
            continue
        yield Leftover(
            kind=Kind.TRIGGER,
            name=name,
            schema=catalogue.schema,
            table=table,
            migration_uuid=owner.migration_uuid if is_ours and owner is not None else "",
            note=f"on {table}" if is_ours else f"on {table}; {BY_HAND}",
        )


async def _tables(
    session: Session, catalogue: _Catalogue, owners: Mapping[str, Owner]
) -> list[Leftover]:
    made = {name: found for name in catalogue.tables if (found := migration_of_table(name))}
    altered = {owner.mysql_table for uuid, _ in made.values() if (owner := owners.get(uuid))}
    former = [name for name, (_, suffix) in made.items() if suffix == "del"]
    present = await existing_tables(session, catalogue.schema, [*altered, *former])
    leftovers: list[Leftover] = []
    for name, (uuid, suffix) in made.items():
        owner = owners.get(uuid)
        if owner is None or owner.mysql_schema != catalogue.schema:
            leftovers.append(_table(catalogue.schema, name, note=NO_ROW))
            continue
        if suffix == "del" and name not in present:
            # Its life cycle has just taken it on.
            continue
        is_former = suffix == "del" and present[name] != SENTRY_COMMENT
        if owner.is_live or (is_former and name in owner.artifacts):
            continue
        if owner.mysql_table not in present:
            note = f"stays: there is no table {owner.mysql_table}, and this may be all of its rows"
            leftovers.append(_table(catalogue.schema, name, uuid, note=note, stays=True))
            continue
        note = "the former table: kept for its retention" if is_former else ""
        leftovers.append(_table(catalogue.schema, name, uuid, note=note, is_kept=is_former))
    return leftovers


def _table(
    schema: str,
    name: str,
    migration_uuid: str = "",
    *,
    note: str = "",
    is_kept: bool = False,
    stays: bool = False,
) -> Leftover:
    return Leftover(
        kind=Kind.TABLE,
        name=name,
        schema=schema,
        migration_uuid=migration_uuid,
        note=note,
        is_kept=is_kept,
        stays=stays,
    )


async def _on_their_way_out(session: Session, catalogue: _Catalogue) -> list[Leftover]:
    """Return tables with a date in their names that the life cycle of tables does not know.

    Those in which values were converted are of the migration whose id is in the name.
    """
    named = {name: found for name in catalogue.tables if (found := parse_gc_table_name(name))}
    ids = [migration_id_of(table.gc_uuid) for table in named.values()]
    owners = await read_owners(session, "id", ids)
    unknown: dict[str, Owner | None] = {}
    for name, table in named.items():
        owner = owners.get(migration_id_of(table.gc_uuid))
        if owner is None or name not in owner.artifacts:
            unknown[name] = owner
    comments = await existing_tables(session, catalogue.schema, list(unknown))
    leftovers: list[Leftover] = []
    for name, owner in unknown.items():
        if name not in comments:
            continue
        is_scratch = comments[name] == SCRATCH_COMMENT
        if owner is None or owner.mysql_schema != catalogue.schema or not is_scratch:
            leftovers.append(_table(catalogue.schema, name, note=NO_ROW))
        elif not owner.is_live:
            note = "values were converted in it to be compared"
            leftovers.append(_table(catalogue.schema, name, owner.migration_uuid, note=note))
    return leftovers


async def _by_hand(session: Session, catalogue: _Catalogue) -> list[Leftover]:
    """Return tables under the tools' own names, unless a row knows them as its former table."""
    named: dict[str, tuple[str, str]] = {}
    for name in catalogue.tables:
        if migration_of_table(name) is None and (found := table_of_run_by_hand(name)) is not None:
            named[name] = found
    if not named:
        return []
    altered = sorted({table for table, _ in named.values()})
    present = await existing_tables(session, catalogue.schema, altered)
    rows = await session.execute(_KEPT.format(marks=marks(altered)), (catalogue.schema, *altered))
    known = ",".join(str(artifacts) for (artifacts,) in rows.rows).split(",")
    return [
        _table(catalogue.schema, name, note=BY_HAND)
        for name, (table, suffix) in named.items()
        if name not in known and (suffix in ("gho", "ghc") or table in present)
    ]


async def _accounts(session: Session, accounts: Sequence[tuple[str, str]]) -> list[Leftover]:
    if not accounts:
        return []
    users = sorted({user for user, _ in accounts})
    rows = await session.execute(_OWNERS_OF_ACCOUNTS.format(marks=marks(users)), users)
    named = await session.execute(
        f"SELECT {OWNER_COLUMNS} FROM _vt.schema_migrations WHERE run_nonce > ''"
    )
    in_use = {to_owner(row).run_account for row in named.dicts()}
    owners: dict[str, list[Owner]] = defaultdict(list)
    for row in rows.dicts():
        owner = to_owner(row)
        owners[user_of(owner.migration_uuid)].append(owner)
    leftovers: list[Leftover] = []
    for user, host in accounts:
        of_user = owners[user]
        if f"{user}@{host}" in in_use or any(owner.is_live for owner in of_user):
            continue
        leftovers.append(
            Leftover(
                kind=Kind.ACCOUNT,
                name=f"{user}@{host}",
                migration_uuid=of_user[0].migration_uuid if of_user else "",
                note="" if of_user else NO_ROW,
            )
        )
    return leftovers


class ServerSweep:
    """Removes leftovers of one server, those of one migration at a time.

    Args:
        pool: an account that may drop triggers, tables and accounts.
        keep: hands the former table of a migration, by the row's id, to the life cycle of tables.
    """

    def __init__(self, pool: Pool, *, keep: Callable[[int, str], Awaitable[None]]) -> None:
        self._pool = pool
        self._keep = keep

    async def remove(self, migration_uuid: str, leftovers: Sequence[Leftover]) -> tuple[Swept, ...]:
        """Remove what one migration left, triggers first; what cannot be had now, stays.

        Args:
            migration_uuid: whose row names them all.
            leftovers: in the order in which they are to go.

        Raises:
            MySQLUnavailable: the server is not there.
            NotWritable: it takes no writes.
            LeaseNotHeld: it takes no longer ours.
        """
        swept: list[Swept] = []
        async with cleaning_session(self._pool) as session:
            owner = (await read_owners(session, "migration_uuid", [migration_uuid])).get(
                migration_uuid
            )
            if owner is None or owner.is_live:
                return tuple(Swept(one, "its migration was moved on") for one in leftovers)
            for one in leftovers:
                failure = ""
                if one.kind is Kind.TABLE and _has_failed_trigger(swept):
                    failure = "a trigger that may write into it is still there"
                else:
                    failure = await self._try(session, owner, one)
                swept.append(Swept(one, failure))
        return tuple(swept)

    async def _try(self, session: Session, owner: Owner, leftover: Leftover) -> str:
        try:
            await self._remove(session, owner, leftover)
        except (LeaseNotHeld, MySQLUnavailable, NotWritable):
            raise
        except TabletdError as error:
            return str(error)
        return ""

    async def _remove(self, session: Session, owner: Owner, leftover: Leftover) -> None:
        match leftover.kind:
            case Kind.TRIGGER:
                trigger = Trigger(leftover.name, leftover.table)
                await drop_triggers(session, leftover.schema, [trigger], attempts_max=1)
            case Kind.TABLE if leftover.is_kept:
                await self._keep(owner.id, leftover.name)
            case Kind.TABLE:
                await drop_tables(session, leftover.schema, [leftover.name], attempts_max=1)
            case Kind.ACCOUNT:
                account = parse_account(leftover.name)
                assert account is not None
                await _end_connections_of(session, account.user)
                await drop_account(session, account)
            case _:
                raise AssertionError(f"{leftover} is not on a server")


def _has_failed_trigger(swept: Sequence[Swept]) -> bool:
    return any(one.failure and one.leftover.kind is Kind.TRIGGER for one in swept)


async def _end_connections_of(session: Session, user: str) -> None:
    """End what a dead tool's account still does, as far as we may."""
    found = await session.execute(
        "SELECT id AS id FROM information_schema.processlist WHERE user = %s", (user,)
    )
    for (number,) in found.rows:
        try:
            await session.execute(f"KILL {int(number)}")
        except MySQLError as error:
            if error.errno not in _NOT_TO_BE_ENDED and error.reason is not Reason.MISSING_GRANT:
                raise
