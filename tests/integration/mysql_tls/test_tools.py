"""Whole migrations over TCP with TLS: on a server that takes nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.migration import Strategy
from tabletd.executor.states import Status
from tabletd.mysql.tls import TlsMode
from tabletd.sandbox.daemons import gh_ost_path
from tests.integration.engines.rig import Record, Rig, rig_on
from tests.integration.mysql_tls.conftest import Trust, logins, taking_nothing_else
from tests.support.servers import RealServer

ADD = "ALTER TABLE orders ADD COLUMN extra INT"
needs_gh_ost = pytest.mark.skipif(
    gh_ost_path() is None, reason="no gh-ost: run scripts/setup.sh gh-ost"
)


async def run(rig: Rig, strategy: Strategy, **settings: Any) -> Record:
    """Run a migration to its end."""
    rig.create_orders(300)
    outcome, record = await rig.run(strategy, ADD, allow_unsafe_cutover=True, **settings)
    assert outcome.status is Status.COMPLETE, outcome
    assert "extra" in rig.columns()
    assert rig.leftovers(outcome.old_table) == []
    return record


def showing_a_certificate(server: RealServer) -> dict[str, Any]:
    """Make an account that has to; return the settings with which tools work under it."""
    server.script(
        "CREATE USER mover@'127.0.0.1' IDENTIFIED BY 'sesame' REQUIRE X509",
        "GRANT ALL ON *.* TO mover@'127.0.0.1'",
    )
    return {"migration_user": "mover", "migration_password": lambda: "sesame"}


async def test_the_account_of_a_run_has_to_use_tls_and_does(
    secure_mysql: RealServer, trust: Trust, tmp_path: Path
) -> None:
    """pt-osc takes a certificate for another name where names do not count."""
    server, tls = secure_mysql, trust.tls(TlsMode.VERIFY_CA)
    with taking_nothing_else(server):
        async with rig_on(server, server.create_database(), tmp_path, tls) as rig:
            record = await run(rig, Strategy.PT_OSC)
        user = record.migration.run_account.rpartition("@")[0]
        required = "SELECT argument FROM mysql.general_log WHERE argument LIKE %s"
        assert server.query(required, (f"ALTER USER%{user}%REQUIRE SSL",))
        assert logins(server, user) == {"SSL/TLS"}


async def test_pt_osc_shows_the_certificate_and_looks_at_the_servers(
    secure_mariadb: RealServer, trust: Trust, tmp_path: Path
) -> None:
    server, tls = secure_mariadb, trust.both_ways(TlsMode.VERIFY_IDENTITY)
    with taking_nothing_else(server):
        async with rig_on(server, server.create_database(), tmp_path, tls) as rig:
            await run(rig, Strategy.PT_OSC, **showing_a_certificate(server))
        assert logins(server, "mover") == {"SSL/TLS"}


@needs_gh_ost
async def test_gh_ost_shows_the_certificate_and_looks_at_the_servers(
    secure_mysql: RealServer, trust: Trust, tmp_path: Path
) -> None:
    # This server was built before the ciphers that Go takes by itself.
    gh_ost = tmp_path / "gh-ost"
    gh_ost.write_text(f'#!/bin/sh\nGODEBUG=tlsrsakex=1 exec {gh_ost_path()} "$@"\n')
    gh_ost.chmod(0o700)
    server, tls = secure_mysql, trust.both_ways(TlsMode.VERIFY_CA)
    with taking_nothing_else(server):
        async with rig_on(server, server.create_database(), tmp_path, tls) as rig:
            account = showing_a_certificate(server)
            places = {"gh_ost_path": str(gh_ost), "tool_host": "localhost"}
            await run(rig, Strategy.GH_OST, **account, **places)
        assert logins(server, "mover") == {"SSL/TLS"}


@needs_gh_ost
async def test_gh_ost_is_refused_beforehand_where_only_the_name_is_wrong(
    secure_mysql: RealServer, trust: Trust, tmp_path: Path
) -> None:
    tls = trust.tls(TlsMode.VERIFY_CA)
    async with rig_on(secure_mysql, secure_mysql.create_database(), tmp_path, tls) as rig:
        rig.create_orders(3)
        with pytest.raises(TabletdError, match=r"is not for 127\.0\.0\.1") as refused:
            await rig.run(Strategy.GH_OST, ADD, allow_unsafe_cutover=True)
        assert refused.value.reason is Reason.PREFLIGHT_REFUSED
        assert rig.leftovers() == []
