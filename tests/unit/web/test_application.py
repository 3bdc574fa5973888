"""The pages and their answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest

from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.heartbeat.lag import Lag, LagState
from tabletd.tablet import Health, HealthClass, TabletType
from tabletd.throttler import CheckResult, ResponseCode, Scope
from tabletd.vtctld.shard_lag import LagMoment, TabletLag
from tabletd.web.application import build_application
from tests.support.fakes_web import FakeWeb

REPORT = "/schema-migration/report-status"
LAGS = (
    TabletLag(
        "zone1-0000000101",
        "replica",
        "measured",
        "clock",
        0.83,
        0.0,
        25.9,
        history=[
            LagMoment(3_000.0, "measured", 10.0),
            LagMoment(2_000.0, "measured", 20.0),
            LagMoment(1_000.0, "unknown", None),
            LagMoment(0.0, "measured", 0.0),
        ],
    ),
    TabletLag(
        "zone1-0000000102",
        "replica",
        "stopped",
        held_ms=65_000.0,
        error="SQL thread stopped: duplicate <key>",
    ),
    TabletLag("zone1-0000000103", error="it does not answer"),
)


@asynccontextmanager
async def client_of(
    web: FakeWeb, peer: str = "127.0.0.1", host: str = "127.0.0.1"
) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=build_application(web.ports()), client=(peer, 5))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        yield client


async def test_debug_vars_are_json() -> None:
    web = FakeWeb()
    web.registry.counter("HeartbeatWrites", "n").add(2)
    web.registry.gauge("TabletStateName", "w", lambda: "SERVING")
    async with client_of(web) as client:
        answer = await client.get("/debug/vars")
        assert answer.json() == {
            "CallbackErrors": 0,
            "HeartbeatWrites": 2,
            "TabletStateName": "SERVING",
        }


async def test_metrics_have_their_own_media_type() -> None:
    async with client_of(FakeWeb()) as client:
        answer = await client.get("/metrics")
        assert answer.text == "up 1\n"
        assert answer.headers["content-type"].startswith("text/plain; version=1.0.0")


async def test_healthz_says_in_the_old_words_whether_the_tablet_serves() -> None:
    web = FakeWeb()
    async with client_of(web) as client:
        answer = await client.get("/healthz")
        assert (answer.status_code, answer.text) == (200, "ok\n")
        web.tablet.health = Health(TabletType.REPLICA, False, health_error="replication stopped")
        answer = await client.get("/healthz")
        assert answer.status_code == 500
        assert answer.text.strip() == "500 internal server error: vttablet is not serving"
        answer = await client.get("/debug/health")
        assert (answer.status_code, answer.text) == (500, "not ok: replication stopped")
        web.tablet.health = Health(TabletType.RESTORE, False)
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_throttler_answers_with_its_status(method: str) -> None:
    web = FakeWeb()
    web.throttler.result = CheckResult(
        "default", ResponseCode.THRESHOLD_EXCEEDED, 7.5, 5.0, "Threshold exceeded"
    )
    async with client_of(web) as client:
        answer = await client.request(method, "/throttler/check?app=a:b&p=low")
        assert answer.status_code == 429
        assert web.throttler.asked == [("a:b", True)]
        if method == "GET":
            assert answer.json() == {
                "StatusCode": 429,
                "Value": 7.5,
                "Threshold": 5.0,
                "Message": "Threshold exceeded",
            }
        else:
            assert not answer.content


async def test_the_throttler_answers_for_the_tablet_alone_where_it_is_asked_so() -> None:
    web = FakeWeb()
    async with client_of(web) as client:
        assert (await client.get("/throttler/check-self?app=a:b")).status_code == 200
        assert (await client.get("/throttler/check")).status_code == 200
    assert web.throttler.asked == [("a:b", False), ("default", False)]
    assert web.throttler.scopes == [Scope.SELF, None]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_a_report_is_handed_on_whatever_the_method(method: str) -> None:
    web = FakeWeb()
    query = "uuid=u1&status=running&dryrun=true&progress=12.5&eta=60&rowscopied=1000"
    async with client_of(web) as client:
        answer = await client.request(
            method, f"{REPORT}?{query}", headers={"Authorization": "Bearer t0ken"}
        )
        assert (answer.status_code, answer.text) == (200, "ok")
    assert web.reports.reports == [
        {
            "uuid": "u1",
            "status": "running",
            "dry_run": True,
            "progress": 12.5,
            "token": "t0ken",
            "eta": 60,
            "rows": 1000,
        }
    ]


@pytest.mark.parametrize(
    ("headers", "query", "token"),
    [
        ({"X-Tabletd-Token": "h"}, "", "h"),
        ({}, "&token=q", "q"),
        ({"Authorization": "bearer b"}, "&token=q", "b"),
        ({"Authorization": "Basic b"}, "", ""),
        ({}, "", ""),
    ],
)
async def test_the_token_is_taken_from_a_header_or_a_parameter(
    headers: dict[str, str], query: str, token: str
) -> None:
    web = FakeWeb()
    async with client_of(web) as client:
        await client.get(f"{REPORT}?uuid=u&status=running{query}", headers=headers)
    assert web.reports.reports[0]["token"] == token


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.UNAUTHENTICATED, 401),
        (Reason.PERMISSION_DENIED, 403),
        (Reason.ILLEGAL_TRANSITION, 409),
        (Reason.INVALID_REQUEST, 500),
        (Reason.MYSQL_UNAVAILABLE, 500),
    ],
)
async def test_a_refused_report_says_why(reason: Reason, status: int) -> None:
    web = FakeWeb()
    web.reports.error = TabletdError(reason, "no such thing")
    async with client_of(web) as client:
        answer = await client.get(f"{REPORT}?uuid=u&status=running")
        assert (answer.status_code, answer.text) == (status, "not ok: no such thing")
        assert web.registry.export()["CallbackErrors"] == 1


@pytest.mark.parametrize("query", ["progress=nan", "progress=1e999", "eta=soon", "rowscopied=--1"])
async def test_a_number_that_is_none_is_refused(query: str) -> None:
    web = FakeWeb()
    async with client_of(web) as client:
        answer = await client.get(f"{REPORT}?uuid=u&status=running&{query}")
        assert answer.status_code == 500
        assert answer.text.startswith("not ok: ")
    assert not web.reports.reports


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.0.0.1", "unix", ""])
async def test_a_report_from_another_machine_is_refused(peer: str) -> None:
    web = FakeWeb()
    async with client_of(web, peer=peer) as client:
        headers = {"X-Forwarded-For": "127.0.0.1", "Authorization": "Bearer t"}
        answer = await client.get(f"{REPORT}?uuid=u&status=running", headers=headers)
        assert answer.status_code == 403
    assert not web.reports.reports


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
async def test_a_report_that_a_proxy_on_this_machine_hands_on_is_refused(header: str) -> None:
    web = FakeWeb()
    async with client_of(web, peer="127.0.0.1") as client:
        headers = {header: "127.0.0.1", "Authorization": "Bearer t"}
        answer = await client.get(f"{REPORT}?uuid=u&status=running", headers=headers)
        assert answer.status_code == 403
    assert not web.reports.reports


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1"])
async def test_a_report_from_this_machine_is_taken(peer: str) -> None:
    web = FakeWeb()
    async with client_of(web, peer=peer) as client:
        assert (await client.get(f"{REPORT}?uuid=u&status=running")).status_code == 200


async def test_a_report_over_the_machines_own_other_address_is_taken() -> None:
    web = FakeWeb()
    async with client_of(web, peer="10.0.0.9", host="10.0.0.9") as client:
        assert (await client.get(f"{REPORT}?uuid=u&status=running")).status_code == 200


async def test_the_status_page_escapes_what_it_shows() -> None:
    web = FakeWeb()
    web.migrations = [
        {
            "migration_uuid": "u1",
            "mysql_schema": "shop",
            "mysql_table": "<script>alert(1)</script>",
            "strategy": "gh-ost",
            "migration_status": "running",
            "progress": 42.4,
            "stage": "gh-ost: copying rows",
            "message": "a & b",
        }
    ]
    async with client_of(web) as client:
        answer = await client.get("/")
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "42 %" in answer.text
    assert "a &amp; b" in answer.text
    assert '<a href="/debug/vars">/debug/vars</a>' in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_the_status_page_shows_lag_and_why_the_server_cannot_be_asked() -> None:
    web = FakeWeb()
    web.tablet.health = Health(TabletType.REPLICA, False, 9, "heartbeat is stale")
    web.tablet.health_class = HealthClass.UNHEALTHY
    web.tablet.lag = Lag(LagState.STALE, 9_250_000_000, error="no heartbeat received")
    web.migrations_error = MySQLUnavailable("MySQL cannot be reached")
    async with client_of(web) as client:
        text = (await client.get("/")).text
    assert "9.250 s (stale) no heartbeat received" in text
    assert "NOT_SERVING heartbeat is stale" in text
    assert "MySQL cannot be reached" in text


async def test_the_status_page_has_a_line_for_each_tablet_of_the_shard() -> None:
    web = FakeWeb(lags=list(LAGS))
    async with client_of(web) as client:
        text = (await client.get("/")).text
    assert "0.8 ms" in text
    assert "0.0 ms to 25.9 ms" in text
    # Two stretches of figures, and nothing drawn for the time in which nothing was known.
    assert text.count("<path") == 2
    assert 'd="M297.0 21.6L298.0 19.2"' in text
    assert "stopped for 65.0 s; SQL thread stopped: duplicate &lt;key&gt;" in text
    assert "zone1-0000000103" in text
    assert "does not answer" in text


async def test_the_lag_of_the_shard_is_there_as_json() -> None:
    async with client_of(FakeWeb(lags=list(LAGS))) as client:
        found = (await client.get("/debug/lag")).json()
    assert [one["state"] for one in found] == ["measured", "stopped", "unknown"]
    assert found[0]["upper_ms"] == 25.9
    assert found[0]["history"][0] == {"age_ms": 3_000.0, "state": "measured", "lag_ms": 10.0}


async def test_the_status_page_of_a_primary_says_who_acts_for_its_server() -> None:
    web = FakeWeb(lease_state="held by zone1-0000000100 (process 7 on db1, gRPC db1:16100)")
    async with client_of(web) as client:
        assert web.lease_state in (await client.get("/")).text


async def test_unknown_pages_and_methods_are_refused_plainly() -> None:
    async with client_of(FakeWeb()) as client:
        assert (await client.get("/debug/pprof")).status_code == 404
        assert (await client.post("/debug/vars")).status_code == 405
