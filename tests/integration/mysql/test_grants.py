"""What `tabletd grants` prints is what an account needs: all is taken, and none is too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial

import pytest

from tabletd.config import load_config
from tabletd.errors import Reason, TabletdError
from tabletd.executor.accounts import create_account, drop_account, new_account
from tabletd.executor.engines.blockers import Blocker, Endings
from tabletd.grants import missing_grants, needed, parse_server
from tabletd.mysql.errors import MySQLError
from tabletd.mysql.flavor import (
    ServerInfo,
    server_info,
    show_primary_status_sql,
    show_replica_status_sql,
)
from tabletd.mysql.privileges import Feature, Grant, grants_of_tool
from tabletd.mysql.session import Session
from tabletd.sandbox.accounts import DAEMON_PASSWORD, DAEMON_USER, create_daemon_account
from tests.support.pools import pool_of
from tests.support.servers import RealServer

ACCOUNT = f"'{DAEMON_USER}'@'127.0.0.1'"
KEYSPACE = "shop"
CONFIG = load_config({"tablet_alias": "zone1-100", "keyspace": KEYSPACE}, {}).config
Probe = Callable[[RealServer, Session, ServerInfo], Awaitable[None]]


def by_sql(*statements: str) -> Probe:
    async def probe(server: RealServer, session: Session, info: ServerInfo) -> None:
        for statement in statements:
            await session.execute(statement)

    return probe


async def binlog_status(server: RealServer, session: Session, info: ServerInfo) -> None:
    await session.execute(show_primary_status_sql(info))


async def replica_status(server: RealServer, session: Session, info: ServerInfo) -> None:
    await session.execute(show_replica_status_sql(info))


async def account_of(tool: Feature, server: RealServer, session: Session, info: ServerInfo) -> None:
    account = new_account("127.0.0.1", migration_uuid="a migration of this test")
    grants = [one.what for one in grants_of_tool(tool, info, [KEYSPACE])]
    await create_account(session, info, account, grants)
    await drop_account(session, account)


async def end_another(server: RealServer, session: Session, info: ServerInfo) -> None:
    with closing(server.connect()) as other, other.cursor() as cursor:
        cursor.execute("SELECT CONNECTION_ID()")
        (number,) = cursor.fetchone() or (0,)
        endings = Endings()
        await endings.end(session, [Blocker(number, "root@localhost", 0)])
    if endings.lack:
        raise TabletdError(Reason.MISSING_GRANT, endings.lack)


def on_rows(table: str) -> Mapping[str, Probe]:
    return {
        "ALTER": by_sql(f"ALTER TABLE {table} COMMENT 'altered'"),
        "CREATE": by_sql(f"CREATE TABLE IF NOT EXISTS {table} (id INT)"),
        "DELETE": by_sql(f"DELETE FROM {table}"),
        "INSERT": by_sql(f"INSERT IGNORE INTO {table} (id) VALUES (1)"),
        "LOCK TABLES": by_sql(f"LOCK TABLES {table} WRITE", "UNLOCK TABLES"),
        "SELECT": by_sql(f"SELECT * FROM {table}"),
        "UPDATE": by_sql(f"UPDATE {table} SET id = 1"),
    }


GH_OST, PT_OSC = (partial(account_of, tool) for tool in (Feature.GH_OST, Feature.PT_OSC))
METRICS = "SELECT `COUNT` FROM information_schema.INNODB_METRICS LIMIT 1"
INSTRUMENT = (
    "UPDATE performance_schema.setup_instruments SET ENABLED = 'YES' "
    "WHERE NAME = 'wait/lock/metadata/sql/mdl'"
)
PROBES: Mapping[str, Mapping[str, Probe]] = {
    "`_vt`.*": on_rows("_vt.t"),
    f"`{KEYSPACE}`.*": {
        **on_rows(f"{KEYSPACE}.t"),
        "CREATE VIEW": by_sql(f"CREATE OR REPLACE VIEW {KEYSPACE}.v AS SELECT 1 AS one"),
        "DROP": by_sql(f"DROP TABLE IF EXISTS {KEYSPACE}.nothing"),
        "INDEX": by_sql(f"CREATE INDEX by_a ON {KEYSPACE}.t (a)"),
        "REFERENCES": PT_OSC,
        "SHOW VIEW": by_sql(f"SHOW CREATE VIEW {KEYSPACE}.v"),
        "TRIGGER": by_sql(
            f"CREATE TRIGGER {KEYSPACE}.r BEFORE INSERT ON {KEYSPACE}.t FOR EACH ROW SET @a = 1"
        ),
    },
    "*.*": {
        "BINLOG MONITOR": binlog_status,
        "REPLICATION CLIENT": binlog_status,
        "SLAVE MONITOR": replica_status,
        "PROCESS": by_sql(METRICS),
        "CREATE USER": PT_OSC,
        "REPLICATION SLAVE": GH_OST,
        "CONNECTION ADMIN": end_another,
        "READ_ONLY ADMIN": by_sql("SET GLOBAL read_only = OFF"),
        "BINLOG ADMIN": by_sql("SET SESSION sql_log_bin = OFF"),
        "SET USER": by_sql(
            f"CREATE OR REPLACE DEFINER = root@localhost VIEW {KEYSPACE}.v AS SELECT 1 AS one"
        ),
        "GRANT OPTION": PT_OSC,
    },
    "performance_schema.setup_instruments": {
        "SELECT": by_sql("SELECT 1 FROM performance_schema.setup_instruments LIMIT 1"),
        "UPDATE": by_sql(INSTRUMENT),
    },
    **{
        f"performance_schema.{table}": {
            "SELECT": by_sql(f"SELECT 1 FROM performance_schema.{table} LIMIT 1")
        }
        for table in (
            "metadata_locks",
            "threads",
            "events_statements_current",
            "replication_connection_configuration",
        )
    },
    "mysql.user": {"SELECT": by_sql("SELECT 1 FROM mysql.user LIMIT 1")},
    "mysql.db": {"SELECT": by_sql("SELECT 1 FROM mysql.db LIMIT 1")},
}


INFOS = {"mariadb": parse_server("mariadb-10.11"), "mysql57": parse_server("mysql-5.7")}


def unusual(info: ServerInfo) -> tuple[Feature, ...]:
    """What has to be asked for; where only SUPER would do, nothing else would be missed."""
    return (Feature.UNLOGGED, Feature.DEFINERS) if info.is_mariadb else ()


def grants_on(info: ServerInfo) -> list[Grant]:
    return needed(CONFIG, info, also=unusual(info)).grants


def names_of(grant: Grant) -> tuple[str, ...]:
    return (*grant.privileges, *(["GRANT OPTION"] if grant.with_grant_option else []))


EACH_OBJECT = {(name, grant.on) for name, info in INFOS.items() for grant in grants_on(info)}


@dataclass(frozen=True)
class Stage:
    """A server with the daemon's account and something of all that it works on."""

    server: RealServer
    info: ServerInfo


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest) -> Stage:
    server: RealServer = request.getfixturevalue(f"{request.param}_server")
    info = INFOS[request.param]
    server.reset()
    server.script(
        f"CREATE DATABASE {KEYSPACE}",
        "CREATE DATABASE _vt",
        f"CREATE TABLE {KEYSPACE}.t (id INT PRIMARY KEY, a INT)",
        "CREATE TABLE _vt.t (id INT PRIMARY KEY)",
    )
    create_daemon_account(server.server, keyspace=KEYSPACE, also=unusual(info))
    server.query(f"CREATE DEFINER = {ACCOUNT} VIEW {KEYSPACE}.v AS SELECT 1 AS one")
    return Stage(server, info)


@asynccontextmanager
async def logged_in(server: RealServer) -> AsyncGenerator[Session]:
    """Log the daemon's account in, so that what was just granted counts."""
    pool = pool_of(server, user=DAEMON_USER, password=DAEMON_PASSWORD, size_max=1)
    async with pool as opened, opened.session() as session:
        session.drop_afterwards()
        yield session


async def refusal(stage: Stage, session: Session, probe: Probe) -> TabletdError | None:
    """Return what the account is refused for want of a privilege."""
    try:
        await probe(stage.server, session, stage.info)
    except TabletdError as error:
        if error.reason is Reason.MISSING_GRANT:
            return error
        if not isinstance(error, MySQLError):  # of those one is that it exists already
            raise
    return None


@pytest.mark.parametrize(("stage", "on"), sorted(EACH_OBJECT), indirect=["stage"])
async def test_without_a_privilege_its_feature_is_refused_by_name(stage: Stage, on: str) -> None:
    server, wanted = stage.server, [one for one in grants_on(stage.info) if one.on == on]
    usual = [one for one in needed(CONFIG, stage.info).grants if one.on == on]
    for privilege in sorted({name for one in wanted for name in names_of(one)}):
        server.query(f"REVOKE {privilege} ON {on} FROM {ACCOUNT}")
        try:
            async with logged_in(server) as session:
                refused = await refusal(stage, session, PROBES[on][privilege])
                lacking = await missing_grants(CONFIG, session, stage.info)
        finally:
            server.script(*(one.sql(ACCOUNT) for one in wanted))
        assert refused is not None, privilege
        # A schema that the account may not lock tables of is named, not the privilege.
        assert privilege in str(refused) or on.strip("`.*") in str(refused)
        is_usual = any(privilege in names_of(one) for one in usual)
        assert any(privilege in one.lacking for one in lacking) == is_usual
    async with logged_in(server) as session:
        for privilege in {name for one in wanted for name in names_of(one)}:
            assert await refusal(stage, session, PROBES[on][privilege]) is None, privilege


@pytest.mark.parametrize("schema", ["shop", "my_shop"])
async def test_the_account_has_all_that_it_needs_and_hands_on_what_tools_need(
    any_server: RealServer, schema: str
) -> None:
    any_server.script(f"CREATE DATABASE {schema}")
    await asyncio.to_thread(create_daemon_account, any_server.server, keyspace=schema)
    config = load_config({"tablet_alias": "zone1-100", "keyspace": schema}, {}).config
    async with logged_in(any_server) as session:
        info = await server_info(session)
        assert await missing_grants(config, session, info) == []
        for tool in needed(config, info).features & {Feature.GH_OST, Feature.PT_OSC}:
            account = new_account("127.0.0.1", migration_uuid="a migration of this test")
            grants = [one.what for one in grants_of_tool(tool, info, [schema])]
            await create_account(session, info, account, grants)
            await drop_account(session, account)
