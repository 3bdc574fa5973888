"""The largest message, on both sides."""

from __future__ import annotations

from typing import Final, TypeVar

from google.protobuf.message import Message

from tabletd.errors import Reason, TabletdError

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024

M = TypeVar("M", bound=Message)


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
