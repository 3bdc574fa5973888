"""The routes."""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tabletd.errors import Reason, TabletdError
from tabletd.tablet import TabletType
from tabletd.throttler import Scope
from tabletd.web.ports import StatusReports, ThrottlerPort, WebPorts
from tabletd.web.status_page import status_page

REPORT_STATUS_PATH: Final = "/schema-migration/report-status"
_ANY_METHOD: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_NOT_SERVING_BY_INTENT: Final = frozenset({TabletType.BACKUP, TabletType.RESTORE})
_REFUSALS: Final[Mapping[Reason, HTTPStatus]] = {
    Reason.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Reason.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    Reason.ILLEGAL_TRANSITION: HTTPStatus.CONFLICT,
}
_SAID_BY_PROXIES: Final = frozenset({"forwarded", "via", "x-forwarded-for", "x-real-ip"})
_Handler = Callable[[Request], Awaitable[Response]]


def build_application(ports: WebPorts) -> Starlette:
    """Return the ASGI application."""

    async def debug_vars(request: Request) -> Response:
        text = json.dumps(ports.registry.export(), indent=2)
        return Response(text, media_type="application/json")

    async def metrics(request: Request) -> Response:
        return Response(ports.metrics_page(), media_type=ports.metrics_content_type)

    async def healthz(request: Request) -> Response:
        health = ports.tablet.health
        if health.serving or health.type in _NOT_SERVING_BY_INTENT:
            return PlainTextResponse("ok\n")
        return PlainTextResponse(
            "500 internal server error: vttablet is not serving\n",
            HTTPStatus.INTERNAL_SERVER_ERROR,
        )

    async def debug_health(request: Request) -> Response:
        health = ports.tablet.health
        if health.serving:
            return PlainTextResponse("ok")
        return PlainTextResponse(
            f"not ok: {health.health_error or health.state_name}", HTTPStatus.INTERNAL_SERVER_ERROR
        )

    async def throttler_check(request: Request) -> Response:
        return _throttler_check(request, ports.throttler)

    async def throttler_check_self(request: Request) -> Response:
        return _throttler_check(request, ports.throttler, Scope.SELF)

    async def lag(request: Request) -> Response:
        try:
            found = await ports.shard_lag()
        except TabletdError as error:
            return PlainTextResponse(f"not ok: {error}", HTTPStatus.INTERNAL_SERVER_ERROR)
        return JSONResponse([asdict(one) for one in found])

    refused = ports.registry.counter("CallbackErrors", "reports of tools that were not taken")

    async def report_status(request: Request) -> Response:
        answer = await _report_status(request, ports.reports)
        refused.add(answer.status_code != HTTPStatus.OK)
        return answer

    async def page(request: Request) -> Response:
        return await status_page(ports)

    routes: list[tuple[str, _Handler, list[str]]] = [
        ("/", page, ["GET"]),
        ("/debug/vars", debug_vars, ["GET"]),
        ("/debug/health", debug_health, ["GET"]),
        ("/debug/lag", lag, ["GET"]),
        ("/healthz", healthz, ["GET"]),
        ("/metrics", metrics, ["GET"]),
        ("/throttler/check", throttler_check, ["GET"]),
        ("/throttler/check-self", throttler_check_self, ["GET"]),
        (REPORT_STATUS_PATH, report_status, _ANY_METHOD),
    ]
    return Starlette(
        routes=[Route(path, handler, methods=methods) for path, handler, methods in routes]
    )


def _throttler_check(
    request: Request, throttler: ThrottlerPort, scope: Scope | None = None
) -> Response:
    """Answer a check: its status is the answer, the JSON says why."""
    query = request.query_params
    result = throttler.check(
        query.get("app") or "default", low_priority=query.get("p") == "low", scope=scope
    )
    return JSONResponse(result.to_json(), result.status_code)


async def _report_status(request: Request, reports: StatusReports) -> Response:
    """Take a tool's report: 200 `ok`, else `not ok: <error>` with 401, 403, 409 or 500."""
    try:
        _refuse_other_hosts(request)
        query = request.query_params
        await reports.on_schema_migration_status(
            query.get("uuid", ""),
            query.get("status", ""),
            query.get("dryrun", "").lower() in {"true", "1"},
            _number(query.get("progress"), "progress") or 0.0,
            token=_token(request),
            eta_seconds=_whole(query.get("eta"), "eta"),
            rows_copied=_whole(query.get("rowscopied"), "rowscopied"),
        )
    except TabletdError as error:
        status = _REFUSALS.get(error.reason, HTTPStatus.INTERNAL_SERVER_ERROR)
        return PlainTextResponse(f"not ok: {error}", status)
    return PlainTextResponse("ok")


def _refuse_other_hosts(request: Request) -> None:
    # The tools run beside us; anybody else has no business here, with a token or without.
    if not comes_from_here(request):
        host = request.client.host if request.client else ""
        raise TabletdError(
            Reason.PERMISSION_DENIED, "reports are taken from this machine only", peer=host
        )


def comes_from_here(request: Request) -> bool:
    """Tell whether a request was made on this machine.

    Who comes from the very address that he came to is here as well. What a proxy on this machine
    hands on comes from elsewhere.
    """
    if not _SAID_BY_PROXIES.isdisjoint(request.headers):
        return False
    host = request.client.host if request.client else ""
    own_address, _ = request.scope.get("server") or ("", 0)
    try:
        return ipaddress.ip_address(host).is_loopback or host == own_address
    except ValueError:
        return False


def _token(request: Request) -> str:
    """Return the caller's token, empty when there is none: a caller over HTTP always needs one."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return bearer.strip()
    return request.headers.get("x-tabletd-token") or request.query_params.get("token", "")


def _number(text: str | None, name: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise TabletdError(Reason.INVALID_REQUEST, f"{name} is no number: {text[:40]!r}")
    return value


def _whole(text: str | None, name: str) -> int | None:
    value = _number(text, name)
    return None if value is None else int(value)
