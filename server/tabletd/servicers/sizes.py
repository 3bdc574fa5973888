"""Answers of any size: none too large for a message, none that holds up the heartbeat."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

from google.protobuf.message import Message

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.result import ResultSet
from tabletd.servicers.query_result import result_to_proto
from tabletd.vtctld.tablets import MESSAGE_BYTES_MAX
from tabletd_pb import query_pb2

_ROWS_AT_ONCE_MAX: Final = 1_000

M = TypeVar("M", bound=Message)


async def result_message(result: ResultSet) -> query_pb2.QueryResult:
    """Return a result as a message; a large one is made beside the event loop, not in it."""
    if len(result.rows) <= _ROWS_AT_ONCE_MAX:
        return result_to_proto(result)
    return await asyncio.to_thread(result_to_proto, result)


def bounded(response: M) -> M:
    """Return the response, when a client with Vitess's limit can take it.

    Raises:
        TabletdError: RESULT_TOO_LARGE.
    """
    size = response.ByteSize()
    if size > MESSAGE_BYTES_MAX:
        raise TabletdError(
            Reason.RESULT_TOO_LARGE,
            f"the answer has {size} bytes, more than the {MESSAGE_BYTES_MAX} of a message",
            hint="ask for fewer rows or columns, with LIMIT",
            bytes=size,
        )
    return response
