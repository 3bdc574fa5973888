"""MySQL's lexical rules: enough to tell code from names, strings and comments.

Tokens keep every byte of the text, so that joining them gives it back; nothing that is sent to a
server is ever made anew from them. The content of a versioned comment (`/*!50100 ... */`,
`/*M! ... */`) is code, since some server runs it.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from tabletd.errors import Reason, TabletdError


class Kind(StrEnum):
    """What a token is."""

    SPACE = "space"
    COMMENT = "comment"
    VERSION_OPEN = "version_open"
    VERSION_CLOSE = "version_close"
    STRING = "string"
    NAME = "name"
    NUMBER = "number"
    WORD = "word"
    PUNCTUATION = "punctuation"


class Token(NamedTuple):
    """A piece of the text.

    Attributes:
        kind: what it is; NAME is a quoted identifier, WORD an unquoted one or a keyword.
        text: its bytes as written.
        start: offset of its first character.
        versioned: whether it stands inside a versioned comment.
    """

    kind: Kind
    text: str
    start: int
    versioned: bool = False

    @property
    def end(self) -> int:
        """Offset behind its last character."""
        return self.start + len(self.text)

    @property
    def upper(self) -> str:
        """An unquoted word in upper case, punctuation as it is; empty for anything else."""
        if self.kind is Kind.WORD:
            return self.text.upper()
        return self.text if self.kind is Kind.PUNCTUATION else ""


_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![0-9A-Za-z_$\x80-\U0010ffff])"
_WORD = r"[0-9A-Za-z_$\x80-\U0010ffff]+"


def _pattern(*, ansi_quotes: bool, backslash_escapes: bool) -> re.Pattern[str]:
    escape = r"\\.|" if backslash_escapes else ""
    plain = r"[^'\\]" if backslash_escapes else "[^']"
    plain_double = r'[^"\\]' if backslash_escapes else '[^"]'
    single = rf"'(?:{escape}''|{plain})*+'"
    double_string = rf'"(?:{escape}""|{plain_double})*+"'
    double_name = r'"(?:""|[^"])*+"'
    groups = [
        ("SPACE", r"[ \t\n\r\f\v]+"),
        ("COMMENT", r"#[^\n]*|--(?=[\x00-\x20\x7f]|\Z)[^\n]*"),
        ("VERSION_OPEN", r"/\*M?![0-9]*"),
        ("BLOCK", r"/\*[\s\S]*?\*/"),
        ("STRING", single if ansi_quotes else f"{single}|{double_string}"),
        ("NAME", r"`(?:``|[^`])*+`" + (f"|{double_name}" if ansi_quotes else "")),
        ("NUMBER", _NUMBER),
        ("WORD", _WORD),
        ("VERSION_CLOSE", r"\*/"),
        ("PUNCTUATION", r"[\s\S]"),
    ]
    return re.compile("|".join(f"(?P<{name}>{body})" for name, body in groups), re.DOTALL)


_KINDS = {kind.name: kind for kind in Kind} | {"BLOCK": Kind.COMMENT}
_PATTERNS = {
    (ansi_quotes, backslash_escapes): _pattern(
        ansi_quotes=ansi_quotes, backslash_escapes=backslash_escapes
    )
    for ansi_quotes in (False, True)
    for backslash_escapes in (False, True)
}


def tokenize(
    sql: str,
    *,
    ansi_quotes: bool = False,
    backslash_escapes: bool = True,
    tokens_max: int | None = None,
) -> list[Token]:
    r"""Split a text into tokens that join to the same text.

    Args:
        sql: any number of statements.
        ansi_quotes: `"` quotes an identifier (sql_mode ANSI_QUOTES).
        backslash_escapes: `\` escapes inside strings (off under NO_BACKSLASH_ESCAPES).
        tokens_max: refuse a text of more tokens; reading takes about two microseconds for
            each.

    Raises:
        TabletdError: INVALID_REQUEST for too many tokens; DDL_SYNTAX for a NUL, for a quote or
            comment that does not end, and for a versioned comment that servers would read
            differently.
    """
    _refuse_nul(sql)
    tokens: list[Token] = []
    inside_version = False
    pattern = _PATTERNS[ansi_quotes, backslash_escapes]
    matches = pattern.finditer(sql)
    while (match := next(matches, None)) is not None:
        group, text, start = match.lastgroup or "", match.group(), match.start()
        if tokens_max is not None and len(tokens) >= tokens_max:
            raise TabletdError(
                Reason.INVALID_REQUEST, f"the text has more than {tokens_max} words and signs"
            )
        if group == "VERSION_CLOSE" and not inside_version:
            # A product: the `/` behind it may begin a comment, `1*/* c */2`.
            tokens.append(Token(Kind.PUNCTUATION, "*", start))
            matches = pattern.finditer(sql, start + 1)
            continue
        if group == "PUNCTUATION":
            _refuse_unfinished(text, sql, start)
        if inside_version:
            _refuse_ambiguous(group, text, start)
        kind = _KINDS[group]
        tokens.append(Token(kind, text, start, inside_version))
        if kind is Kind.VERSION_OPEN:
            inside_version = True
        elif kind is Kind.VERSION_CLOSE:
            inside_version = False
    if inside_version:
        raise syntax_error("a versioned comment does not end", len(sql))
    return tokens


def significant(tokens: list[Token]) -> list[Token]:
    """Return the tokens that mean something to a server: no blanks, no plain comments."""
    return [token for token in tokens if token.kind not in (Kind.SPACE, Kind.COMMENT)]


def split_statements(
    sql: str, *, ansi_quotes: bool = False, backslash_escapes: bool = True
) -> list[str]:
    """Split at the semicolons that separate statements; empty statements are left out.

    A semicolon inside a string, a quoted name or a comment separates nothing. One inside a
    versioned comment is refused.

    Args:
        sql: any number of statements.
        ansi_quotes: as in `tokenize`.
        backslash_escapes: as in `tokenize`.

    Returns:
        each statement's own text, without the blanks around it and without its semicolon.

    Raises:
        TabletdError: DDL_SYNTAX, as in `tokenize`.
    """
    statements: list[str] = []
    begin = 0
    meaningful = False
    tokens = tokenize(sql, ansi_quotes=ansi_quotes, backslash_escapes=backslash_escapes)
    for token in tokens:
        if token.upper == ";":
            if token.versioned:
                raise syntax_error("a semicolon stands inside a versioned comment", token.start)
            if meaningful:
                statements.append(sql[begin : token.start].strip())
            begin, meaningful = token.end, False
        elif token.kind not in (Kind.SPACE, Kind.COMMENT):
            meaningful = True
    if meaningful:
        statements.append(sql[begin:].strip())
    return statements


_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}


def string_value(token: Token) -> str:
    """Return what a STRING token stands for, with MySQL's backslash escapes."""
    quote = token.text[0]
    escapes = re.compile(rf"\\(.)|{quote}{quote}", re.DOTALL)
    return escapes.sub(
        lambda match: _ESCAPES.get(match[1], match[1]) if match[1] else quote, token.text[1:-1]
    )


def name_value(token: Token) -> str:
    """Return the identifier that a token stands for.

    Args:
        token: a WORD, a NAME, or a STRING in double quotes, which ANSI_QUOTES makes a name.
    """
    if token.kind is Kind.WORD:
        return token.text
    quote = token.text[0]
    return token.text[1:-1].replace(quote * 2, quote)


def syntax_error(message: str, position: int) -> TabletdError:
    """Return the error of a text that cannot be read at a position (0 is its first character)."""
    return TabletdError(
        Reason.DDL_SYNTAX, f"{message} at position {position + 1}", position=position + 1
    )


def _refuse_nul(sql: str) -> None:
    position = sql.find("\0")
    if position >= 0:
        raise syntax_error("the statement holds a NUL character", position)


def _refuse_unfinished(text: str, sql: str, start: int) -> None:
    if text in ("'", '"', "`"):
        raise syntax_error(f"the quote {text} is not closed", start)
    if text == "/" and sql.startswith("/*", start):
        raise syntax_error("a comment does not end", start)


def _refuse_ambiguous(group: str, text: str, start: int) -> None:
    """Refuse what would end a versioned comment for one server and not for another.

    A server that skips the comment ends it at the first `*/`; one that runs it may see that inside
    a string: the two would read different statements.
    """
    if group in ("VERSION_OPEN", "BLOCK"):
        raise syntax_error("a comment stands inside a versioned comment", start)
    if group in ("STRING", "NAME", "COMMENT") and "*/" in text:
        raise syntax_error("a versioned comment holds `*/` in quotes or in a comment", start)
