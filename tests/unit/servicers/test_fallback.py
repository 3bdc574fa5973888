"""What callers of unoffered methods are told."""

from __future__ import annotations

import pytest

from tabletd.servicers.fallback import SERVICES, SUGGESTIONS, is_ours, unsupported
from tabletd_pb import queryservice_pb2, tabletmanagerservice_pb2, vtctlservice_pb2


def test_no_suggestion_is_made_for_a_method_that_is_offered() -> None:
    for module in (tabletmanagerservice_pb2, queryservice_pb2, vtctlservice_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                assert f"{service.name}/{method.name}" not in SUGGESTIONS


def test_suggested_methods_are_offered() -> None:
    offered = {
        f"{service.name}.{method.name}"
        for module in (tabletmanagerservice_pb2, queryservice_pb2, vtctlservice_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    for suggestion in SUGGESTIONS.values():
        first = suggestion.split()[0].rstrip(",:")
        if first.startswith(("TabletManager.", "Query.", "Vtctld.")):
            assert first in offered, suggestion


@pytest.mark.parametrize("service", SERVICES)
def test_each_of_the_services_is_answered_for(service: str) -> None:
    assert is_ours(f"/{service}/Anything")


def test_other_services_are_left_to_grpc() -> None:
    assert not is_ours("/grpc.health.v1.Health/Check")
    assert not is_ours("/queryservice.Query2/Execute")


def test_the_refusal_names_the_method_and_what_to_use() -> None:
    error = unsupported("/tabletmanagerservice.TabletManager/ApplySchema")
    assert "TabletManager/ApplySchema is not offered" in str(error)
    assert "Vtctld.ApplySchema" in str(error)
