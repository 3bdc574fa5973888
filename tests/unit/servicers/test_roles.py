"""Each method has a role, and harmless requests need less."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tabletd.access.roles import Role
from tabletd.servicers.roles import FREE, RULES
from tabletd.servicers.server import DECLARED
from tabletd_pb import query_pb2, vtctldata_pb2
from tabletd_pb import tabletmanagerdata_pb2 as tm

UUID = "9e8a9249_3976_11ed_9442_0a43f95f28a3"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "security.md"


def offered() -> set[str]:
    own_of_grpc: Any = (channelz_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)
    services: list[Any] = [*DECLARED]
    services += [one for file in own_of_grpc for one in file.services_by_name.values()]
    return {f"/{one.full_name}/{method.name}" for one in services for method in one.methods}


def test_every_method_of_every_service_has_a_role() -> None:
    assert offered() - RULES.keys() - FREE == set()


def test_no_role_is_given_to_a_method_that_is_not_there() -> None:
    assert RULES.keys() - offered() == set()


def test_the_page_shows_the_roles_that_hold() -> None:
    rows = re.findall(r"^\| `([\w.]+/\w+)` \| (\w+)(\*?) \|$", PAGE.read_text(), re.MULTILINE)
    shown = {f"/{method}": (role, bool(star)) for method, role, star in rows}
    assert shown == {
        method: (rule.role.label, rule.judge is not None) for method, rule in RULES.items()
    }


@pytest.mark.parametrize(
    ("query", "role"),
    [
        ("SELECT * FROM _vt.schema_migrations", Role.READER),
        (
            "UPDATE _vt.schema_migrations SET migration_status='cancel' "
            f"WHERE migration_uuid='{UUID}'",
            Role.OPERATOR,
        ),
        ("SELECT * FROM mysql.user", Role.OPERATOR),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", Role.OPERATOR),
        ("SELECT * FROM _vt.schema_migrations -- " + "x" * 70_000, Role.OPERATOR),
        ("", Role.OPERATOR),
    ],
)
def test_reading_migrations_by_vexec_needs_a_reader(query: str, role: Role) -> None:
    rule = RULES["/tabletmanagerservice.TabletManager/VExec"]
    assert rule.role_for(tm.VExecRequest(query=query)) is role


@pytest.mark.parametrize(
    ("sql", "role"),
    [
        ("SHOW VITESS_MIGRATIONS", Role.READER),
        (f"SHOW VITESS_MIGRATION '{UUID}' LOGS", Role.READER),
        ("SHOW VITESS_THROTTLED_APPS", Role.READER),
        ("ALTER VITESS_MIGRATION CANCEL ALL", Role.OPERATOR),
        (f"REVERT VITESS_MIGRATION '{UUID}'", Role.OPERATOR),
        ("ALTER VITESS_MIGRATION EXPLODE", Role.OPERATOR),
        ("SELECT 1", Role.ADMIN),
        ("DROP TABLE t", Role.ADMIN),
        ("/* SHOW VITESS_MIGRATIONS */ DROP TABLE t", Role.ADMIN),
        ("SET GLOBAL read_only = 0", Role.ADMIN),
        ("", Role.ADMIN),
    ],
)
def test_a_statement_for_the_server_itself_needs_an_admin(sql: str, role: Role) -> None:
    execute = RULES["/queryservice.Query/Execute"]
    by_manager = RULES["/tabletmanagerservice.TabletManager/ExecuteQuery"]
    request = query_pb2.ExecuteRequest(query=query_pb2.BoundQuery(sql=sql))
    assert execute.role_for(request) is role
    assert by_manager.role_for(tm.ExecuteQueryRequest(query=sql.encode())) is role


@pytest.mark.parametrize(
    ("sql", "strategy", "role"),
    [
        (["ALTER TABLE t ADD c INT"], "direct", Role.OPERATOR),
        (["CREATE TABLE shop.t (i INT)", "DROP TABLE a, shop.b"], "", Role.OPERATOR),
        (["ALTER VITESS_MIGRATION CANCEL ALL"], "direct", Role.OPERATOR),
        (["DELETE FROM t"], "direct", Role.ADMIN),
        (["CREATE TABLE t (i INT)", "INSERT INTO t VALUES (1)"], "", Role.ADMIN),
        (["CREATE TABLE t (i INT); GRANT ALL ON *.* TO olga"], "", Role.ADMIN),
        (["CREATE USER olga"], "DIRECT", Role.ADMIN),
        (["SET GLOBAL read_only = 0"], "direct --allow-concurrent", Role.ADMIN),
        (["DROP TABLE other.t"], "direct", Role.ADMIN),
        (["RENAME TABLE t TO other.t"], "direct", Role.ADMIN),
        (["ALTER TABLE t EXCHANGE PARTITION p WITH TABLE other.t"], "direct", Role.ADMIN),
        (["CREATE VIEW v AS SELECT * FROM mysql.user"], "direct", Role.ADMIN),
        # Two statements where backslashes escape nothing.
        ([r"ALTER TABLE t COMMENT 'x\'; DROP USER root; -- '"], "direct", Role.ADMIN),
        (["CREATE TABLE t (i INT) -- " + "x" * 300_000], "direct", Role.ADMIN),
        (["DELETE FROM t"], "mysql", Role.OPERATOR),
        (["DELETE FROM t"], "online", Role.OPERATOR),
        (["DELETE FROM t"], "nonsense", Role.OPERATOR),
        (["ALTER TABLE t COMMENT 'open"], "direct", Role.OPERATOR),
    ],
)
def test_what_apply_schema_runs_at_once_needs_an_admin_unless_it_changes_the_schema(
    sql: list[str], strategy: str, role: Role
) -> None:
    rule = RULES["/vtctlservice.Vtctld/ApplySchema"]
    request = vtctldata_pb2.ApplySchemaRequest(keyspace="shop", sql=sql, ddl_strategy=strategy)
    assert rule.role_for(request) is role


@pytest.mark.parametrize(
    "method", ["vtctlservice.Vtctld/UpdateThrottlerConfig", "tabletd.v1.Throttling/UpdateConfig"]
)
def test_a_query_that_the_daemons_ask_of_their_servers_needs_an_admin(method: str) -> None:
    rule = RULES[f"/{method}"]
    request = vtctldata_pb2.UpdateThrottlerConfigRequest(threshold=5)
    assert rule.role_for(request) is Role.OPERATOR
    request.custom_query = "SELECT authentication_string FROM mysql.user"
    assert rule.role_for(request) is Role.ADMIN


def test_bytes_that_are_no_text_need_an_admin() -> None:
    rule = RULES["/tabletmanagerservice.TabletManager/ExecuteQuery"]
    assert rule.role_for(tm.ExecuteQueryRequest(query=b"\xff\xfe")) is Role.ADMIN


@pytest.mark.parametrize(
    ("args", "role"),
    [
        (["OnlineDDL", "shop", "show"], Role.READER),
        (["OnlineDDL", "-json", "--order", "desc", "shop", "show", "all"], Role.READER),
        (["OnlineDDL", "shop", "cancel", UUID], Role.OPERATOR),
        (["OnlineDDL", "show", "cancel-all"], Role.OPERATOR),
        (["ApplySchema", "-sql=DROP TABLE show", "show"], Role.OPERATOR),
        (["OnlineDDL", "-nonsense", "shop", "show"], Role.OPERATOR),
        (["ApplySchema", "-sql=DELETE FROM t", "shop"], Role.ADMIN),
        (["applyschema", "--ddl-strategy", "direct", "-sql", "DROP USER a", "shop"], Role.ADMIN),
        (["ApplySchema", "-ddl_strategy=mysql", "-sql=DELETE FROM t", "shop"], Role.OPERATOR),
        (["ApplySchema", "-sql=DELETE FROM t"], Role.OPERATOR),
        ([], Role.OPERATOR),
    ],
)
def test_showing_by_an_old_command_needs_a_reader(args: list[str], role: Role) -> None:
    rule = RULES["/vtctlservice.Vtctl/ExecuteVtctlCommand"]
    assert rule.role_for(vtctldata_pb2.ExecuteVtctlCommandRequest(args=args)) is role
