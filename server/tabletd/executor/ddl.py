"""What a DDL statement does and to which table, without judging the rest of its syntax.

The server is the authority on syntax; here is read only what the executor must know. Statements
are never made anew: what is handed on is the user's own text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from tabletd.errors import Reason, TabletdError
from tabletd.executor.lexer import (
    Kind,
    Token,
    name_value,
    significant,
    syntax_error,
    tokenize,
)
from tabletd.mysql.quote import identifier

IDENTIFIER_CHARACTERS_MAX = 64


class Action(StrEnum):
    """What a statement does; CREATE INDEX and DROP INDEX alter their table."""

    CREATE = "create"
    ALTER = "alter"
    DROP = "drop"
    RENAME = "rename"
    TRUNCATE = "truncate"


class ObjectKind(StrEnum):
    """What a statement does it to."""

    TABLE = "table"
    VIEW = "view"


@dataclass(frozen=True, slots=True)
class TableName:
    """A table as the statement names it; `schema` is empty where it names none."""

    schema: str
    table: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One DDL statement.

    Attributes:
        text: the statement as given, without the blanks around it and a closing semicolon.
        action: what it does.
        kind: table or view.
        name: the (first) table.
        more_names: further tables or views of a DROP.
        alter_options: of an ALTER TABLE, the user's own text behind the table's name; of CREATE or
            DROP INDEX, the clause that says the same in an ALTER TABLE.
        if_exists: DROP ... IF EXISTS.
        if_not_exists: CREATE ... IF NOT EXISTS.
        or_replace: CREATE OR REPLACE.
        name_span: where in `text` the (first) table's name begins and ends, its schema included.
        temporary: CREATE or DROP TEMPORARY TABLE.
        ignore: ALTER IGNORE TABLE, which drops rows that do not fit.
        renames_table: one of the ALTER's clauses renames the table.
        adds_foreign_key: one of the ALTER's clauses does, also beside a column (MariaDB).
        reaches_beyond: one of the ALTER's clauses takes or gives a name, rows or files that are not
            the table's own: made on a copy, it would do that as well.
        index_options: a CREATE or DROP INDEX names ALGORITHM or LOCK, which an ALTER TABLE writes
            differently.
    """

    text: str
    action: Action
    kind: ObjectKind
    name: TableName
    more_names: tuple[TableName, ...] = ()
    alter_options: str = ""
    if_exists: bool = False
    if_not_exists: bool = False
    or_replace: bool = False
    name_span: tuple[int, int] = (0, 0)
    temporary: bool = False
    ignore: bool = False
    renames_table: bool = False
    adds_foreign_key: bool = False
    reaches_beyond: bool = False
    index_options: bool = False

    def with_name(self, name: str) -> str:
        """Return the text with another name, which is quoted already, in place of the table's."""
        begin, end = self.name_span
        return f"{self.text[:begin]}{name}{self.text[end:]}"

    def single_drops(self) -> list[str]:
        """Return a DROP of several as a statement for each; any other statement as it is."""
        if not self.more_names:
            return [self.text]
        temporary = "TEMPORARY " if self.temporary else ""
        if_exists = "IF EXISTS " if self.if_exists else ""
        words = f"DROP {temporary}{self.kind.value.upper()} {if_exists}"
        return [
            words + identifier(*filter(None, (name.schema, name.table)))
            for name in (self.name, *self.more_names)
        ]


def parse(sql: str, *, ansi_quotes: bool = False) -> Statement:
    """Read one DDL statement on a table or a view.

    Args:
        sql: the statement; a closing semicolon is allowed.
        ansi_quotes: whether `"` quotes identifiers (sql_mode ANSI_QUOTES). Where only a name can
            stand, a name in double quotes is taken either way.

    Raises:
        TabletdError: DDL_SYNTAX for what cannot be read; UNSUPPORTED_DDL for an empty text, for
            more than one statement, and for what is not a DDL statement on a table or a view.
    """
    tokens = _single_statement(tokenize(sql, ansi_quotes=ansi_quotes))
    if not tokens:
        raise TabletdError(Reason.UNSUPPORTED_DDL, "the statement is empty")
    text = sql[tokens[0].start : tokens[-1].end]
    return _Reader(sql, tokens, text).statement()


def _single_statement(tokens: list[Token]) -> list[Token]:
    """Return the meaningful tokens; refuse anything behind a semicolon but nothing."""
    kept = significant(tokens)
    for index, token in enumerate(kept):
        if token.upper != ";":
            continue
        if token.versioned or any(later.upper != ";" for later in kept[index + 1 :]):
            raise TabletdError(
                Reason.UNSUPPORTED_DDL,
                "the text holds more than one statement",
                hint="submit one migration for each statement",
            )
        return kept[:index]
    return kept


class _Reader:
    """Walks over the head of one statement."""

    def __init__(self, sql: str, tokens: list[Token], text: str) -> None:
        self._sql = sql
        self._tokens = tokens
        self._text = text
        self._next = 0
        self._name_span = (0, 0)

    def statement(self) -> Statement:
        verb = self._peek()
        match verb:
            case "ALTER":
                return self._alter()
            case "CREATE":
                return self._create()
            case "DROP":
                return self._drop()
            case "RENAME":
                return self._rename()
            case "TRUNCATE":
                return self._truncate()
            case _:
                raise self._unsupported()

    def _alter(self) -> Statement:
        self._take()
        ignore = False
        while self._peek() in ("ONLINE", "OFFLINE", "IGNORE"):
            ignore = self._take().upper == "IGNORE" or ignore
        if self._peek() != "TABLE":
            return self._view(Action.ALTER)
        self._take()
        self._words("IF", "EXISTS")
        name = self._name()
        options = self._rest()
        return Statement(
            text=self._text,
            action=Action.ALTER,
            kind=ObjectKind.TABLE,
            name=name,
            name_span=self._name_span,
            alter_options=self._source(options),
            ignore=ignore,
            renames_table=_renames_table(options),
            adds_foreign_key=any(token.upper == "REFERENCES" for token in options),
            reaches_beyond=_reaches_beyond(options),
        )

    def _create(self) -> Statement:
        self._take()
        or_replace = self._words("OR", "REPLACE")
        if self._peek() in ("UNIQUE", "FULLTEXT", "SPATIAL", "INDEX"):
            return self._index(Action.CREATE, self._tokens[self._next], or_replace=or_replace)
        temporary = self._words("TEMPORARY")
        if not self._words("TABLE"):
            if temporary:
                raise self._unsupported()
            return self._view(Action.CREATE, or_replace=or_replace)
        if_not_exists = self._words("IF", "NOT", "EXISTS")
        return Statement(
            text=self._text,
            action=Action.CREATE,
            kind=ObjectKind.TABLE,
            name=self._name(),
            name_span=self._name_span,
            if_not_exists=if_not_exists,
            or_replace=or_replace,
            temporary=temporary,
        )

    def _drop(self) -> Statement:
        self._take()
        if self._peek() == "INDEX":
            return self._index(Action.DROP, self._tokens[self._next])
        temporary = self._words("TEMPORARY")
        if self._words("TABLE") or self._words("TABLES"):
            kind = ObjectKind.TABLE
        elif self._words("VIEW"):
            kind = ObjectKind.VIEW
        else:
            raise self._unsupported()
        if_exists = self._words("IF", "EXISTS")
        names = self._names()
        return Statement(
            text=self._text,
            action=Action.DROP,
            kind=kind,
            name=names[0],
            more_names=tuple(names[1:]),
            if_exists=if_exists,
            temporary=temporary,
        )

    def _rename(self) -> Statement:
        self._take()
        if not (self._words("TABLE") or self._words("TABLES")):
            raise self._unsupported()
        self._words("IF", "EXISTS")
        return Statement(
            text=self._text,
            action=Action.RENAME,
            kind=ObjectKind.TABLE,
            name=self._name(),
            renames_table=True,
        )

    def _truncate(self) -> Statement:
        self._take()
        self._words("TABLE")
        return Statement(
            text=self._text, action=Action.TRUNCATE, kind=ObjectKind.TABLE, name=self._name()
        )

    def _index(self, action: Action, begin: Token, *, or_replace: bool = False) -> Statement:
        """CREATE or DROP INDEX ... ON t ...: the same words make a clause of ALTER TABLE t."""
        while self._peek() != "ON":
            if not self._peek_token():
                raise self._expected("ON and a table's name")
            self._take()
        on = self._take()
        before = self._sql[begin.start : on.start].rstrip()
        name = self._name()
        options = self._rest()
        verb = "ADD" if action is Action.CREATE else "DROP"
        return Statement(
            text=self._text,
            action=Action.ALTER,
            kind=ObjectKind.TABLE,
            name=name,
            name_span=self._name_span,
            alter_options=" ".join(part for part in (verb, before, self._source(options)) if part),
            or_replace=or_replace,
            index_options=any(
                depth == 0 and token.upper in ("ALGORITHM", "LOCK")
                for token, depth in _with_depth(options)
            ),
        )

    def _view(self, action: Action, *, or_replace: bool = False) -> Statement:
        """[ALGORITHM = x] [DEFINER = user] [SQL SECURITY x] VIEW name ..."""
        allowed = self._next
        while self._peek_token() and self._peek() != "VIEW":
            if self._peek() in _NOT_BEFORE_VIEW:
                raise self._unsupported()
            self._take()
        if not self._words("VIEW") or self._next - allowed > _VIEW_HEAD_TOKENS_MAX:
            raise self._unsupported()
        if_not_exists = self._words("IF", "NOT", "EXISTS")
        self._words("IF", "EXISTS")
        return Statement(
            text=self._text,
            action=action,
            kind=ObjectKind.VIEW,
            name=self._name(),
            name_span=self._name_span,
            if_not_exists=if_not_exists,
            or_replace=or_replace,
        )

    def _names(self) -> list[TableName]:
        names = [self._name()]
        while self._peek() == ",":
            self._take()
            names.append(self._name())
        return names

    def _name(self) -> TableName:
        begin = self._next
        first = self._identifier()
        if self._peek() != ".":
            self._refuse_versioned_schema()
            name = TableName("", first)
        else:
            self._take()
            name = TableName(first, self._identifier())
        offset = self._tokens[0].start
        self._name_span = (
            self._tokens[begin].start - offset,
            self._tokens[self._next - 1].end - offset,
        )
        return name

    def _refuse_versioned_schema(self) -> None:
        """Refuse `t /*!50000 .u */`, which is the table t to some servers and t.u to others."""
        following = [token.upper for token in self._tokens[self._next + 1 : self._next + 2]]
        token = self._peek_token()
        if token and token.kind is Kind.VERSION_OPEN and following == ["."]:
            raise _versioned_head()

    def _identifier(self) -> str:
        token = self._peek_token()
        if token is None or not _may_be_name(token):
            raise self._expected("a table's name")
        self._take()
        value = name_value(token)
        if not value or len(value) > IDENTIFIER_CHARACTERS_MAX or value.endswith(" "):
            raise TabletdError(
                Reason.DDL_SYNTAX,
                f"{token.text} is not a table's name: one to {IDENTIFIER_CHARACTERS_MAX} "
                "characters are needed, and no blank at the end",
            )
        return value

    def _words(self, *words: str) -> bool:
        """Step over these words if they all stand here."""
        found = tuple(token.upper for token in self._tokens[self._next : self._next + len(words)])
        if found != words:
            return False
        for _ in words:
            self._take()
        return True

    def _peek_token(self) -> Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _peek(self) -> str:
        token = self._peek_token()
        return token.upper if token else ""

    def _take(self) -> Token:
        token = self._tokens[self._next]
        if token.versioned or token.kind is Kind.VERSION_OPEN:
            raise _versioned_head()
        self._next += 1
        return token

    def _rest(self) -> list[Token]:
        return self._tokens[self._next :]

    def _source(self, tokens: list[Token]) -> str:
        return self._sql[tokens[0].start : tokens[-1].end] if tokens else ""

    def _expected(self, what: str) -> TabletdError:
        token = self._peek_token()
        if token is None:
            return syntax_error(f"{what} is missing", len(self._sql))
        if token.kind is Kind.VERSION_OPEN:
            return _versioned_head()
        return syntax_error(f"{what} is expected before {token.text[:40]!r}", token.start)

    def _unsupported(self) -> TabletdError:
        return TabletdError(
            Reason.UNSUPPORTED_DDL,
            f"not a DDL statement on a table or a view: {self._text[:80]}",
            hint="CREATE, ALTER, DROP of a table, a view or an index are taken",
        )


_NOT_BEFORE_VIEW = frozenset(
    {"AS", "DATABASE", "EVENT", "FUNCTION", "PROCEDURE", "SCHEMA", "TABLE", "TRIGGER", "USER", "("}
)
_VIEW_HEAD_TOKENS_MAX = 20


def _versioned_head() -> TabletdError:
    return TabletdError(
        Reason.UNSUPPORTED_DDL,
        "a versioned comment stands before the end of the table's name, so that servers would read "
        "different statements",
        hint="write what is inside the comment without it",
    )


def _may_be_name(token: Token) -> bool:
    return token.kind in (Kind.WORD, Kind.NAME, Kind.NUMBER) or (
        token.kind is Kind.STRING and token.text.startswith('"')
    )


def _with_depth(tokens: list[Token]) -> list[tuple[Token, int]]:
    """Pair each token with the number of parentheses that it stands in."""
    depth = 0
    paired: list[tuple[Token, int]] = []
    for token in tokens:
        if token.upper == ")":
            depth -= 1
        paired.append((token, depth))
        if token.upper == "(":
            depth += 1
    return paired


_BEYOND = {
    "EXCHANGE": ("PARTITION",),
    "CONVERT": ("PARTITION", "TABLE"),
    "IMPORT": ("PARTITION", "TABLESPACE"),
    "DISCARD": ("PARTITION", "TABLESPACE"),
}


def _reaches_beyond(options: list[Token]) -> bool:
    marks = (Kind.VERSION_OPEN, Kind.VERSION_CLOSE)
    words = [token.upper for token in options if token.kind not in marks]
    return _renames_table(options) or any(
        follower in _BEYOND.get(word, ()) for word, follower in pairwise(words)
    )


def _renames_table(options: list[Token]) -> bool:
    """Tell whether RENAME stands outside parentheses and is not RENAME COLUMN, INDEX or KEY.

    RENAME is a reserved word, so that an unquoted one is never a column.
    """
    code = [pair for pair in _with_depth(options) if pair[0].kind is not Kind.VERSION_OPEN]
    for index, (token, depth) in enumerate(code):
        if depth == 0 and token.upper == "RENAME":
            follower = code[index + 1][0].upper if index + 1 < len(code) else ""
            if follower not in ("COLUMN", "INDEX", "KEY"):
                return True
    return False
