"""A primary's and a replica's daemon that let in only whom they know, called by real clients."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from typer.testing import CliRunner, Result

from tabletd.sandbox.daemons import Daemon
from tabletd.sandbox.servers import free_ports
from tabletd_client.cli.application import application
from tests.support.certificates import shown_serial_number
from tests.support.closed_pair import ALIASES, PASSWORD, ClosedPair, closed_pair
from tests.support.servers import Pair as ServerPair
from tests.support.vtctldclient import VtctldClient, missing_program
from tests.support.waiting import eventually_blocking

KEYSPACE: Final = "shop"


@dataclass
class Closed:
    """The two daemons, and how they are called.

    Attributes:
        pair: them, and whom they know.
        password_port: of the replica's daemon.
        credentials: file with the right password of `olga`.
    """

    pair: ClosedPair
    password_port: int
    credentials: Path

    def logs(self) -> dict[str, str]:
        """Return the ends of the daemons' logs."""
        return self.pair.logs()

    def vtctldclient(self, *flags: str, port: int | None = None) -> VtctldClient:
        """Return Vitess's client of the replica's daemon, which hands on to the primary's."""
        server = f"localhost:{port or self.pair.replica.grpc_port}"
        ca = ("--vtctld_grpc_ca", str(self.pair.authority.ca))
        return VtctldClient("0.21", server, self.pair.directory, flags=(*ca, *flags))

    def by_certificate(self, name: str) -> VtctldClient:
        pair = self.pair.clients[name]
        return self.vtctldclient(
            "--vtctld_grpc_cert", str(pair.cert), "--vtctld_grpc_key", str(pair.key)
        )

    def audit(self, daemon: Daemon) -> list[dict[str, Any]]:
        """Return what a daemon noted down."""
        lines = (daemon.run_directory / "audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def tabletctl(self, *arguments: str) -> Result:
        """Run the command, with the replica's daemon as its server unless it is told another."""
        environment = {"TABLETCTL_SERVER": f"localhost:{self.pair.replica.grpc_port}"}
        return CliRunner().invoke(application, arguments, env=environment)


@pytest.fixture(scope="module")
def closed(
    mariadb_pair_servers: ServerPair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Closed]:
    directory = tmp_path_factory.mktemp("closed")
    credentials = directory / "olga.json"
    credentials.write_text(json.dumps({"Username": "olga", "Password": PASSWORD}))
    (password_port,) = free_ports(1)
    with closed_pair(
        mariadb_pair_servers,
        directory,
        keyspace=KEYSPACE,
        tables=("CREATE TABLE t (id INT)",),
        user="olga",
        replica_settings={"grpc_password_port": str(password_port)},
    ) as pair:
        yield Closed(pair, password_port, credentials)


pytestmark = pytest.mark.skipif(bool(missing_program("0.21")), reason=missing_program("0.21"))


def test_vitess_client_changes_a_schema_over_mtls_and_both_daemons_know_who_did_it(
    closed: Closed,
) -> None:
    client = closed.by_certificate("olga")
    eventually_blocking(
        lambda: (
            client.try_run(
                "ApplySchema", "--ddl-strategy=direct", "--sql=ALTER TABLE t ADD c INT", KEYSPACE
            ).code
            == 0
        ),
        what="the replica's daemon reaches the primary's",
    )
    columns = closed.pair.servers.primary.query(f"SHOW COLUMNS FROM {KEYSPACE}.t")
    assert [row[0] for row in columns] == ["id", "c"]
    here = closed.audit(closed.pair.replica)[-1]
    assert (here["method"], here["certificate"], here["role"], here["code"]) == (
        "vtctlservice.Vtctld/ApplySchema",
        "olga",
        "operator",
        "OK",
    )
    there = [
        note for note in closed.audit(closed.pair.primary) if "ADD c INT" in str(note["target"])
    ]
    assert {note["certificate"] for note in there} == {"daemon"}
    assert there[-1]["on_behalf_of"].startswith("olga from ")


def test_tabletctl_shows_who_submitted_a_migration_wherever_it_was_sent(closed: Closed) -> None:
    olga = closed.pair.clients["olga"]
    tls = ("--tls-ca", str(closed.pair.authority.ca))
    flags = (*tls, "--tls-cert", str(olga.cert), "--tls-key", str(olga.key))
    create = ("--sql=CREATE TABLE w (id INT PRIMARY KEY)", KEYSPACE)
    strategy = "--ddl-strategy=mysql --postpone-launch"
    uuid = closed.by_certificate("olga").run("ApplySchema", strategy, *create).strip()

    def shown() -> str:
        return closed.tabletctl(*flags, "show", uuid).output

    eventually_blocking(lambda: "olga from 127.0.0.1:" in shown(), what="the caller is shown")
    closed.by_certificate("olga").run("OnlineDDL", "cancel", KEYSPACE, uuid)
    eventually_blocking(lambda: "last changed by" in shown(), what="who cancelled is shown")


def test_a_role_that_is_too_low_is_told_to_vitess_client(closed: Closed) -> None:
    text = closed.by_certificate("olga").refused("SetWritable", ALIASES[0], "false")
    assert "SetWritable needs the role admin, and olga has the role operator" in text
    text = closed.by_certificate("rita").refused("OnlineDDL", "cancel", KEYSPACE, "all")
    assert "needs the role operator, and rita has the role reader" in text
    assert ALIASES[0] in closed.by_certificate("rita").run("GetTablets")


def test_vitess_client_gives_a_password_where_no_certificate_is_asked_for(closed: Closed) -> None:
    login = ("--grpc_auth_static_client_creds", str(closed.credentials))
    right = closed.vtctldclient(*login, port=closed.password_port)
    assert ALIASES[1] in right.run("GetTablets")
    nobody = closed.vtctldclient(port=closed.password_port)
    assert "username and password must be provided" in nobody.refused("GetTablets")
    wrong = closed.pair.directory / "wrong.json"
    wrong.write_text('{"Username": "olga", "Password": "close sesame"}')
    text = closed.vtctldclient(
        "--grpc_auth_static_client_creds", str(wrong), port=closed.password_port
    ).refused("GetTablets")
    assert 'caller "olga" provided invalid credentials' in text
    log = closed.pair.replica.log.read_text()
    assert "sesame" not in log


def test_tabletctl_shows_its_certificate(closed: Closed) -> None:
    olga = closed.pair.clients["olga"]
    tls = ["--tls-ca", str(closed.pair.authority.ca)]
    shown = [*tls, "--tls-cert", str(olga.cert), "--tls-key", str(olga.key)]
    answer = closed.tabletctl(*shown, "tablets")
    assert answer.exit_code == 0, answer.output
    assert ALIASES[0] in answer.output
    without = closed.tabletctl(*tls, "--timeout", "5s", "tablets")
    assert without.exit_code != 0
    by_password = closed.tabletctl(
        *tls,
        "--server",
        f"localhost:{closed.password_port}",
        "--credentials",
        str(closed.credentials),
        "tablets",
    )
    assert by_password.exit_code == 0, by_password.output


def test_a_new_certificate_and_a_revocation_are_taken_up_without_a_restart(closed: Closed) -> None:
    fresh = closed.pair.authority.pair("server")
    number = fresh.certificate.serial_number
    port = closed.password_port
    eventually_blocking(lambda: shown_serial_number(port) == number)
    lost = closed.pair.authority.pair("lost", file="rita")
    closed.pair.clients["lost"] = lost
    # Another name than any that has a role, so that only the revocation tells the two refusals.
    assert "not authorized" in closed.by_certificate("lost").refused("GetTablets")
    closed.pair.authority.revoke(lost)
    eventually_blocking(
        lambda: "was revoked" in closed.by_certificate("lost").refused("GetTablets"),
        what="the revocation is taken up",
    )


def test_sighup_has_the_files_read_again_that_look_unchanged(closed: Closed) -> None:
    """Whoever sends it learns from the log whether what stands there now is good."""
    replica, revocations = closed.pair.replica, closed.pair.authority.revoke()
    revocations.write_text("none")
    try:

        def is_refused(times: int) -> bool:
            return replica.log.read_text().count("unchanged: grpc_crl") == times

        eventually_blocking(lambda: is_refused(1), what="the file was seen to have changed")
        psutil.Process(replica.identity.pid).send_signal(signal.SIGHUP)
        eventually_blocking(lambda: is_refused(2), what="it was read again")
    finally:
        closed.pair.authority.revoke()
