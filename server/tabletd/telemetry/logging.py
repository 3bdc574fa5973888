"""The daemon's log: one line for each event, plain or JSON, on standard error.

A message is an event in words; values worth searching for are given as `extra={"facts": {...}}`.
Known secrets are blotted out of every line, whatever wrote it.
"""

from __future__ import annotations

import json
import logging
from asyncio import CancelledError
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, cast

_BLOT: Final = "***"
_SECRET_CHARACTERS_MIN: Final = 4


class _Formatter(logging.Formatter):
    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets: tuple[str, ...] = ()
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        """Blot these out as well from now on."""
        # A shorter one is found everywhere and would blot out the whole log.
        known = (*self._secrets, *(one for one in secrets if len(one) >= _SECRET_CHARACTERS_MIN))
        self._secrets = tuple(dict.fromkeys(known))

    def format(self, record: logging.LogRecord) -> str:
        line = self.line(record, _facts(record))
        for secret in self._secrets:
            line = line.replace(secret, _BLOT)
        return line

    def line(self, record: logging.LogRecord, facts: Mapping[str, object]) -> str:
        raise NotImplementedError


class PlainFormatter(_Formatter):
    """`<time> <LEVEL> <logger>: <message> key=value ...`, a traceback on the lines below."""

    def line(self, record: logging.LogRecord, facts: Mapping[str, object]) -> str:
        words = [
            f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}",
            *(f"{name}={value}" for name, value in facts.items()),
        ]
        text = " ".join(words).replace("\n", "\\n")
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class JsonFormatter(_Formatter):
    """One JSON object on a line: time, level, logger, event, the facts, a traceback if any."""

    def line(self, record: logging.LogRecord, facts: Mapping[str, object]) -> str:
        entry: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **facts,
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def configure_logging(*, form: Literal["json", "plain"], level: str) -> None:
    """Send every log line of the process to standard error; see also `hide_secrets`.

    Args:
        form: `json` or `plain`.
        level: least level, in lower case.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else PlainFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


def hide_secrets(secrets: Iterable[str]) -> None:
    """Let no further line have these texts, on top of those that it may not have already."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, _Formatter):
            handler.formatter.hide(secrets)


def set_level(level: str) -> None:
    """Set the least level; libraries keep at least warning, they are talkative below."""
    logging.getLogger().setLevel(
        max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()])
    )
    logging.getLogger("tabletd").setLevel(level.upper())
    # They tell of every malformed request: who can reach a port could fill the log.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    logging.getLogger("grpc._cython.cygrpc").addFilter(is_of_no_strange_caller)


# Metadata, a path, a caller who has gone; what our own methods raise never gets so far.
_OF_STRANGE_CALLERS: Final = (
    "Invalid encoding on ",
    "Unexpected [UnicodeDecodeError] raised by servicer method",
    "Failed sending error status from server",
    "ExecuteBatchError raised in core by servicer method",
)


def is_of_no_strange_caller(record: logging.LogRecord) -> bool:
    """Say whether a line of gRPC's log is worth keeping."""
    # A caller who goes in the moment in which the server ends: both cancel the call.
    is_cancelled = record.exc_info is not None and isinstance(record.exc_info[1], CancelledError)
    return not is_cancelled and not record.getMessage().startswith(_OF_STRANGE_CALLERS)


def _facts(record: logging.LogRecord) -> Mapping[str, object]:
    return cast(Mapping[str, object], getattr(record, "facts", {}))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
