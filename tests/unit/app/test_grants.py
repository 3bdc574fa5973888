"""`tabletd grants`: a script of what a configuration needs, and never a secret in it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tabletd.config import load_config
from tabletd.errors import Reason, TabletdError
from tabletd.grants import default_account, needed, parse_account, parse_server, script
from tabletd.mysql.privileges import Feature

ALIAS = "zone1-100"
SERVERS = ("mariadb-10.4", "mariadb-10.11", "mariadb-11.4", "mysql-5.6", "mysql-5.7", "mysql-8.4")


def written(server: str, also: tuple[Feature, ...] = (), **settings: str) -> str:
    flags = {"tablet_alias": ALIAS, "keyspace": "shop", **settings}
    config = load_config(flags, {"TABLETD_MYSQL_PASSWORD": "open-sesame"}).config
    return script(needed(config, parse_server(server), also=also), default_account(config))


@pytest.mark.parametrize("server", SERVERS)
def test_each_statement_says_what_it_is_for_and_none_has_a_password(server: str) -> None:
    text = written(server)
    lines = text.splitlines()
    grants = [number for number, line in enumerate(lines) if line.startswith("GRANT")]
    assert grants
    for number in grants:
        assert re.match(r"-- [a-z-]+: \w", lines[number - 1])
        assert lines[number].endswith((";", "WITH GRANT OPTION;"))
    assert all(line.startswith(("--", "GRANT")) for line in lines if line)
    assert "sesame" not in text


@pytest.mark.parametrize("server", SERVERS)
def test_super_is_asked_for_by_nobody_who_has_not_said_so(server: str) -> None:
    assert not re.search(r"^GRANT[^;]*SUPER", written(server), re.M)


def test_what_only_super_allows_is_named_as_left_out_and_can_be_had() -> None:
    assert "Without force-cut-over: it needs SUPER here" in written("mysql-5.7")
    text = written("mysql-5.7", also=(Feature.FORCE_CUT_OVER,))
    assert "GRANT SUPER ON *.* TO 'tabletd'@'127.0.0.1';" in text


def test_a_tool_that_the_server_is_nothing_for_gets_no_grants() -> None:
    assert "Without gh-ost: gh-ost cannot serve MariaDB 10.11" in written("mariadb-10.11")
    assert "-- gh-ost: " not in written("mariadb-10.11")
    assert "-- gh-ost: " in written("mysql-5.7")


def test_without_tools_nobody_makes_accounts() -> None:
    text = written("mysql-5.7", enable_online_ddl="false")
    assert "CREATE USER ON" not in text
    assert "GRANT OPTION" not in text


def test_the_tools_configured_account_has_a_part_of_its_own() -> None:
    text = written("mysql-5.7", migration_user="mover")
    own, _, tools = text.partition("-- The account that the tools work under")
    assert "GRANT OPTION" not in text
    assert "CREATE USER ON" not in own
    assert "REPLICATION SLAVE" not in own
    assert "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'mover'@'127.0.0.1';" in tools
    assert "migration_password_file" in tools


def test_every_schema_of_the_keyspace_is_there_and_no_name_is_a_pattern() -> None:
    text = written("mariadb-10.11", mysql_database="my_shop", allowed_schemas="other")
    assert r"ON `my\_shop`.* TO" in text
    assert "ON `other`.* TO" in text
    assert "`shop`" not in text


@pytest.mark.parametrize(
    ("settings", "account"),
    [
        ({}, "'tabletd'@'127.0.0.1'"),
        ({"mysql_socket": "/run/mysqld/mysqld.sock"}, "'tabletd'@'localhost'"),
        ({"mysql_host": "10.0.0.7", "mysql_user": "dba"}, "'dba'@'%'"),
    ],
)
def test_the_account_is_who_the_server_will_see(settings: dict[str, str], account: str) -> None:
    flags = {"tablet_alias": ALIAS, "keyspace": "shop", **settings}
    assert default_account(load_config(flags, {}).config) == account


@pytest.mark.parametrize("text", ["'olga'@'10.0.%'", "olga@10.0.%", "`olga`@`10.0.%`"])
def test_an_account_is_read_with_and_without_quotes(text: str) -> None:
    assert parse_account(text) == "'olga'@'10.0.%'"


@pytest.mark.parametrize("text", ["olga", "ol'ga@here", "a\\@b", "olga@", "x@y'; DROP TABLE t; --"])
def test_what_is_no_account_is_refused(text: str) -> None:
    with pytest.raises(TabletdError) as refused:
        parse_account(text)
    assert refused.value.reason in (Reason.INVALID_CONFIG, Reason.INVALID_REQUEST)


@pytest.mark.parametrize("text", ["postgres-14", "mysql", "mariadb-ten", "mysql-8.0; DROP"])
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(TabletdError, match="is no server"):
        parse_server(text)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--server=mysql-5.7", "--account='a'@'%'"], 0, "TO 'a'@'%'"),
        (["--server=mysql-5.7", "--with=fly"], 2, "'fly' is no feature"),
        (["--mysql-port=1"], 1, "--server mariadb-10.11"),
    ],
)
def test_the_command_prints_it_or_says_what_is_wrong(
    words: list[str], code: int, said: str
) -> None:
    command = [sys.executable, "-m", "tabletd", "grants", f"--tablet-alias={ALIAS}"]
    done = subprocess.run(
        [*command, "--keyspace=shop", *words], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
