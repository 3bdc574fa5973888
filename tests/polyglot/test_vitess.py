"""What Vitess itself publishes, calling our daemons: its client, and its packages for Go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tabletd.executor.names import create_uuid
from tests.polyglot.conftest import KEYSPACE, Daemons
from tests.polyglot.runners import built, missing, run_lines
from tests.polyglot.table import TABLE, cell_bytes, decoded
from tests.support.closed_pair import PASSWORD
from tests.support.vtctldclient import VERSIONS, VtctldClient, missing_program
from tests.support.waiting import eventually_blocking

_EVERY_TYPE: Final[dict[str, Any]] = next(
    case["expect"] for case in TABLE["cases"] if case["case"] == "a value of every type of a table"
)
_NAMES: Final = {"_": "--{}_grpc_{}", "-": "--{}-grpc-{}"}


def _certificate_flags(daemons: Daemons, name: str, prefix: str, joint: str = "_") -> list[str]:
    """Return the flags with which a program of Vitess shows a certificate."""
    pair = daemons.pair.clients[name]
    files = {"ca": daemons.pair.authority.ca, "cert": pair.cert, "key": pair.key}
    form = _NAMES[joint]
    return [word for what, file in files.items() for word in (form.format(prefix, what), str(file))]


def _password_flags(daemons: Daemons, password: str, prefix: str, joint: str = "_") -> list[str]:
    """Return the flags with which a program of Vitess gives a password."""
    file = daemons.pair.directory / f"{'right' if password == PASSWORD else 'wrong'}.json"
    file.write_text(json.dumps({"Username": "paul", "Password": password}))
    creds = "--grpc_auth_static_client_creds".replace("_", joint)
    return [_NAMES[joint].format(prefix, "ca"), str(daemons.pair.authority.ca), creds, str(file)]


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    if reason := missing_program(found):
        pytest.skip(reason)
    return found


def _vtctldclient(daemons: Daemons, version: str, port: str, flags: list[str]) -> VtctldClient:
    server = f"localhost:{daemons.ports[port]}"
    return VtctldClient(version, server, daemons.pair.directory, flags=flags)


def _joint(version: str) -> str:
    """Since 0.23 flags are written with dashes; the older form is warned of."""
    return "_" if version == "0.21" else "-"


def _migrate(client: VtctldClient) -> None:
    """Submit a migration and follow it to its end."""
    sql = f"CREATE TABLE t_{create_uuid()[:8]} (id INT PRIMARY KEY)"
    uuid = client.run("ApplySchema", "--ddl-strategy=mysql", "--sql", sql, KEYSPACE).strip()

    def status() -> str:
        shown = client.run("OnlineDDL", "show", "--json", KEYSPACE, uuid)
        (migration,) = json.loads(shown)["migrations"]
        found: str = migration["status"]
        return found

    ended = ("COMPLETE", "FAILED", "CANCELLED")
    assert eventually_blocking(lambda: (s := status()) in ended and s) == "COMPLETE"


def test_vtctldclient_shows_a_certificate(daemons: Daemons, version: str) -> None:
    joint = _joint(version)
    flags = _certificate_flags(daemons, "olga", "vtctld", joint)
    _migrate(_vtctldclient(daemons, version, "mtls", flags))
    reader = _certificate_flags(daemons, "rita", "vtctld", joint)
    text = _vtctldclient(daemons, version, "mtls", reader).refused(
        "OnlineDDL", "cancel", KEYSPACE, "all"
    )
    assert "needs the role operator, and rita has the role reader" in text


def test_vtctldclient_gives_a_password(daemons: Daemons, version: str) -> None:
    joint = _joint(version)
    right = _password_flags(daemons, PASSWORD, "vtctld", joint)
    _migrate(_vtctldclient(daemons, version, "password", right))
    wrong = _password_flags(daemons, "close sesame", "vtctld", joint)
    text = _vtctldclient(daemons, version, "password", wrong).refused("GetTablets")
    assert 'caller "paul" provided invalid credentials' in text
    nobody = _vtctldclient(daemons, version, "password", right[:2])
    assert "username and password must be provided" in nobody.refused("GetTablets")


def _vitess(program: str) -> Path:
    if reason := missing("polyglot-vitess", program):
        pytest.skip(reason)
    return built("polyglot-vitess", program)


def _texts(line: dict[str, Any]) -> list[list[bytes | None]]:
    return [[decoded(cell) for cell in row] for row in line["rows"]]


@pytest.mark.parametrize("port", ["mtls", "password"])
def test_the_tablet_manager_client_of_vitess_9_drives_a_migration_by_vexec(
    daemons: Daemons, port: str
) -> None:
    by_certificate = _certificate_flags(daemons, "olga", "tablet_manager")
    by_password = _password_flags(daemons, PASSWORD, "tablet_manager")
    flags = by_certificate if port == "mtls" else by_password
    uuid = create_uuid()
    where = f"WHERE migration_uuid = '{uuid}'"
    insert = (
        "INSERT IGNORE INTO _vt.schema_migrations (migration_uuid, keyspace, shard, mysql_schema, "
        "mysql_table, migration_statement, strategy, options, ddl_action, requested_timestamp, "
        f"migration_context, migration_status) VALUES ('{uuid}', '{KEYSPACE}', '0', '{KEYSPACE}', "
        f"'t_{uuid[:8]}', 'CREATE TABLE t_{uuid[:8]} (id INT PRIMARY KEY)', 'mysql', "
        "'--postpone-launch', 'create', FROM_UNIXTIME(1600000000), '', 'queued')"
    )
    columns = "migration_uuid, retries, completed_timestamp, cleanup_timestamp, migration_status"
    submitted, seen, cancelled, after, refused = run_lines(
        [
            str(_vitess("vexec")),
            *flags,
            "localhost",
            str(daemons.ports[port]),
            insert,
            f"SELECT {columns} FROM _vt.schema_migrations {where}",
            f"UPDATE _vt.schema_migrations SET migration_status = 'cancel' {where} "
            f"AND mysql_schema = '{KEYSPACE}'",
            f"SELECT migration_status FROM _vt.schema_migrations {where}",
            "SELECT * FROM mysql.user",
        ]
    )
    assert (submitted["code"], submitted["rows_affected"]) == ("OK", 1)
    assert seen["types"] == ["VARCHAR", "UINT32", "TIMESTAMP", "TIMESTAMP", "VARCHAR"]
    assert _texts(seen) == [[uuid.encode(), b"0", None, None, b"queued"]]
    assert (cancelled["code"], cancelled["rows_affected"]) == ("OK", 1)
    assert _texts(after) == [[b"cancelled"]]
    assert refused["code"] == "InvalidArgument"
    assert "table not supported by vexec" in refused["message"]


@pytest.mark.parametrize("port", ["mtls", "password"])
def test_the_query_client_of_vitess_21_watches_health(daemons: Daemons, port: str) -> None:
    by_certificate = _certificate_flags(daemons, "ada", "tablet")
    by_password = _password_flags(daemons, PASSWORD, "tablet")
    (health,) = run_lines(
        [
            str(_vitess("health")),
            *(by_certificate if port == "mtls" else by_password),
            "localhost",
            str(daemons.ports[port]),
        ]
    )
    assert health["serving"]
    target = {"keyspace": KEYSPACE, "shard": "0", "tablet_type": "PRIMARY", "cell": "zone1"}
    assert health["target"] == target
    assert health["tablet_alias"] == {"cell": "zone1", "uid": 100}


def test_the_query_client_of_vitess_21_reads_every_type(daemons: Daemons) -> None:
    flags = _certificate_flags(daemons, "ada", "tablet")
    address = ("localhost", str(daemons.ports["mtls"]))
    query = "SELECT * FROM every_type ORDER BY id"
    _, result = run_lines([str(_vitess("health")), *flags, *address, KEYSPACE, query])
    assert result["types"] == _EVERY_TYPE["types"]
    assert _texts(result) == [[cell_bytes(cell) for cell in row] for row in _EVERY_TYPE["rows"]]
