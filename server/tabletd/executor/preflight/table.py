"""Checks of the table and of the statement: can the tool take it, and nothing else with it?"""

from __future__ import annotations

from tabletd.errors import Reason, TabletdError
from tabletd.executor.ddl import Action, ObjectKind
from tabletd.executor.preflight.facts import Facts, Key, Table

_SPACE_FACTOR = 1.2
_GIB = 1024**3
# gh-ost iterates over the key by comparing values: these types do not compare reliably.
_UNSAFE_KEY_TYPES = frozenset({"float", "double", "json"})


def statement_is_alter(facts: Facts) -> None:
    """It is an ALTER TABLE that changes one table and keeps its name and its rows."""
    statement = facts.statement
    if statement.action is not Action.ALTER or statement.kind is not ObjectKind.TABLE:
        raise _unsupported("tools carry out ALTER TABLE only", "use the strategy direct")
    if not statement.alter_options:
        raise _unsupported("the ALTER TABLE changes nothing", "say what is to be changed")
    if statement.renames_table:
        raise _unsupported(
            "the ALTER renames the table; the tool would run that on its own copy of the table and "
            "leave an orphan",
            "rename the table by a migration of its own with the strategy direct",
        )
    if statement.ignore:
        raise _unsupported(
            "ALTER IGNORE drops rows that do not fit", "remove the rows, then alter without IGNORE"
        )
    if statement.index_options:
        raise _unsupported(
            "ALGORITHM and LOCK of an index have no meaning for a tool", "leave them out"
        )


def _unsupported(message: str, hint: str) -> TabletdError:
    return TabletdError(Reason.UNSUPPORTED_DDL, message, hint=hint)


def is_base_table(facts: Facts) -> None:
    """The table is there, is a table, is InnoDB's and keeps no history of its own."""
    table = _the_table(facts)
    if table.kind == "SYSTEM VERSIONED":
        raise _refused(
            facts,
            "is system-versioned: the copy would lose its history",
            "use the strategy direct, or drop the system versioning first",
        )
    if table.kind != "BASE TABLE":
        raise _refused(facts, f"is a {table.kind.lower()}", "use the strategy direct")
    if table.engine != "INNODB":
        raise _refused(
            facts,
            f"is of the engine {table.engine or '(none)'}: only InnoDB gives the tools the "
            "snapshots and row locks that they copy by",
            "use the strategy direct, which locks the table",
        )


def _refused(facts: Facts, found: str, hint: str) -> TabletdError:
    return TabletdError(
        Reason.PREFLIGHT_REFUSED,
        f"the table {facts.table_name} {found}",
        hint=hint,
        table=facts.table_name,
    )


def _the_table(facts: Facts) -> Table:
    if facts.table is None:
        raise TabletdError(
            Reason.TABLE_NOT_FOUND,
            f"the table {facts.table_name} does not exist",
            hint="look at the schema's tables; names may be case-sensitive",
            table=facts.table_name,
        )
    return facts.table


def gh_ost_names(facts: Facts) -> None:
    """gh-ost puts names between quotes as they are, and into the comments of its statements.

    Grants cannot mean a `%` as gh-ost reads it.
    """
    schema, table = facts.migration.mysql_schema, facts.migration.mysql_table
    odd = [mark for mark in ("'", "*/", "\\", "`") if mark in schema or mark in table]
    if "%" in schema:
        odd.append("%")
    if odd:
        raise _refused(
            facts,
            f"has a name that gh-ost cannot quote: it holds {' and '.join(odd)}",
            "use the strategy direct, or rename it",
        )


def pt_osc_names(facts: Facts) -> None:
    """pt-online-schema-change 3.2.1 does not find tables of some names (tried one by one)."""
    name = facts.migration.mysql_schema + facts.migration.mysql_table
    if not name.isascii() or set(name) & set("`'\\\n"):
        raise _refused(
            facts,
            "has a name that pt-online-schema-change does not find: it goes beyond ASCII, or holds "
            "a quote, a backquote, a backslash or the end of a line",
            "use the strategy gh-ost or direct, or rename it",
        )


def pt_osc_defaults(facts: Facts) -> None:
    """The tool makes its table from SHOW CREATE TABLE, which has `?` for what it cannot show."""
    columns = _the_table(facts).unshown_defaults
    if columns:
        raise _refused(
            facts,
            f"has a default that SHOW CREATE TABLE shows with ? for emoji and the like "
            f"({', '.join(columns)}): pt-online-schema-change would make it a real ?",
            "use the strategy gh-ost or direct",
        )


def gh_ost_key(facts: Facts) -> None:
    """There is a key that gh-ost can go along."""
    allow_null = "--allow-nullable-unique-key" in facts.options
    if any(_is_usable(key, allow_null) for key in _the_table(facts).keys):
        return
    raise _refused(
        facts,
        "cannot be copied: no PRIMARY nor UNIQUE key found that gh-ost can go along; one is needed "
        "whose columns are NOT NULL, no floats, no JSON and no prefixes",
        "add such a key first (ALTER TABLE ... ADD PRIMARY KEY by the strategy direct)",
    )


def _is_usable(key: Key, allow_null: bool) -> bool:
    return key.is_unique and not any(
        (part.is_nullable and not allow_null)
        or part.is_prefix
        or part.data_type in _UNSAFE_KEY_TYPES
        for part in key.parts
    )


def pt_osc_key(facts: Facts) -> None:
    """There is a key by which the delete trigger finds a row."""
    if any(
        key.is_unique and not any(part.is_nullable for part in key.parts)
        for key in _the_table(facts).keys
    ):
        return
    raise _refused(
        facts,
        "has neither a primary key nor a unique key whose columns are NOT NULL, which "
        "pt-online-schema-change needs",
        "add one first (ALTER TABLE ... ADD PRIMARY KEY by the strategy direct)",
    )


def no_triggers(facts: Facts) -> None:
    """Neither tool carries triggers over."""
    triggers = _the_table(facts).triggers
    if not triggers:
        return
    names = ", ".join(triggers)
    if all(name.startswith("pt_osc_") for name in triggers):
        raise _refused(
            facts,
            f"has triggers of another run of pt-online-schema-change ({names})",
            "if no such run is alive, drop these triggers first, then that run's table",
        )
    raise _refused(
        facts,
        f"has triggers ({names}), which would be lost",
        "drop them and make them again after the migration, or use the strategy direct",
    )


def gh_ost_foreign_keys(facts: Facts) -> None:
    """gh-ost does not carry foreign keys over, on either side."""
    table = _the_table(facts)
    if "--skip-foreign-key-checks" in facts.options:
        return
    if table.children:
        raise _refused(
            facts,
            f"is referred to by foreign keys of {', '.join(table.children)}: gh-ost would leave "
            "them pointing to the old table",
            "use pt-osc with --alter-foreign-keys-method=rebuild_constraints, or direct",
        )
    if table.foreign_keys and "--discard-foreign-keys" not in facts.options:
        raise _refused(
            facts,
            f"has foreign keys ({', '.join(table.foreign_keys)}), which gh-ost would drop",
            "use the strategy pt-osc or direct, or say --discard-foreign-keys",
        )


def pt_osc_foreign_keys(facts: Facts) -> None:
    """Foreign keys that refer to the table are taken along in a way that leaves no gap."""
    prefix = "--alter-foreign-keys-method="
    given = [value.removeprefix(prefix) for value in facts.arguments if value.startswith(prefix)]
    method = given[-1] if given else ""
    if method in ("drop_swap", "auto"):
        raise TabletdError(
            Reason.PREFLIGHT_REFUSED,
            f"--alter-foreign-keys-method={method} can drop the table before its successor is in "
            "place",
            hint="use --alter-foreign-keys-method=rebuild_constraints",
        )
    if method == "none" and "--force" not in facts.options:
        raise TabletdError(
            Reason.PREFLIGHT_REFUSED,
            "--alter-foreign-keys-method=none breaks foreign keys, and the tool asks whether that "
            "is meant",
            hint="use rebuild_constraints, or add --force",
        )
    children = _the_table(facts).children
    if children and not method:
        raise _refused(
            facts,
            f"is referred to by foreign keys of {', '.join(children)}",
            "say --alter-foreign-keys-method=rebuild_constraints",
        )


def enough_disk(facts: Facts) -> None:
    """A second copy of the table fits beside it, as far as can be seen from here."""
    if facts.disk_free_bytes is None:
        return
    needed = int(_the_table(facts).size_bytes * _SPACE_FACTOR)
    if facts.disk_free_bytes < needed:
        raise _refused(
            facts,
            f"takes {_the_table(facts).size_bytes / _GIB:.2f} GiB, its copy needs "
            f"{needed / _GIB:.2f} GiB, and at {facts.variables.get('datadir')} there are "
            f"{facts.disk_free_bytes / _GIB:.2f} GiB free",
            "make room on the file system of the data directory",
        )


def names_are_free(facts: Facts) -> None:
    """No table has a name that the run cannot do without."""
    taken = sorted(set(facts.taken_names) & set(facts.reserved_names))
    if taken:
        raise TabletdError(
            Reason.TABLE_EXISTS,
            f"tables of these names exist already: {', '.join(taken)}",
            hint="they are left from an earlier run: drop them if nobody needs them",
        )
