"""Which page may be read by whom: stands before the application."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tabletd.access.access import Access
from tabletd.access.roles import Role
from tabletd.errors import TabletdError
from tabletd.web.application import REPORT_STATUS_PATH, comes_from_here

_READS: Final = frozenset({"GET", "HEAD"})
# By path: what the setting `http_open_pages` calls it.
_KINDS: Final[Mapping[str, str]] = {
    "/healthz": "health",
    "/debug/health": "health",
    "/metrics": "metrics",
    "/debug/vars": "metrics",
}
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="tabletd", charset="UTF-8"'}


class PageGuard:
    """Lets a request through to the application, or refuses it.

    From this machine every page can be read. From others only those that are open, unless the
    caller gives a password. What changes something needs a password wherever it comes from; the
    tools' callback alone has its own rule, see `web.application`.

    Args:
        application: what answers.
        access: knows the passwords.
        open_pages: kinds of pages that every machine may read.
        insecure: every machine may read all.
    """

    def __init__(
        self,
        application: ASGIApp,
        *,
        access: Access,
        open_pages: Collection[str],
        insecure: bool = False,
    ) -> None:
        self._application = application
        self._access = access
        self._open_pages = frozenset(open_pages)
        self._insecure = insecure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None
        if scope["type"] == "http":
            refusal = await self._refusal(Request(scope))
        await (refusal or self._application)(scope, receive, send)

    async def _refusal(self, request: Request) -> PlainTextResponse | None:
        # What the routes go by; older versions of Starlette make `url` of the caller's Host header.
        path = request.scope["path"]
        if path == REPORT_STATUS_PATH:
            return None
        needed = Role.READER if request.method in _READS else Role.OPERATOR
        if needed is Role.READER and self._is_free(request, path):
            return None
        login = _login(request)
        if login is None:
            text = "this needs a user and a password, which the daemon's gRPC port takes as well"
            return PlainTextResponse(f"{text}\n", HTTPStatus.UNAUTHORIZED, _CHALLENGE)
        try:
            caller = await self._access.check_password(*login)
        except TabletdError as error:
            return PlainTextResponse(f"{error}\n", HTTPStatus.UNAUTHORIZED, _CHALLENGE)
        if caller.role < needed:
            return PlainTextResponse(f"the role {needed.label} is needed\n", HTTPStatus.FORBIDDEN)
        return None

    def _is_free(self, request: Request, path: str) -> bool:
        return self._insecure or _KINDS.get(path) in self._open_pages or comes_from_here(request)


def _login(request: Request) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip()).decode().partition(":")
    except ValueError:  # neither base64 nor UTF-8, or not even ASCII
        return None
    return (user, password) if colon else None
