"""What must be true whatever was sent: of answers, of the log, of the statements of the server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import grpc
import grpc.aio
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

# Of a library or of the interpreter: nothing that a caller is told.
_INSIDES: Final = re.compile(
    r"Traceback|  File \"|<class '|object at 0x|Exception |[a-z]Error\b|internal error|\.py\b"
)
_BAD_CODES: Final = frozenset({grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL})
_BAD_LINES: Final = re.compile(
    r"Traceback|never retrieved|never awaited|internal error|Unexpected \[|Exception in |"
    r" ERROR | CRITICAL |Task was destroyed"
)


def of_answer(error: grpc.aio.AioRpcError) -> str:
    """Return what is wrong with a refusal over gRPC; '' for a good one."""
    code, details = error.code(), error.details() or ""
    if code in _BAD_CODES and _reason(error) != "MYSQL_ERROR":
        return f"{code.name}: {details}"
    if _reason(error) != "MYSQL_ERROR" and _INSIDES.search(details):
        return f"the answer tells of our insides: {details}"
    return ""


def _reason(error: grpc.aio.AioRpcError) -> str:
    """Return the reason in a status; a server's own refusal of a statement is MYSQL_ERROR."""
    status: Any = cast(Any, rpc_status).from_call(error)
    info = error_details_pb2.ErrorInfo()
    if status is None or not status.details or not status.details[0].Unpack(info):
        return ""
    return str(info.reason)


def of_page(answer: bytes) -> str:
    """Return what is wrong with an answer over HTTP; '' for a good one, and for none at all."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if answer and not answer.startswith(b"HTTP/1."):
        return f"no HTTP: {answer[:100]!r}"
    text = body.decode("utf-8", "replace")
    if body == b"Internal Server Error" or (b" 500 " in head[:20] and not _is_ours(text)):
        return f"an error that nobody took: {head[:40]!r} {text[:200]}"
    if _INSIDES.search(text) and b"text/plain; charset" in head:
        return f"the answer tells of our insides: {text[:300]}"
    return ""


def _is_ours(text: str) -> bool:
    # An answer to HEAD has no body: what follows may be the next answer.
    return not text or text.startswith(
        ("HTTP/1.1 ", "not ok: ", "500 internal server error: vttablet", "{")
    )


def of_log(lines: Iterable[str]) -> list[str]:
    """Return what a daemon's log says that it must not."""
    text = _OF_THE_LIBRARY.sub("", "\n".join(lines))
    return [line.strip()[:300] for line in text.splitlines() if _BAD_LINES.search(line)]


# grpc.aio writes this by itself, past all logging, where a caller with a strange path has gone.
_OF_THE_LIBRARY: Final = re.compile(
    r"^Traceback .*\n(?:  .*\n)*?  .*_send_error_status_from_server\n(?:  .*\n)*"
    r"\S+ExecuteBatchError.*$",
    re.MULTILINE,
)
_STRINGS: Final = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"", re.DOTALL)
_NAMES: Final = re.compile(r"`(?:[^`]|``)*`")
_COMMENTS: Final = re.compile(r"/\*(?!M?!).*?\*/|#[^\n]*|--[\s][^\n]*", re.DOTALL)
_OURS: Final = r"`?_vt`?\s*\.\s*`?\w+`?"
_SEEN: Final = rf"(?:{_OURS}|information_schema\.\w+|performance_schema\.\w+|DUAL)"
_TRIED: Final = r"`shop`\.`_vt_drp_[0-9a-f]{32}_\d{14}_`"
_BEYOND: Final = r"\b(?:RENAME (?!COLUMN|INDEX|KEY)|EXCHANGE|CONVERT (?!TO)|IMPORT|DISCARD)"
_SHAPES: Final = tuple(
    re.compile(shape, re.DOTALL | re.IGNORECASE)
    for shape in (
        r"SET (?:NAMES|SESSION|TRANSACTION|@@session\.|autocommit|lock_wait_timeout|STATEMENT)\b.*",
        r"START TRANSACTION.*|BEGIN|COMMIT|ROLLBACK|USE .*|KILL (?:QUERY )?\d+|DO .*",
        r"SHOW (?!CREATE TABLE `?secret).*",
        r"SELECT\b(?:(?!\bFROM\b|\bINTO\b).)*",
        rf"SELECT\b.*\bFROM\s*{_SEEN}.*",
        r"SELECT \* FROM `shop`\.`t` WHERE 1 = 0",  # for the columns' types
        r"SELECT user AS user, host AS host FROM mysql\.user WHERE user LIKE \? ESCAPE \?",
        rf"(?:INSERT|REPLACE) (?:IGNORE )?(?:INTO )?{_OURS}.*",
        rf"UPDATE {_OURS}.*",
        rf"DELETE FROM {_OURS}.*",
        rf"(?:CREATE TABLE|CREATE TABLE IF NOT EXISTS|ALTER TABLE) {_OURS}.*",
        r"CREATE DATABASE (?:IF NOT EXISTS )?`?_vt`?.*",
        rf"LOCK TABLES {_OURS}.*|UNLOCK TABLES",
        # An empty copy, on which a change is tried before it is explained.
        rf"CREATE TABLE {_TRIED} LIKE `shop`\.`\w+`|DROP TABLE {_TRIED}",
        rf"(?:ALTER|CREATE|DROP)\b[^`]*{_TRIED}(?:(?!{_BEYOND}).)*",
        # The server is to read a submitted statement; nothing is executed.
        r"PREPARE \w+ FROM \?|PREPARE \w+ FROM @\w+|DEALLOCATE PREPARE \w+|DROP PREPARE \w+",
    )
)
# What could do more than read; which tables were read, the server counts by itself.
# To a server each byte above 0x7F is of a word.
_WORD: Final = r"\w$\x80-\U0010ffff"
_NEVER_IN_SELECT: Final = re.compile(
    rf"(?<![{_WORD}])(?:UNION|INTO|FOR\s+UPDATE|PROCEDURE|LOAD_FILE)(?![{_WORD}])"
    rf"|(?<![{_WORD}])(?:SLEEP|BENCHMARK)\s*\(|/\*M?!|;",
    re.IGNORECASE,
)


def of_statement(sql: str) -> str:
    """Return what is wrong with a statement that the daemon's account ran; '' for a good one."""
    if sql.lstrip().upper().startswith("PREPARE "):
        return ""  # as the server writes it down, the text stands there without its quotes
    code = " ".join(_COMMENTS.sub(" ", _STRINGS.sub("?", sql)).split())
    bare = _NAMES.sub("x", code)
    if not any(shape.fullmatch(code) for shape in _SHAPES):
        return f"no statement of ours: {sql[:300]}"
    if code.upper().startswith("SELECT") and _NEVER_IN_SELECT.search(bare):
        return f"a SELECT that does more than read: {sql[:300]}"
    return ""


_LINE: Final = re.compile(
    r"^(?:\d{6} [ \d]\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+)?\t+ *(?P<thread>\d+) "
    r"(?P<command>Connect|Query|Quit|Init DB|Prepare|Execute|Close stmt|Statistics|Ping|"
    r"Binlog Dump|Change user|Reset stmt|Refresh|Shutdown|Kill)\t?(?P<text>.*)$"
)


class GeneralLog:
    """A server's general log, read on from where it was left.

    Args:
        path: the file.
        user: whose statements are judged.
    """

    def __init__(self, path: Path, user: str) -> None:
        self._path = path
        self._user = user
        self._offset = 0
        self._threads: dict[str, str] = {}
        self.judged = 0

    def news(self) -> list[str]:
        """Return what is wrong with the statements since the last look."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        # The last statement may not be written to its end yet.
        end = data.rfind(b"\n") + 1
        self._offset += end
        found: list[str] = []
        for user, sql in self._statements(data[:end].decode("utf-8", "replace")):
            if user != self._user:
                continue
            self.judged += 1
            if problem := of_statement(sql):
                found.append(problem)
        return found

    def _statements(self, text: str) -> Iterator[tuple[str, str]]:
        user, sql = "", ""
        for line in text.split("\n"):
            head = _LINE.match(line)
            if head is None:
                sql = f"{sql}\n{line}" if sql else ""
                continue
            if sql:
                yield user, sql
            sql = ""
            thread, command = head["thread"], head["command"]
            if command == "Connect":
                self._threads[thread] = head["text"].partition("@")[0]
            user = self._threads.get(thread, "")
            # What is prepared is read by the server, and not carried out.
            if command in ("Query", "Execute"):
                sql = head["text"]
        if sql:
            yield user, sql
