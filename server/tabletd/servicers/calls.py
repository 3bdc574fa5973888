"""What surrounds every call of our own services: limits, the guard, counting, tracing, errors.

Each method is wrapped once, when the server is built. Errors are translated here and nowhere else.
Of the services that gRPC itself brings, health passes untouched and uncounted, so that a probe is
never refused; reflection and channelz pass the guard only.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    aclosing,
    nullcontext,
)
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
import grpc.aio

from tabletd.errors import Reason, TabletdError
from tabletd.servicers.decoding import Decoding
from tabletd.servicers.fallback import UnofferedMethods, is_ours
from tabletd.servicers.guard import Guard
from tabletd.servicers.limits import CallerRefused, Limits, Place, caller_host
from tabletd.servicers.roles import Rule
from tabletd.servicers.status import STATUS_CODES, error_status
from tabletd.telemetry.rpc import OK, RpcTelemetry

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
# A stream lasts longer than what its caller was let in by.
_ASKED_AGAIN_SECONDS: Final = 1.0
_HELD_SECONDS: Final = 0.5
_HELD_MAX: Final = 4096
# A supervisor asks whether we live just when we are busiest.
NEVER_REFUSED: Final = frozenset({"/tabletmanagerservice.TabletManager/Ping"})


class Methods(grpc.GenericRpcHandler):
    """Every method that the port answers; services are added to it as to a server.

    Args:
        surroundings: wraps their methods.
        decoding: goes around that.
    """

    def __init__(self, surroundings: Surroundings, decoding: Decoding) -> None:
        self._surroundings = surroundings
        self._decoding = decoding
        self._handlers: dict[str, Handler] = {}
        self._unoffered = UnofferedMethods()

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Take nothing: the same methods come by their names."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Take the methods of a service."""
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            wrapped = self._surroundings.wrap(method, handler)
            self._handlers[method] = self._decoding.wrap(wrapped)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        found = self._handlers.get(method)
        if found is not None:
            return found
        unoffered = self._unoffered.service(handler_call_details)
        # Names that a caller made up are not remembered.
        return unoffered and self._surroundings.wrap(method, unoffered, name="_unknown")


class Surroundings:
    """Wraps the handlers of our services.

    Args:
        limits: calls and streams at the same time.
        telemetry: counts, times and traces.
        guard: lets callers in; None: everybody may do everything.
    """

    def __init__(
        self, *, limits: Limits, telemetry: RpcTelemetry, guard: Guard | None = None
    ) -> None:
        self._limits = limits
        self._telemetry = telemetry
        self._guard = guard
        self._held = 0

    def wrap(self, method: str, handler: Handler, name: str = "") -> Handler:
        """Return what answers in a handler's place: itself, for what is not ours.

        Args:
            method: full name, `/package.Service/Method`.
            handler: answers it.
            name: what it is counted under; empty: its own.
        """
        guard = self._guard
        if not is_ours(method) and (guard is None or not guard.covers(method)):
            return handler
        coders: dict[str, Any] = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        name = name or method.removeprefix("/")
        rule = None if guard is None else guard.rule(method)
        if handler.unary_unary is not None:
            unary = self._unary(name, handler.unary_unary, method, rule)
            return grpc.unary_unary_rpc_method_handler(unary, **coders)
        if handler.unary_stream is not None:
            stream = self._stream(name, handler.unary_stream, method, rule)
            return grpc.unary_stream_rpc_method_handler(stream, **coders)
        stream = self._stream(name, handler.stream_stream, method, rule)
        return grpc.stream_stream_rpc_method_handler(stream, **coders)

    def _unary(self, name: str, behaviour: Any, method: str, rule: Rule | None) -> Any:
        slots = None if method in NEVER_REFUSED else self._limits.calls
        guard = None if rule is None else self._guard
        ended = self._telemetry.of(name)

        async def answer(request: Any, context: Context) -> Any:
            began_seconds = perf_counter()
            status, place = OK, None
            try:
                if slots is not None:
                    place = slots.take(caller_host(context.peer()))
                if guard is None or rule is None:
                    return await behaviour(request, context)
                async with guard.watch(rule, method, request, context, place):
                    return await behaviour(request, context)
            except BaseException as error:
                status, refusal = _outcome(error, name, context)
                if refusal is None:
                    raise
                await self._hold(refusal, context)
                await context.abort_with_status(error_status(refusal))
            finally:
                if place is not None:
                    place.give_back()
                ended(status, perf_counter() - began_seconds)

        async def traced(request: Any, context: Context) -> Any:
            with self._telemetry.span(name, _metadata(context)):
                return await answer(request, context)

        return traced if self._telemetry.is_tracing else answer

    def _stream(self, name: str, behaviour: Any, method: str, rule: Rule | None) -> Any:
        ended = self._telemetry.of(name)

        async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
            began_seconds = perf_counter()
            status, place = OK, None
            with self._span(name, context):
                try:
                    place = self._limits.streams.take(caller_host(context.peer()))
                    async with (
                        self._watch(method, rule, request, context, place),
                        aclosing(behaviour(request, context)) as responses,
                    ):
                        asked_seconds = began_seconds
                        async for response in responses:
                            now_seconds = perf_counter()
                            if now_seconds - asked_seconds >= _ASKED_AGAIN_SECONDS:
                                asked_seconds = now_seconds
                                await self._ask_again(method, rule, request, context)
                            yield response
                except GeneratorExit:
                    raise
                except BaseException as error:
                    status, refusal = _outcome(error, name, context)
                    if refusal is None:
                        raise
                    await self._hold(refusal, context)
                    await context.abort_with_status(error_status(refusal))
                finally:
                    if place is not None:
                        place.give_back()
                    ended(status, perf_counter() - began_seconds)

        return answer

    async def _ask_again(
        self, method: str, rule: Rule | None, request: Any, context: Context
    ) -> None:
        if self._guard is not None and rule is not None:
            await self._guard.let_in_still(rule, method, request, context)

    async def _hold(self, refusal: TabletdError, context: Context) -> None:
        """Let a caller who sends too much wait for his refusal.

        Who sends again as soon as he is refused would else cost us as much as if he were answered.
        """
        if not isinstance(refusal, CallerRefused) or self._held >= _HELD_MAX:
            return
        # Without a deadline it is None, whatever its type says.
        left_seconds = cast("float | None", context.time_remaining())
        held_seconds = (
            _HELD_SECONDS if left_seconds is None else min(_HELD_SECONDS, left_seconds / 2)
        )
        self._held += 1
        try:
            await asyncio.sleep(held_seconds)
        finally:
            self._held -= 1

    def _span(self, name: str, context: Context) -> AbstractContextManager[None]:
        if not self._telemetry.is_tracing:
            return nullcontext()
        return self._telemetry.span(name, _metadata(context))

    def _watch(
        self, method: str, rule: Rule | None, request: Any, context: Context, place: Place
    ) -> AbstractAsyncContextManager[None]:
        if self._guard is None or rule is None:
            return nullcontext()
        return self._guard.watch(rule, method, request, context, place)


def _metadata(context: Context) -> dict[str, str]:
    pairs = context.invocation_metadata() or ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _outcome(
    error: BaseException, method: str, context: Context
) -> tuple[str, TabletdError | None]:
    """Return the status that a call ends with, and what is told; None: nothing but the error."""
    if isinstance(error, asyncio.CancelledError):  # the client has gone, or its deadline passed
        return grpc.StatusCode.CANCELLED.name, None
    if isinstance(error, grpc.aio.AbortError):
        return str(getattr(context.code(), "name", context.code())), None
    if not isinstance(error, Exception):
        return grpc.StatusCode.UNKNOWN.name, None
    if not isinstance(error, TabletdError):
        error = _unexpected(error, method)
    return STATUS_CODES[error.reason].name, error


def _unexpected(error: Exception, method: str) -> TabletdError:
    error_id = secrets.token_hex(8)
    logger.error("internal error %s in %s", error_id, method, exc_info=error)
    return TabletdError(
        Reason.INTERNAL,
        f"internal error {error_id}",
        hint="the daemon's log has the cause under this number",
        error_id=error_id,
    )
