"""The statements of the VExec RPC: read, and matched with Vitess's templates, never rewritten.

Texts of refusals contain those of Vitess 8 and 9, misspellings included: clients match on them.
What is let through to the server is a SELECT from one table without anything that could reach
another one, write, lock or wait; INSERT and UPDATE are only read, and done by the executor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tabletd.errors import Reason, TabletdError
from tabletd.executor.lexer import (
    Kind,
    Token,
    name_value,
    significant,
    string_value,
    tokenize,
)
from tabletd.executor.submit import NewMigration
from tabletd.executor.vexec_words import (
    CLAUSES_AFTER_TABLE,
    FUNCTIONS,
    FUNCTIONS_WITH_FROM,
    OPERATORS_BEFORE_PARENTHESIS,
    OTHER_STATEMENTS,
    REFUSED_IN_SELECT,
)

TABLE = "_vt.schema_migrations"

_INSERT = "INSERT IGNORE INTO _vt.schema_migrations"
_UPDATE = "UPDATE _vt.schema_migrations SET migration_status='val'"
_V8_COLUMNS = (
    "migration_uuid",
    "keyspace",
    "shard",
    "mysql_schema",
    "mysql_table",
    "migration_statement",
    "strategy",
    "options",
    "requested_timestamp",
    "migration_status",
)
_V9_COLUMNS = (
    *_V8_COLUMNS[:8],
    "ddl_action",
    "requested_timestamp",
    "migration_context",
    "migration_status",
)
_WHERE_TEMPLATES = (
    ("mysql_schema",),
    ("migration_uuid", "mysql_schema"),
    ("migration_uuid", "mysql_schema", "shard"),
)
# Reading must not hold up the event loop, and the heartbeat with it.
_QUERY_CHARACTERS_MAX = 1_048_576
_TOKENS_MAX = 20_000
_REMEMBERED_CHARACTERS_MAX = 4096
_TIMESTAMP_SECONDS_MAX = 2_147_483_647
_HEXADECIMAL_OR_BINARY = re.compile(r"0x[0-9A-Fa-f]+|0b[01]+")


@dataclass(frozen=True, slots=True)
class Select:
    """A query to be sent as it is."""

    sql: str


@dataclass(frozen=True, slots=True)
class Insert:
    """A new migration."""

    migration: NewMigration


@dataclass(frozen=True, slots=True)
class Update:
    """A command in the disguise of an UPDATE.

    Attributes:
        command: the value for `migration_status`: retry, cancel, cancel-all.
        mysql_schema: as in the WHERE.
        migration_uuid: as in the WHERE, None where it names none.
        shard: as in the WHERE, empty where it names none.
    """

    command: str
    mysql_schema: str
    migration_uuid: str | None
    shard: str


def parse(query: str) -> Select | Insert | Update:
    """Read one statement on `_vt.schema_migrations`.

    Raises:
        TabletdError: INVALID_REQUEST or DDL_SYNTAX, with Vitess's text where it has one.
    """
    return _parse_again(query) if len(query) <= _REMEMBERED_CHARACTERS_MAX else _parse(query)


def _parse(query: str) -> Select | Insert | Update:
    if len(query) > _QUERY_CHARACTERS_MAX:
        raise _refusal(
            f"the query has {len(query)} characters, {_QUERY_CHARACTERS_MAX} are the most"
        )
    tokens = significant(tokenize(query, tokens_max=_TOKENS_MAX))
    while tokens and tokens[-1].upper == ";":
        tokens.pop()
    if not tokens:
        raise _refusal("syntax error at position 1: the query is empty")
    _refuse_tricks(tokens)
    match tokens[0].upper:
        case "SELECT":
            return _select(query, tokens)
        case "INSERT":
            return _insert(tokens)
        case "UPDATE":
            return _update(query, tokens)
        case "DELETE":
            return _delete(query, tokens)
        case verb if verb in OTHER_STATEMENTS:
            raise _refusal(f"query not supported by vexec: {_shorten(query)}")
        case _:
            raise _syntax(tokens[0])


# Who polls sends the same SELECT again and again.
_parse_again = lru_cache(maxsize=128)(_parse)


def _select(query: str, tokens: list[Token]) -> Select:
    _refuse_ambiguous_quotes(query)
    _refuse_ambiguous_numbers(tokens)
    froms = _froms(tokens)
    if not froms:
        raise _refusal("table not supported by vexec: dual")
    rest = tokens[froms[0] + 1 :]
    length = next(
        (i for i, token in enumerate(rest) if token.upper in CLAUSES_AFTER_TABLE), len(rest)
    )
    _check_table(rest[:length])
    if len(froms) > 1:
        raise _refusal("query not supported by vexec: more than one FROM")
    for index, token in enumerate(tokens[1:], start=1):
        _check_select_token(tokens, index, token)
    return Select(query[tokens[0].start : tokens[-1].end])


def _froms(tokens: list[Token]) -> list[int]:
    """Return where FROM names tables: everywhere but within functions such as EXTRACT(x FROM y).

    Raises:
        TabletdError: INVALID_REQUEST for parentheses that do not match.
    """
    froms: list[int] = []
    before: list[str] = []  # the words before the parentheses that are open
    for index, token in enumerate(tokens):
        match token.upper:
            case "(":
                before.append(tokens[index - 1].upper)
            case ")" if before:
                before.pop()
            case ")":
                raise _syntax(token)
            case "FROM" if tokens[index - 1].upper != "." and (
                not before or before[-1] not in FUNCTIONS_WITH_FROM
            ):
                froms.append(index)
            case _:
                pass
    if before:
        raise _syntax(tokens[-1])
    return froms


def _refuse_ambiguous_quotes(query: str) -> None:
    """Refuse quotes that the server's sql_mode would end elsewhere than we do.

    Under ANSI_QUOTES or NO_BACKSLASH_ESCAPES, what we take for a string could be code; without a
    backslash all modes agree.
    """
    if "\\" not in query:
        return
    readings = {
        tuple(token.start for token in tokenize(query, ansi_quotes=ansi, backslash_escapes=escapes))
        for ansi in (False, True)
        for escapes in (False, True)
    }
    if len(readings) > 1:
        raise _refusal(
            "query not supported by vexec: a backslash stands before a quote",
            hint="double a quote inside a string instead: 'it''s'",
        )


def _refuse_ambiguous_numbers(tokens: list[Token]) -> None:
    """Refuse a number that runs into a word: `1.FROM`, `.5FROM` and `1e5FROM` end with a keyword.

    A server reads the number and then the keyword, where we see a name or what stands behind one.
    """
    for index, token in enumerate(tokens):
        before = tokens[index - 1].kind if index else None
        behind_point = index > 0 and tokens[index - 1].upper == "."
        if (token.upper == "." and before not in (Kind.WORD, Kind.NAME)) or (
            token.kind is Kind.WORD
            and token.text[0].isdigit()
            and (behind_point or not _HEXADECIMAL_OR_BINARY.fullmatch(token.text))
        ):
            raise _refusal(
                f"query not supported by vexec: a number runs into what follows it at position "
                f"{token.start + 1}",
                hint="put a blank between a number and a word",
            )


def _check_select_token(tokens: list[Token], index: int, token: Token) -> None:
    before, after = tokens[index - 1].upper, _upper_at(tokens, index + 1)
    if token.kind in (Kind.NAME, Kind.STRING) and after == "(":
        raise _not_in_select(token)
    if token.upper in ("@", ":", ";") or (token.upper == "(" and before == "."):
        raise _not_in_select(token)
    if token.kind is not Kind.WORD or before == ".":
        if token.kind is Kind.WORD and after == "(":
            raise _not_in_select(token)
        return
    word = token.upper
    if word in REFUSED_IN_SELECT:
        raise _not_in_select(token)
    if after == "(" and word not in FUNCTIONS and word not in OPERATORS_BEFORE_PARENTHESIS:
        raise _refusal(
            f"query not supported by vexec: the function {token.text} at position "
            f"{token.start + 1} is not among those allowed",
            hint="select the columns, and compute at your side",
        )


def _insert(tokens: list[Token]) -> Insert:
    position = 1
    ignore = _upper_at(tokens, position) == "IGNORE"
    position += ignore
    position += _upper_at(tokens, position) == "INTO"
    _check_table(tokens[position : position + 3])
    position += 3
    columns, position = _column_list(tokens, position)
    if not ignore or columns not in (_V8_COLUMNS, _V9_COLUMNS):
        raise _no_insert_template()
    if _upper_at(tokens, position) not in ("VALUES", "VALUE"):
        raise _no_insert_template()
    values = _row(tokens[position + 1 :], columns)
    given = dict(zip(columns, values, strict=True))
    if given["migration_status"] != "queued":
        raise _refusal(
            f"a migration is submitted with migration_status 'queued', "
            f"not {given['migration_status'][:40]!r}"
        )
    return Insert(
        NewMigration(
            migration_uuid=given["migration_uuid"],
            migration_statement=given["migration_statement"],
            strategy=given["strategy"],
            options=given["options"],
            keyspace=given["keyspace"],
            mysql_table=given["mysql_table"],
            migration_context=given.get("migration_context", ""),
            requested_unix_seconds=_unix_seconds(given["requested_timestamp"]),
        )
    )


def _column_list(tokens: list[Token], position: int) -> tuple[tuple[str, ...], int]:
    """Read `(a, b, c)` and return the names and where it ends."""
    end = next((i for i in range(position, len(tokens)) if tokens[i].upper == ")"), len(tokens) - 1)
    inside = tokens[position + 1 : end]
    separators = [token.upper for token in inside[1::2]]
    names = inside[0::2]
    if (
        _upper_at(tokens, position) != "("
        or any(separator != "," for separator in separators)
        or any(token.kind not in (Kind.WORD, Kind.NAME) for token in names)
    ):
        raise _no_insert_template()
    return tuple(name_value(token) for token in names), end + 1


def _row(tokens: list[Token], columns: Sequence[str]) -> list[str]:
    """Read one row of literals; requested_timestamp's is inside FROM_UNIXTIME()."""
    remaining = list(tokens)
    values: list[str] = []
    for index, column in enumerate(columns):
        _expect(remaining, "," if index else "(")
        if column == "requested_timestamp":
            _expect(remaining, "FROM_UNIXTIME")
            _expect(remaining, "(")
            values.append(_literal(remaining))
            _expect(remaining, ")")
        else:
            values.append(_literal(remaining))
    _expect(remaining, ")")
    if remaining:
        raise _no_insert_template()
    return values


def _expect(remaining: list[Token], text: str) -> None:
    if not remaining or remaining.pop(0).upper != text:
        raise _no_insert_template()


def _literal(remaining: list[Token]) -> str:
    if not remaining or remaining[0].kind not in (Kind.STRING, Kind.NUMBER):
        raise _no_insert_template()
    return _value(remaining.pop(0))


def _value(token: Token) -> str:
    return string_value(token) if token.kind is Kind.STRING else token.text


def _unix_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= _TIMESTAMP_SECONDS_MAX:
        raise _refusal(
            f"requested_timestamp {text[:40]!r} is not a time that a TIMESTAMP can hold "
            f"(seconds since 1970, up to {_TIMESTAMP_SECONDS_MAX})"
        )
    return seconds


def _update(query: str, tokens: list[Token]) -> Update:
    set_at = next((i for i, token in enumerate(tokens) if token.upper == "SET"), len(tokens))
    _check_table(tokens[1:set_at])
    assignment, where = tokens[set_at + 1 : set_at + 4], tokens[set_at + 4 :]
    terms = _terms(where)
    if (
        terms is None
        or _equality(assignment) is None
        or name_value(assignment[0]) != "migration_status"
        or tuple(sorted(name for name, _ in terms)) not in _WHERE_TEMPLATES
    ):
        raise _no_update_template(query)
    found = dict(terms)
    return Update(
        command=_value(assignment[2]),
        mysql_schema=found["mysql_schema"],
        migration_uuid=found.get("migration_uuid"),
        shard=found.get("shard", ""),
    )


def _terms(where: list[Token]) -> list[tuple[str, str]] | None:
    """Read `WHERE a = 'x' AND b = 'y'`; None for anything else."""
    if not where or where[0].upper != "WHERE":
        return None
    terms: list[tuple[str, str]] = []
    for begin in range(1, len(where), 4):
        term = _equality(where[begin : begin + 3])
        connective = _upper_at(where, begin + 3)
        last = begin + 3 >= len(where)
        if term is None or not (last or (connective == "AND" and begin + 4 < len(where))):
            return None
        terms.append(term)
    return terms


def _equality(tokens: list[Token]) -> tuple[str, str] | None:
    """Read `name = literal`; None for anything else."""
    match tokens:
        case [Token(kind=Kind.WORD | Kind.NAME), equals, Token(kind=Kind.STRING | Kind.NUMBER)]:
            return (name_value(tokens[0]), _value(tokens[2])) if equals.upper == "=" else None
        case _:
            return None


def _delete(query: str, tokens: list[Token]) -> Select:
    if _upper_at(tokens, 1) != "FROM":
        raise _syntax(tokens[min(1, len(tokens) - 1)])
    rest = tokens[2:]
    length = next(
        (i for i, token in enumerate(rest) if token.upper in CLAUSES_AFTER_TABLE), len(rest)
    )
    _check_table(rest[:length])
    raise _refusal(
        f"DELETE statements not supported for this table. query={_shorten(query)}",
        hint="finished migrations stay in the table: they are its history",
    )


def _check_table(tokens: list[Token]) -> None:
    """Refuse anything but the one table: an alias, a join, an unqualified or another name."""
    named = len(tokens) == 3 and all(
        token.kind in (Kind.WORD, Kind.NAME, Kind.PUNCTUATION) for token in tokens
    )
    if (
        named
        and "".join(name_value(token) if _is_name(token) else token.text for token in tokens)
        == TABLE
    ):
        return
    text = " ".join(token.text for token in tokens).replace(" . ", ".")
    raise _refusal(
        f"table not supported by vexec: {_shorten(text)}", hint=f"only {TABLE} can be used"
    )


def _is_name(token: Token) -> bool:
    return token.kind in (Kind.WORD, Kind.NAME)


def _refuse_tricks(tokens: list[Token]) -> None:
    for token in tokens:
        if token.kind is Kind.VERSION_OPEN:
            raise _refusal(
                f"query not supported by vexec: a versioned comment at position {token.start + 1}",
                hint="write what is inside the comment without it",
            )
        if token.upper == ";":
            raise _syntax(token)


def _upper_at(tokens: Sequence[Token], index: int) -> str:
    return tokens[index].upper if index < len(tokens) else ""


def _shorten(text: str, characters_max: int = 300) -> str:
    return text if len(text) <= characters_max else f"{text[:characters_max]}..."


def _syntax(token: Token) -> TabletdError:
    """Vitess counts to the character behind the token."""
    return _refusal(f"syntax error at position {token.end + 1} near '{_shorten(token.text, 60)}'")


def _not_in_select(token: Token) -> TabletdError:
    return _refusal(
        f"query not supported by vexec: {_shorten(token.text, 60)} at position {token.start + 1}",
        hint=f"a SELECT reads {TABLE} alone: no sub-query, join, union, lock, variable or INTO",
    )


def _no_insert_template() -> TabletdError:
    templates = "; ".join(
        f"{_INSERT} ({', '.join(columns)}) VALUES ("
        + ", ".join(
            "FROM_UNIXTIME(val)" if column == "requested_timestamp" else "val" for column in columns
        )
        + ")"
        for columns in (_V9_COLUMNS, _V8_COLUMNS)
    )
    return _refusal(f"Query must match one of these templates: {templates}")


def _no_update_template(query: str) -> TabletdError:
    templates = "; ".join(
        f"{_UPDATE} WHERE " + " AND ".join(f"{column}='val'" for column in columns)
        for columns in _WHERE_TEMPLATES
    )
    return _refusal(
        f"Query must match one of these templates: {templates}; query={_shorten(query)}"
    )


def _refusal(message: str, *, hint: str | None = None) -> TabletdError:
    return TabletdError(Reason.INVALID_REQUEST, message, hint=hint)
