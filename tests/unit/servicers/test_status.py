"""Reasons and their gRPC statuses."""

from __future__ import annotations

from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from tabletd.errors import Reason, TabletdError
from tabletd.servicers.status import STATUS_CODES, clipped, error_status

HEADERS_BYTES_MAX = 8 * 1024


def details(error: TabletdError) -> tuple[status_pb2.Status, error_details_pb2.ErrorInfo]:
    metadata = dict(error_status(error).trailing_metadata)
    packed = metadata["grpc-status-details-bin"]
    assert isinstance(packed, bytes)
    status = status_pb2.Status.FromString(packed)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return status, info


def test_every_reason_has_a_status() -> None:
    assert set(STATUS_CODES) == set(Reason)
    assert StatusCode.OK not in STATUS_CODES.values()


def test_the_status_carries_reason_domain_and_facts() -> None:
    error = TabletdError(Reason.TABLE_NOT_FOUND, "no such table", hint="create it", table="t1")
    status, info = details(error)
    assert error_status(error).code is StatusCode.NOT_FOUND
    assert status.message == "no such table (create it)" == error_status(error).details
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "TABLE_NOT_FOUND",
        "tabletd",
        {"table": "t1"},
    )


def test_a_megabyte_of_text_still_fits_a_clients_headers() -> None:
    error = TabletdError(Reason.INVALID_REQUEST, "\N{PILE OF POO}" * 300_000, fact="x" * 1_000_000)
    status = error_status(error)
    assert status.details is not None
    on_the_wire = 3 * len(status.details.encode()) + sum(
        len(value) * 4 // 3 for _, value in status.trailing_metadata
    )
    assert on_the_wire < HEADERS_BYTES_MAX


@given(st.text(), st.integers(1, 50))
def test_a_clipped_text_is_valid_and_short(text: str, bytes_max: int) -> None:
    cut = clipped(text, bytes_max)
    assert len(cut.encode()) <= bytes_max + 3
    if len(text.encode("utf-8", "replace")) <= bytes_max:
        assert cut.encode() == text.encode("utf-8", "replace")
