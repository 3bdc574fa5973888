"""The kinds of values that settings have: durations, lists, addresses, and how they are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from tabletd.durations import UNIT_SECONDS

_UNIT_SECONDS: Final = {**UNIT_SECONDS, "d": 86400.0}
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")


@dataclass(frozen=True)
class Reloadable:
    """Marks a setting that SIGHUP changes in the running daemon."""


@dataclass(frozen=True)
class Kind:
    """Says what a value is, as the reference of all settings shows it: its form or its unit."""

    name: str


@dataclass(frozen=True)
class Why:
    """Says why there is a setting, or why its default is what it is; each setting has one."""

    text: str


def parse_duration(value: object) -> object:
    """Turn `250ms`, `1s`, `1h30m` or a number of seconds into seconds.

    Raises:
        ValueError: the text is no duration.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError('expected a duration such as "250ms", "1s" or "2h"')
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            raise ValueError("the duration is longer than any") from None
    text = value.strip()
    try:
        return float(text)
    except ValueError:
        pass
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'{value!r} is no duration; write for example "250ms", "1s" or "1h30m"')
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def format_duration(seconds: float) -> str:
    """Write seconds the way the configuration takes them, in the largest fitting unit."""
    for unit in ("d", "h", "m", "s", "ms"):
        count = seconds / _UNIT_SECONDS[unit]
        if count >= 1 and abs(count - round(count)) < 1e-6:
            return f"{round(count)}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def _split_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _check_address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{value!r} is not host:port")
    return value


def _check_alias(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_]+-\d{1,10}", value):
        raise ValueError(f"{value!r} is not cell-uid, such as zone1-0000000100")
    return value


_DURATION: Final = Kind("duration")

Positive = Annotated[
    float, BeforeValidator(parse_duration), Field(gt=0, allow_inf_nan=False), _DURATION
]
NotNegative = Annotated[
    float, BeforeValidator(parse_duration), Field(ge=0, allow_inf_nan=False), _DURATION
]
Port = Annotated[int, Field(ge=0, le=65535), Kind("port")]
Names = Annotated[tuple[str, ...], BeforeValidator(_split_list), Kind("list")]
Address = Annotated[
    str, BeforeValidator(lambda value: _check_address(str(value))), Kind("host:port")
]
Alias = Annotated[str, AfterValidator(_check_alias), Kind("cell-uid")]
Addresses = Annotated[tuple[Address, ...], BeforeValidator(_split_list), Kind("list of host:port")]
