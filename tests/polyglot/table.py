"""The table of cases, filled in for a runner, and what it printed compared; see README.md."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from google.protobuf import descriptor_pool, json_format, message_factory

from tabletd.errors import Reason
from tabletd.servicers.status import STATUS_CODES
from tabletd_pb import (
    migrations_pb2,
    queryservice_pb2,
    tabletmanagerservice_pb2,
    vtctlservice_pb2,
)

TABLE: Final[dict[str, Any]] = json.loads((Path(__file__).parent / "cases.json").read_text())
BENCH: Final = "bench"
# Nobody waits so long but where something is wrong.
_TIMEOUT_MS: Final = 120_000
_Case = dict[str, Any]
_List = Sequence[Any]

# What the methods of the table are looked up in.
LOADED: Final = (migrations_pb2, queryservice_pb2, tabletmanagerservice_pb2, vtctlservice_pb2)


def cases(*, of_bench: bool) -> list[_Case]:
    """Return the cases for the daemons, or for the stand-in of one, each with its deadline."""
    found: list[_Case] = []
    for case in TABLE["cases"]:
        if (case["door"] == BENCH) is not of_bench:
            continue
        if case.get("for_each") == "reason":
            found += [_of_reason(case, reason) for reason in Reason]
        else:
            found.append({"timeout_ms": _TIMEOUT_MS, **case})
    return found


def door(address: str, **texts: str) -> dict[str, str]:
    """Return a door at an address; what is not said is empty."""
    names = ("ca", "certificate", "key", "username", "password")
    return {"address": address, **dict.fromkeys(names, ""), **texts}


def _of_reason(case: _Case, reason: Reason) -> _Case:
    words = {"reason": reason.value, "code": STATUS_CODES[reason].name}
    filled: _Case = filled_in(case, words)
    return {"timeout_ms": _TIMEOUT_MS, **filled, "case": f"{case['case']}: {reason}"}


def filled_in(value: Any, words: Mapping[str, str]) -> Any:
    """Return a value of JSON with each `${word}` that is among the words replaced by its text."""
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda found: words.get(found[1], found[0]), value)
    if isinstance(value, list):
        return [filled_in(one, words) for one in cast("_List", value)]
    if isinstance(value, dict):
        return {name: filled_in(one, words) for name, one in cast("_Case", value).items()}
    return value


def differences(case: _Case, outcome: _Case) -> list[str]:
    """Return where an outcome is not what its case expects."""
    expected: _Case = case["expect"]
    responses = [_canonical(case["method"], response) for response in outcome["responses"]]
    rows = [[decoded(cell) for cell in row] for row in outcome["rows"]]
    reason = expected.get("reason", "")
    found = _differs("code", expected.get("code", "OK"), outcome["code"])
    if found:
        return [*found, f"message: {outcome['message']!r}"]
    if "message" in expected:
        found += _differs("message", expected["message"], outcome["message"])
    found += _differs("reason", reason, outcome["reason"])
    found += _differs("domain", "tabletd" if reason else "", outcome["domain"])
    found += _differs("facts", expected.get("facts", {}), outcome["facts"])
    if "response" in expected:
        found += _differs("responses", [expected["response"]], responses)
    for which, index in (("first", 0), ("last", -1)):
        if which in expected:
            found += _differs(which, [expected[which]], responses[index:][:1])
    if "types" in expected:
        fields = [field for response in responses for field in response["result"]["fields"]]
        found += _differs("types", expected["types"], [field["type"] for field in fields])
        wanted = [[cell_bytes(cell) for cell in row] for row in expected["rows"]]
        found += _differs("rows", wanted, rows)
    return found


def _canonical(method: str, response: _Case) -> _Case:
    """Return a message in the one way in which Python's protobuf writes it."""
    service, name = method.split("/")
    pool = descriptor_pool.Default()
    kind = pool.FindServiceByName(service).methods_by_name[name].output_type
    message = json_format.ParseDict(response, message_factory.GetMessageClass(kind)())
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def decoded(cell: str | None) -> bytes | None:
    """Return a cell from its base64."""
    return None if cell is None else base64.b64decode(cell, validate=True)


def cell_bytes(cell: str | Mapping[str, str] | None) -> bytes | None:
    """Return a cell as the table has it: text, or bytes in hexadecimal."""
    if cell is None:
        return None
    return cell.encode() if isinstance(cell, str) else bytes.fromhex(cell["hex"])


def _differs(where: str, expected: Any, found: Any) -> list[str]:
    """Compare; of an object only what is expected, of a text before `...` only the beginning."""
    if isinstance(expected, dict) and isinstance(found, dict):
        fields = cast("_Case", found)
        return [
            text
            for name, value in cast("_Case", expected).items()
            for text in _differs(f"{where}.{name}", value, fields.get(name))
        ]
    if isinstance(expected, list) and isinstance(found, list):
        pair = (cast("_List", expected), cast("_List", found))
        if len(pair[0]) == len(pair[1]):
            return [
                text
                for index, (one, other) in enumerate(zip(*pair, strict=True))
                for text in _differs(f"{where}[{index}]", one, other)
            ]
    if isinstance(expected, str) and expected.endswith("...") and isinstance(found, str):
        return [] if found.startswith(expected[:-3]) else [f"{where}: {found!r}, not {expected!r}"]
    return [] if found == expected else [f"{where}: {found!r}, not {expected!r}"]
