"""Statements about migrations, which no server has: `ALTER VITESS_MIGRATION ...`, `SHOW ...`.

Read with the same lexer as everything else, in any case, with comments and a closing semicolon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tabletd.durations import parse_duration
from tabletd.errors import Reason, TabletdError
from tabletd.executor.lexer import (
    Kind,
    Token,
    name_value,
    significant,
    string_value,
    syntax_error,
    tokenize,
)
from tabletd.executor.names import is_online_ddl_uuid

_GAP: Final = r"(?:\s|/\*(?!M?!)[\s\S]*?\*/|--[\s][^\n]*(?:\n|\Z)|\#[^\n]*(?:\n|\Z))"
_OURS: Final = re.compile(
    rf"{_GAP}*+(?:(?:ALTER|REVERT){_GAP}++VITESS_MIGRATION"
    rf"|SHOW{_GAP}++VITESS_(?:MIGRATIONS?|THROTTLED_APPS|THROTTLER))(?![0-9A-Za-z_$])",
    re.IGNORECASE,
)
_TOKENS_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class Retry:
    """Queue a failed or cancelled migration again."""

    uuid: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel a migration; None: all that are pending."""

    uuid: str | None


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Give up what a migration left; None: all that are finished."""

    uuid: str | None


@dataclass(frozen=True, slots=True)
class Launch:
    """Let a migration begin; None: all. Without `shards`, on every shard."""

    uuid: str | None
    shards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Complete:
    """Let a migration complete; None: all. Without `shards`, on every shard."""

    uuid: str | None
    shards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PostponeComplete:
    """Let a migration wait with its completion; None: all."""

    uuid: str | None


@dataclass(frozen=True, slots=True)
class Throttle:
    """Throttle a migration, None: all; `expire_seconds` None: as long as the receiver says."""

    uuid: str | None
    expire_seconds: float | None = None
    ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Unthrottle:
    """Throttle a migration, None: all, no more."""

    uuid: str | None


@dataclass(frozen=True, slots=True)
class ForceCutOver:
    """Let a migration cut over whoever stands in its way; None: all."""

    uuid: str | None


@dataclass(frozen=True, slots=True)
class CutOverThreshold:
    """Change how long a migration's cut-over may lock."""

    uuid: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Revert:
    """Undo a migration by another one."""

    uuid: str


@dataclass(frozen=True, slots=True)
class ShowMigrations:
    """Show rows, at most one of `like` and `where` given; `where` is SQL, not judged here."""

    like: str | None = None
    where: str | None = None
    keyspace: str = ""


@dataclass(frozen=True, slots=True)
class ShowLogs:
    """Show the log of a migration."""

    uuid: str


@dataclass(frozen=True, slots=True)
class ShowThrottledApps:
    """Show the rules for applications."""


@dataclass(frozen=True, slots=True)
class ShowThrottlerStatus:
    """Show the throttler's state."""


MigrationStatement = (
    Retry
    | Cancel
    | Cleanup
    | Launch
    | Complete
    | PostponeComplete
    | Throttle
    | Unthrottle
    | ForceCutOver
    | CutOverThreshold
    | Revert
    | ShowMigrations
    | ShowLogs
    | ShowThrottledApps
    | ShowThrottlerStatus
)


def parse_statement(sql: str) -> MigrationStatement | None:
    """Read a statement about migrations.

    Returns:
        None for any other statement, of which nothing but the first words is looked at.

    Raises:
        TabletdError: DDL_SYNTAX; INVALID_REQUEST for what is no uuid (text: Vitess), no duration
            and no ratio.
    """
    if _OURS.match(sql) is None:
        return None
    tokens = significant(tokenize(sql, tokens_max=_TOKENS_MAX))
    while tokens[-1].upper == ";":
        tokens.pop()
    return _Reader(sql, tokens).statement()


class _Reader:
    """Walks over the words of one statement."""

    def __init__(self, sql: str, tokens: list[Token]) -> None:
        self._sql = sql
        self._tokens = tokens
        self._next = 0

    def statement(self) -> MigrationStatement:
        verb = self._take().upper
        subject = self._take().upper
        if verb == "REVERT":
            found: MigrationStatement = Revert(self._uuid("REVERT"))
        elif verb == "ALTER":
            found = self._alter()
        elif subject == "VITESS_MIGRATIONS":
            return self._show_migrations()
        elif subject == "VITESS_MIGRATION":
            found = ShowLogs(self._uuid("SHOW"))
            self._expect("LOGS")
        elif subject == "VITESS_THROTTLER":
            self._expect("STATUS")
            found = ShowThrottlerStatus()
        else:
            found = ShowThrottledApps()
        self._end()
        return found

    def _alter(self) -> MigrationStatement:
        one = self._take_string() if self._peek_kind() is Kind.STRING else None
        verb = self._verb()
        uuid = None
        if one is not None:
            uuid = _checked_uuid(one, verb)
        elif verb in ("RETRY", "CUTOVER_THRESHOLD"):
            raise self._unexpected(f"{verb} is for one migration, whose uuid stands before it")
        else:
            self._expect("ALL")
        match verb:
            case "CANCEL":
                return Cancel(uuid)
            case "CLEANUP":
                return Cleanup(uuid)
            case "POSTPONE COMPLETE":
                return PostponeComplete(uuid)
            case "FORCE_CUTOVER":
                return ForceCutOver(uuid)
            case "UNTHROTTLE":
                return Unthrottle(uuid)
            case "LAUNCH":
                return Launch(uuid, self._shards(uuid))
            case "COMPLETE":
                return Complete(uuid, self._shards(uuid))
            case "THROTTLE":
                return Throttle(uuid, *self._throttling())
            case _:
                return self._for_one(verb, uuid or "")

    def _for_one(self, verb: str, uuid: str) -> MigrationStatement:
        if verb == "RETRY":
            return Retry(uuid)
        return CutOverThreshold(uuid, parse_duration(self._take_string()))

    def _verb(self) -> str:
        verb = self._peek()
        if verb not in _VERBS:
            raise self._unexpected("one of " + ", ".join(sorted(_VERBS)) + " is expected")
        self._next += 1
        if verb == "POSTPONE":
            self._expect("COMPLETE")
            return "POSTPONE COMPLETE"
        return verb

    def _shards(self, uuid: str | None) -> tuple[str, ...]:
        if uuid is None or not self._word("VITESS_SHARDS"):
            return ()
        named = (name.strip() for name in self._take_string().split(","))
        return tuple(name for name in named if name)

    def _throttling(self) -> tuple[float | None, float]:
        expire_seconds = parse_duration(self._take_string()) if self._word("EXPIRE") else None
        ratio = self._ratio() if self._word("RATIO") else 1.0
        return expire_seconds, ratio

    def _ratio(self) -> float:
        is_number = self._peek_kind() is Kind.NUMBER
        text = self._take().text if is_number else self._take_string()
        try:
            ratio = float(text)
        except ValueError:
            ratio = -1.0
        if not 0 <= ratio <= 1:
            raise TabletdError(
                Reason.INVALID_REQUEST,
                f"the ratio {text[:40]!r} of a throttle is not a number from 0 to 1",
            )
        return ratio

    def _show_migrations(self) -> ShowMigrations:
        keyspace = ""
        if self._word("FROM") or self._word("IN"):
            keyspace = self._name()
        if self._word("LIKE"):
            like = self._take_string()
            self._end()
            return ShowMigrations(like=like, keyspace=keyspace)
        if self._word("WHERE"):
            if self._next == len(self._tokens):
                raise self._unexpected("a condition is expected")
            begin = self._tokens[self._next].start
            return ShowMigrations(where=self._sql[begin : self._tokens[-1].end], keyspace=keyspace)
        self._end()
        return ShowMigrations(keyspace=keyspace)

    def _name(self) -> str:
        if self._peek_kind() not in (Kind.WORD, Kind.NAME):
            raise self._unexpected("a keyspace's name is expected")
        return name_value(self._take())

    def _uuid(self, verb: str) -> str:
        return _checked_uuid(self._take_string(), verb)

    def _take_string(self) -> str:
        if self._peek_kind() is not Kind.STRING:
            raise self._unexpected("a text in quotes is expected")
        return string_value(self._take())

    def _word(self, word: str) -> bool:
        """Step over a word if it stands here."""
        if self._peek() != word:
            return False
        self._next += 1
        return True

    def _expect(self, word: str) -> None:
        if not self._word(word):
            raise self._unexpected(f"{word} is expected")

    def _end(self) -> None:
        if self._next < len(self._tokens):
            raise self._unexpected("the statement should end")

    def _peek(self) -> str:
        return self._tokens[self._next].upper if self._next < len(self._tokens) else ""

    def _peek_kind(self) -> Kind | None:
        return self._tokens[self._next].kind if self._next < len(self._tokens) else None

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _unexpected(self, expected: str) -> TabletdError:
        if self._next >= len(self._tokens):
            return syntax_error(expected, len(self._sql))
        token = self._tokens[self._next]
        return syntax_error(f"{expected} before {token.text[:40]!r}", token.start)


_VERBS: Final = frozenset(
    {
        "CANCEL",
        "CLEANUP",
        "COMPLETE",
        "CUTOVER_THRESHOLD",
        "FORCE_CUTOVER",
        "LAUNCH",
        "POSTPONE",
        "RETRY",
        "THROTTLE",
        "UNTHROTTLE",
    }
)


def _checked_uuid(text: str, verb: str) -> str:
    """Return a uuid in lower case. Text of the refusal: Vitess."""
    uuid = text.lower()
    if not is_online_ddl_uuid(uuid):
        raise TabletdError(
            Reason.INVALID_REQUEST,
            f"Not a valid migration ID in {verb}: {text[:100]}",
            hint="a UUID of hexadecimal digits with underscores: 8_4_4_4_12",
        )
    return uuid
