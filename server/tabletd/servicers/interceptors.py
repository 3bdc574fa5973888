"""What surrounds every call of our own services: limits, the guard, counting, tracing, errors.

Errors are translated here and nowhere else. Of the services that gRPC itself brings, health passes
untouched and uncounted, so that a probe is never refused; reflection and channelz pass the guard
only.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

import grpc
import grpc.aio

from tabletd.errors import Reason, TabletdError
from tabletd.servicers.guard import Guard
from tabletd.servicers.roles import Rule
from tabletd.servicers.status import STATUS_CODES, error_status
from tabletd.telemetry.rpc import Call, RpcTelemetry
from tabletd.telemetry.vars import Registry

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
# A supervisor asks whether we live just when we are busiest.
NEVER_REFUSED: Final = frozenset({"/tabletmanagerservice.TabletManager/Ping"})


@dataclass(frozen=True)
class CallLimits:
    """How many calls may be open at the same time.

    Attributes:
        calls_max: unary calls.
        streams_max: streams, which last and so have a limit of their own.
    """

    calls_max: int = 256
    streams_max: int = 256


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of our services.

    Args:
        methods: full names (`/package.Service/Method`) of the methods that we serve.
        is_ours: tells whether a full name belongs to one of our services, served or not.
        limits: calls and streams at the same time.
        registry: gets `RpcCallsRefused` and the two gauges of open calls and streams.
        telemetry: counts, times and traces.
        guard: lets callers in; None: everybody may do everything.
    """

    def __init__(
        self,
        *,
        methods: frozenset[str],
        is_ours: Callable[[str], bool],
        limits: CallLimits,
        registry: Registry,
        telemetry: RpcTelemetry,
        guard: Guard | None = None,
    ) -> None:
        self._methods = methods
        self._is_ours = is_ours
        self._telemetry = telemetry
        self._guard = guard
        self._refused = registry.counter("RpcCallsRefused", "RPCs refused for their number")
        self._calls = _Slots("calls", limits.calls_max, "grpc_calls_max")
        self._streams = _Slots("streams", limits.streams_max, "grpc_streams_max")
        registry.gauge("RpcCallsOpen", "unary RPCs in flight", lambda: self._calls.taken)
        registry.gauge("RpcStreamsOpen", "streams in flight", lambda: self._streams.taken)
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None or not (self._is_ours(method) or self._is_guarded(method)):
            return handler
        wrapped = self._wrap(method, handler)
        if method in self._methods:  # names that a caller made up are not remembered
            self._wrapped[method] = wrapped
        return wrapped

    def _is_guarded(self, method: str) -> bool:
        return self._guard is not None and self._guard.covers(method)

    def _wrap(self, method: str, handler: Handler) -> Handler:
        coders: dict[str, Any] = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        name = method.removeprefix("/") if method in self._methods else "_unknown"
        rule = None if self._guard is None else self._guard.rule(method)
        if handler.unary_unary is not None:
            slots = None if method in NEVER_REFUSED else self._calls
            behaviour = handler.unary_unary
            if rule is not None:
                behaviour = self._guarded(method, rule, behaviour)
            unary = self._unary(name, behaviour, slots)
            return grpc.unary_unary_rpc_method_handler(unary, **coders)
        if handler.unary_stream is not None:
            stream = self._stream(name, handler.unary_stream, method, rule)
            return grpc.unary_stream_rpc_method_handler(stream, **coders)
        stream = self._stream(name, handler.stream_stream, method, rule)
        return grpc.stream_stream_rpc_method_handler(stream, **coders)

    def _guarded(self, method: str, rule: Rule, behaviour: Any) -> Any:
        async def answer(request: Any, context: Context) -> Any:
            async with self._watch(method, rule, request, context):
                return await behaviour(request, context)

        return answer

    def _watch(
        self, method: str, rule: Rule | None, request: Any, context: Context
    ) -> AbstractAsyncContextManager[None]:
        if self._guard is None or rule is None:
            return nullcontext()
        return self._guard.watch(rule, method, request, context)

    def _unary(self, name: str, behaviour: Any, slots: _Slots | None) -> Any:
        async def answer(request: Any, context: Context) -> Any:
            with self._telemetry.call(name, partial(_metadata, context)) as call:
                try:
                    if slots is None:
                        return await behaviour(request, context)
                    with self._slot(slots):
                        return await behaviour(request, context)
                except BaseException as error:
                    await _fail(error, name, call, context)

        return answer

    def _stream(self, name: str, behaviour: Any, method: str, rule: Rule | None) -> Any:
        async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
            with self._telemetry.call(name, partial(_metadata, context)) as call:
                try:
                    with self._slot(self._streams):
                        async with (
                            self._watch(method, rule, request, context),
                            aclosing(behaviour(request, context)) as responses,
                        ):
                            async for response in responses:
                                yield response
                except GeneratorExit:
                    raise
                except BaseException as error:
                    await _fail(error, name, call, context)

        return answer

    @contextmanager
    def _slot(self, slots: _Slots) -> Generator[None]:
        if slots.taken >= slots.slots_max:
            self._refused.add()
            raise slots.exhausted()
        slots.taken += 1
        try:
            yield
        finally:
            slots.taken -= 1


class _Slots:
    def __init__(self, what: str, slots_max: int, setting: str) -> None:
        self.what = what
        self.slots_max = slots_max
        self.setting = setting
        self.taken = 0

    def exhausted(self) -> TabletdError:
        return TabletdError(
            Reason.TOO_MANY_CALLS,
            f"{self.slots_max} {self.what} are open already, and no more are taken",
            hint=f"try again later with a growing pause, or raise {self.setting}",
            limit=self.slots_max,
        )


def _metadata(context: Context) -> dict[str, str]:
    pairs = context.invocation_metadata() or ()
    return {key: value for key, value in pairs if isinstance(value, str)}


async def _fail(error: BaseException, method: str, call: Call, context: Context) -> NoReturn:
    """End the call with the right status; what is no failure of ours is raised again."""
    if isinstance(error, asyncio.CancelledError):  # the client has gone, or its deadline passed
        call.status = grpc.StatusCode.CANCELLED.name
        raise error
    if isinstance(error, grpc.aio.AbortError):
        call.status = str(getattr(context.code(), "name", context.code()))
        raise error
    if not isinstance(error, Exception):
        raise error
    if not isinstance(error, TabletdError):
        error = _unexpected(error, method)
    call.status = STATUS_CODES[error.reason].name
    await context.abort_with_status(error_status(error))
    raise AssertionError("abort_with_status returned")


def _unexpected(error: Exception, method: str) -> TabletdError:
    error_id = secrets.token_hex(8)
    logger.error("internal error %s in %s", error_id, method, exc_info=error)
    return TabletdError(
        Reason.INTERNAL,
        f"internal error {error_id}",
        hint="the daemon's log has the cause under this number",
        error_id=error_id,
    )
