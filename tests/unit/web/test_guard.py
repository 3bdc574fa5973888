"""Which page may be read from where."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tabletd.access.access import Access, AccessSettings
from tabletd.telemetry.vars import Registry
from tabletd.web.application import build_application
from tabletd.web.guard import PageGuard
from tests.support.fakes_web import FakeWeb

PAGES = ("/", "/debug/vars", "/debug/health", "/healthz", "/metrics", "/throttler/check")
FAR = "10.0.0.9"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users.json"
    entries = [
        {"Username": "ann", "Password": "sesame", "Role": "operator"},
        {"Username": "bob", "Password": "pw:with colon"},
    ]
    path.write_text(json.dumps(entries))
    path.chmod(0o600)
    return path


@asynccontextmanager
async def client_from(
    peer: str,
    users: Path | None = None,
    open_pages: Collection[str] = (),
    insecure: bool = False,
) -> AsyncGenerator[httpx.AsyncClient]:
    settings = AccessSettings(mode="static" if users else "", users=users)
    guard = PageGuard(
        build_application(FakeWeb().ports()),
        access=Access(settings, Registry()),
        open_pages=open_pages,
        insecure=insecure,
    )
    transport = httpx.ASGITransport(app=guard, client=(peer, 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def open_to(client: httpx.AsyncClient, auth: tuple[str, str] | None = None) -> set[str]:
    answers = {path: await client.get(path, auth=auth) for path in PAGES}
    return {path for path, answer in answers.items() if answer.status_code not in (401, 403)}


async def test_every_page_can_be_read_on_this_machine(users: Path) -> None:
    for given in (None, users):
        async with client_from("127.0.0.1", given) as client:
            assert await open_to(client) == set(PAGES)


async def test_from_elsewhere_nothing_is_open_but_what_is_named() -> None:
    async with client_from(FAR) as client:
        assert await open_to(client) == set()
    async with client_from(FAR, open_pages=["metrics"]) as client:
        assert await open_to(client) == {"/metrics", "/debug/vars"}
    async with client_from(FAR, open_pages=["health", "metrics"]) as client:
        opened = await open_to(client)
    assert opened == {"/metrics", "/debug/vars", "/healthz", "/debug/health"}
    async with client_from(FAR, insecure=True) as client:
        assert await open_to(client) == set(PAGES)


@pytest.mark.parametrize("host", ["x/healthz?", "x/healthz#", "x/schema-migration/report-status?"])
async def test_a_host_that_holds_a_path_opens_no_other_page(host: str) -> None:
    async with client_from(FAR, open_pages=["health"]) as client:
        answers = [await client.get(path, headers={"Host": host}) for path in PAGES]
    opened = {path for path, one in zip(PAGES, answers, strict=True) if one.status_code != 401}
    assert opened == {"/healthz", "/debug/health"}


async def test_a_password_opens_every_page(users: Path) -> None:
    async with client_from(FAR, users) as client:
        assert await open_to(client, ("bob", "pw:with colon")) == set(PAGES)
        assert await open_to(client, ("bob", "wrong")) == set()
        assert await open_to(client, ("", "")) == set()
        answer = await client.get("/debug/vars")
        assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !", "Basic /w==", "Bearer x", "Basic eA==", "Basic ü"]
)
async def test_a_login_that_cannot_be_read_is_none(users: Path, header: str) -> None:
    async with client_from(FAR, users) as client:
        answer = await client.get("/debug/vars", headers={b"Authorization": header.encode()})
        assert answer.status_code == 401


async def test_what_changes_something_needs_an_operators_password_even_here(users: Path) -> None:
    async with client_from("127.0.0.1", users) as client:
        assert (await client.post("/debug/vars")).status_code == 401
        answer = await client.post("/debug/vars", auth=("bob", "pw:with colon"))
        assert (answer.status_code, answer.text) == (403, "the role operator is needed\n")
        # Let through: the application itself has no such method.
        assert (await client.post("/debug/vars", auth=("ann", "sesame"))).status_code == 405
    async with client_from("127.0.0.1") as client:
        assert (await client.post("/debug/vars")).status_code == 401


async def test_the_tools_report_to_us_by_their_own_token_and_from_here_only(users: Path) -> None:
    path = "/schema-migration/report-status?uuid=a&status=running&token=x"
    async with client_from("127.0.0.1", users) as client:
        assert (await client.get(path)).text == "ok"
    async with client_from(FAR, users) as client:
        answer = await client.get(path, auth=("ann", "sesame"))
        assert answer.status_code == 403
        assert "from this machine only" in answer.text
