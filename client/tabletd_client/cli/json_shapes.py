"""What `--json` prints; docs/tabletctl-json.md describes it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tabletd_client.models import Changed, Disconnected, Event, Removed, UpToDate

if TYPE_CHECKING:
    from tabletd_client.errors import TabletdClientError

_EVENTS = {
    Changed: "changed",
    Removed: "removed",
    UpToDate: "up-to-date",
    Disconnected: "disconnected",
}


def plain(value: Any) -> Any:
    """Return one of the library's values as objects, lists and scalars of JSON."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def time_text(moment: datetime) -> str:
    """Return a moment as RFC 3339 has it, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_object(event: Event) -> dict[str, Any]:
    """Return an event of a watch."""
    return {"event": _EVENTS[type(event)], **plain(event)}


def error_object(error: TabletdClientError) -> dict[str, Any]:
    """Return an error."""
    told = {"reason": str(error.reason), "message": error.message, "code": error.code}
    return {"error": {**told, "facts": dict(error.facts)}}


def usage_error_object(message: str) -> dict[str, Any]:
    """Return the error of a command that was written wrongly: nothing was sent."""
    told = {"reason": "INVALID_REQUEST", "message": message, "code": ""}
    return {"error": {**told, "facts": {}}}


def dump(value: Any) -> str:
    """Return JSON for people and programs."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False)


def dump_line(value: Any) -> str:
    """Return JSON in one line."""
    return json.dumps(plain(value), ensure_ascii=False)
