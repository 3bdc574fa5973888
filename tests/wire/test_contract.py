"""Our .proto files against the numbers, types and names that Vitess's clients are compiled with.

The facts in pinned/*.toml come from tables of Vitess's messages, not from our own files; so each
test can say both what is missing and what is too much.
"""

from __future__ import annotations

import importlib
import pkgutil
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

import tabletd_pb

PINNED = Path(__file__).parent / "pinned"
TYPE_NAMES = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}


def _pinned(section: str) -> dict[str, str]:
    """Return one section of all pinned files, with each text on one line."""
    facts: dict[str, str] = {}
    for path in sorted(PINNED.glob("*.toml")):
        content: dict[str, Any] = tomllib.loads(path.read_text())
        for name, text in content.get(section, {}).items():
            assert name not in facts, f"{name} is pinned twice"
            facts[name] = " ".join(text.split())
    return facts


def _files() -> Iterator[FileDescriptorProto]:
    for module in pkgutil.iter_modules(tabletd_pb.__path__):
        if module.name.endswith("_pb2"):
            file = FileDescriptorProto()
            importlib.import_module(f"tabletd_pb.{module.name}").DESCRIPTOR.CopyToProto(file)
            yield file


def _messages(prefix: str, messages: Iterable[DescriptorProto]) -> dict[str, DescriptorProto]:
    """Return all messages by full name, nested ones (map entries too) included."""
    found: dict[str, DescriptorProto] = {}
    for message in messages:
        name = f"{prefix}.{message.name}"
        found[name] = message
        found |= _messages(name, message.nested_type)
    return found


def _type_of(field: FieldDescriptorProto) -> str:
    return field.type_name.removeprefix(".") or TYPE_NAMES[field.type]


def _field(
    field: FieldDescriptorProto, message: DescriptorProto, all_messages: dict[str, DescriptorProto]
) -> str:
    """Return a field in the words of the pinned files: number, name, type, oneof."""
    type_name = _type_of(field)
    entry = all_messages.get(type_name)
    if entry is not None and entry.options.map_entry:
        key, value = (_type_of(part) for part in entry.field)
        type_name = f"map<{key}:{value}>"
    elif field.label == FieldDescriptorProto.LABEL_REPEATED:
        type_name = f"repeated {type_name}"
    elif field.proto3_optional:
        type_name = f"optional {type_name}"
    elif field.HasField("oneof_index"):
        type_name = f"{type_name} oneof {message.oneof_decl[field.oneof_index].name}"
    return f"{field.number} {field.name} {type_name}"


def _all_messages() -> dict[str, DescriptorProto]:
    found: dict[str, DescriptorProto] = {}
    for file in _files():
        found |= _messages(file.package, file.message_type)
    return found


def _offered_messages() -> dict[str, str]:
    messages = _all_messages()
    return {
        name: ", ".join(
            _field(field, message, messages)
            for field in sorted(message.field, key=lambda field: field.number)
        )
        for name, message in messages.items()
        if not message.options.map_entry
    }


def _offered_enums() -> dict[str, EnumDescriptorProto]:
    found = {f"{file.package}.{enum.name}": enum for file in _files() for enum in file.enum_type}
    for name, message in _all_messages().items():
        found |= {f"{name}.{enum.name}": enum for enum in message.enum_type}
    return found


def _offered_methods() -> dict[str, str]:
    def type_name(name: str, stream: bool) -> str:
        return ("stream " if stream else "") + name.removeprefix(".")

    return {
        f"/{file.package}.{service.name}/{method.name}": " -> ".join(
            (
                type_name(method.input_type, method.client_streaming),
                type_name(method.output_type, method.server_streaming),
            )
        )
        for file in _files()
        for service in file.service
        for method in service.method
    }


def _values_by_number(values: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Sort by number and keep the order of aliases: the first is the one that is printed."""
    return sorted(values, key=lambda value: value[1])


def test_the_contract_has_the_pinned_messages_and_no_others() -> None:
    assert sorted(_offered_messages()) == sorted(_pinned("messages"))


@pytest.mark.parametrize("name", sorted(_pinned("messages")))
def test_a_message_has_exactly_the_pinned_fields(name: str) -> None:
    offered, pinned = _offered_messages()[name], _pinned("messages")[name]
    assert offered.split(", ") == pinned.split(", ")


def test_the_contract_has_the_pinned_enums_and_no_others() -> None:
    assert sorted(_offered_enums()) == sorted(_pinned("enums"))


@pytest.mark.parametrize("name", sorted(_pinned("enums")))
def test_an_enum_has_exactly_the_pinned_values(name: str) -> None:
    pinned = [value.split("=") for value in _pinned("enums")[name].split(", ")]
    assert _values_by_number(
        (value.name, value.number) for value in _offered_enums()[name].value
    ) == _values_by_number((value, int(number)) for value, number in pinned)


def test_the_offered_methods_are_the_pinned_ones() -> None:
    assert _offered_methods() == _pinned("methods")


def test_the_offered_services_are_the_pinned_ones() -> None:
    pinned: list[str] = tomllib.loads((PINNED / "services.toml").read_text())["services"]["names"]
    offered = [f"{file.package}.{service.name}" for file in _files() for service in file.service]
    assert sorted(offered) == sorted(pinned)


def test_every_file_is_proto3_so_that_unset_and_zero_are_the_same_bytes() -> None:
    assert {file.syntax for file in _files()} == {"proto3"}
