"""Requests whose bytes are no such message: refused by us, of every service.

The library would answer UNKNOWN with the name of a Python class, and write a traceback into the log
for each of them, whoever the caller is.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from tabletd.errors import Reason, TabletdError
from tabletd.servicers.status import error_status
from tabletd.telemetry.vars import Registry

Context = grpc.aio.ServicerContext[Any, Any]
if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]


class _Broken:
    """Stands for a request that could not be read."""


_BROKEN: Final = _Broken()


class Decoding:
    """Surrounds all else: what is within sees sound requests only.

    Args:
        registry: gets `RpcRequestsBroken`.
    """

    def __init__(self, registry: Registry) -> None:
        self._broken = registry.counter("RpcRequestsBroken", "RPCs whose bytes are no request")

    def wrap(self, handler: Handler) -> Handler:
        """Return what answers in a handler's place: itself, where nothing is read."""
        if handler.request_deserializer is None:
            return handler
        coders: dict[str, Any] = {
            "request_deserializer": _tolerant(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._unary(handler.unary_unary), **coders)
        if handler.unary_stream is not None:
            stream = self._stream(handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream, **coders)
        streams = self._streams(handler.stream_stream)
        return grpc.stream_stream_rpc_method_handler(streams, **coders)

    def _unary(self, behaviour: Any) -> Any:
        """Surround what returns its answer, or writes several itself, as health's Watch does."""

        async def answer(request: Any, context: Context) -> Any:
            if request is _BROKEN:
                await self._refuse(context)
            return await behaviour(request, context)

        return answer

    def _stream(self, behaviour: Any) -> Any:
        if not inspect.isasyncgenfunction(behaviour):
            return self._unary(behaviour)

        async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
            if request is _BROKEN:
                await self._refuse(context)
            async with aclosing(behaviour(request, context)) as responses:
                async for response in responses:
                    yield response

        return answer

    def _streams(self, behaviour: Any) -> Any:
        async def answer(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            async with aclosing(behaviour(self._sound(requests, context), context)) as responses:
                async for response in responses:
                    yield response

        return answer

    async def _sound(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        async for request in requests:
            if request is _BROKEN:
                await self._refuse(context)
            yield request

    async def _refuse(self, context: Context) -> None:
        self._broken.add()
        error = TabletdError(
            Reason.INVALID_REQUEST,
            "the bytes of the request are no such message",
            hint="make the client's stubs from tabletd's or Vitess's .proto files",
        )
        await context.abort_with_status(error_status(error))


def _tolerant(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    assert deserialize is not None

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return _BROKEN

    return read
